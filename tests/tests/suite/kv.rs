//! `kv-server`, with redis-cli, redis-benchmark, and clients that do not follow the rules.

use nix::sys::signal::Signal;
use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;
use ukvm_tests::files::{self, call, noise};
use ukvm_tests::network::in_namespace;
use ukvm_tests::redis::{self, Client, Value, encode, end, start, tap};
use ukvm_tests::run::Running;
use ukvm_tests::suite::{Need, in_rig};

ukvm_tests::tests! {
    redis_cli_gets_what_it_has_set .needs(&[Need::Network, Need::Program("redis-cli")]);
    redis_benchmark_finds_no_fault .needs(&[Need::Network, Need::Program("redis-benchmark")]) .not_in_rig(SLOW);
    commands_get_their_answers .needs(&[Need::Network]) .not_in_rig(SLOW);
    pipelines_are_answered_in_their_order .needs(&[Need::Network]) .not_in_rig(SLOW);
    broken_requests_end_the_connection .needs(&[Need::Network]) .not_in_rig(SLOW);
    long_values .needs(&[Need::Network]) .not_in_rig(SLOW);
    values_outlive_the_guest .needs(&[Need::Network]);
    acknowledged_writes_outlive_a_killed_monitor .needs(&[Need::Network]) .not_in_rig(SLOW);
    acknowledged_writes_outlive_a_shutdown .needs(&[Need::Network]) .not_in_rig(SLOW);
    acknowledged_writes_outlive_a_loss_of_power .needs(&[Need::Network]) .not_in_rig(SLOW);
    a_large_store_is_there_at_once_after_a_kill .needs(&[Need::Network]) .not_in_rig("it writes 200 MiB");
    more_memory_than_there_is_is_not_asked_for .needs(&[Need::Network]) .not_in_rig(SLOW);
    small_values_beside_large_ones_take_no_more_memory .needs(&[Need::Network]) .not_in_rig("it writes 200 MiB");
}

/// Why most are left out in the emulated machine.
const SLOW: &str = "it takes long there, and what it tests is the same on every KVM";

/// What `redis-cli` says to a command, without the last line break.
fn cli(arguments: &[&str]) -> String {
    let mut all = vec!["-h", "10.0.0.2", "--no-raw"];
    all.extend(arguments);
    let output = call("redis-cli", &all);
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

fn redis_cli_gets_what_it_has_set() {
    in_namespace(|| {
        tap();
        let directory = files::directory();
        let guest = start(redis::run(&files::sparse(directory.path(), "a.img", 16 << 20)));
        for (command, answer) in [
            ("PING", "PONG"),
            ("SET greeting hello", "OK"),
            ("GET greeting", "\"hello\""),
            ("GET nothing", "(nil)"),
            ("EXISTS greeting nothing greeting", "(integer) 2"),
            ("INCR visits", "(integer) 1"),
            ("INCRBY visits 41", "(integer) 42"),
            ("DECR visits", "(integer) 41"),
            ("INCR greeting", "(error) ERR value is not an integer or out of range"),
            ("DBSIZE", "(integer) 2"),
            ("DEL greeting nothing", "(integer) 1"),
            ("GET greeting", "(nil)"),
            ("SET a b EX 10", "(error) ERR the option 'EX' of SET is not supported"),
            ("LPUSH a b", "(error) ERR unknown command 'LPUSH', with args beginning with: 'a' 'b'"),
            ("GET", "(error) ERR wrong number of arguments for 'get' command"),
            ("SELECT 3", "(error) ERR DB index is out of range: there is only 0"),
            ("CONFIG GET appendfsync", "1) \"appendfsync\"\n2) \"always\""),
        ] {
            let words: Vec<&str> = command.split(' ').collect();
            assert_eq!(cli(&words), answer, "{command}");
        }
        let program = files::program("redis-cli").expect("checked before");
        let mut child = Command::new(program)
            .args(["-h", "fd00::2"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("redis-cli");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(b"SET \"a key\" \"a\\nvalue\"\nGET 'a key'\nQUIT\n").expect("a reader");
        drop(stdin);
        let output = child.wait_with_output().expect("redis-cli");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "OK\na\nvalue\n");
        let _ = end(guest);
    });
}

fn redis_benchmark_finds_no_fault() {
    in_namespace(|| {
        tap();
        let directory = files::directory();
        let guest = start(redis::run(&files::sparse(directory.path(), "a.img", 16 << 20)));
        let requests = if in_rig() { "200" } else { "3000" };
        for (clients, pipeline) in [("1", "1"), ("50", "1"), ("50", "16")] {
            let output = call(
                "redis-benchmark",
                &[
                    "-h",
                    "10.0.0.2",
                    "-t",
                    "set,get,incr",
                    "-n",
                    requests,
                    "-c",
                    clients,
                    "-P",
                    pipeline,
                    "-r",
                    "1000",
                    "--csv",
                ],
            );
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            for test in ["\"SET\"", "\"GET\"", "\"INCR\""] {
                assert!(text.contains(test), "{text}");
            }
            assert!(!errors.contains("WARN") && !errors.to_lowercase().contains("err"), "{errors}");
        }
        let Value::Integer(keys) = Client::new().call(&["DBSIZE"]) else { panic!("no number") };
        assert!(keys > 100, "{keys}");
        let _ = end(guest);
    });
}

fn commands_get_their_answers() {
    in_namespace(|| {
        tap();
        let directory = files::directory();
        let guest = start(redis::run(&files::sparse(directory.path(), "a.img", 4 << 20)));
        let mut client = Client::new();
        assert_eq!(client.call(&["ping"]), Value::Simple("PONG".into()));
        assert_eq!(client.call(&["PiNg", "a\r\nb"]), Value::Bulk(b"a\r\nb".to_vec()));
        assert_eq!(client.call(&["ECHO", ""]), Value::Bulk(Vec::new()));
        assert_eq!(client.call(&["SET", "", "\0\r\n"]), Value::ok());
        assert_eq!(client.call(&["GET", ""]), Value::Bulk(b"\0\r\n".to_vec()));
        assert_eq!(client.call(&["INCRBY", "n", "9223372036854775807"]), Value::Integer(i64::MAX));
        assert_eq!(client.call(&["INCR", "n"]).error(), Some("ERR increment or decrement would overflow"));
        assert_eq!(client.call(&["GET", "n"]), Value::Bulk(b"9223372036854775807".to_vec()));
        assert_eq!(client.call(&["DECRBY", "n", "9223372036854775807"]), Value::Integer(0));
        assert_eq!(
            client.call(&["INCRBY", "n", "1.5"]).error(),
            Some("ERR value is not an integer or out of range")
        );
        assert_eq!(
            client.call(&["HELLO", "3"]).error(),
            Some("NOPROTO unsupported protocol version, there is only 2")
        );
        assert!(matches!(client.call(&["HELLO", "2"]), Value::Array(fields) if fields.len() == 12));
        assert_eq!(client.call(&["CLIENT", "SETINFO", "LIB-NAME", "test"]), Value::ok());
        assert_eq!(client.call(&["COMMAND", "DOCS"]), Value::Array(Vec::new()));
        assert_eq!(
            client.call(&["CONFIG", "GET", "save", "appendonly"]),
            Value::Array(["save", "", "appendonly", "yes"].map(|text| Value::Bulk(text.into())).to_vec())
        );
        assert!(client.call(&["CONFIG", "SET", "save", ""]).error().is_some());
        let long = "k".repeat(1025);
        assert_eq!(client.call(&["GET", &long]).error(), Some("ERR the key is longer than 1024 bytes"));
        let many: Vec<&str> = std::iter::once("EXISTS").chain(["n"; 129]).collect();
        assert_eq!(client.call(&many[..129]), Value::Integer(128));
        assert_eq!(client.call(&many).error(), Some("ERR EXISTS takes up to 128 keys"));
        assert_eq!(client.call(&["QUIT"]), Value::ok());
        assert_eq!(client.answer(), None);
        // As people type it.
        let mut client = Client::new();
        assert!(client.send(b"\r\n  SET  typed \"a \\x62\"  \r\nGET typed\nNO\tSUCH\n"));
        assert_eq!(client.answer(), Some(Value::ok()));
        assert_eq!(client.answer(), Some(Value::Bulk(b"a b".to_vec())));
        let error = client.answer().expect("an answer");
        assert_eq!(error.error(), Some("ERR unknown command 'NO', with args beginning with: 'SUCH' "));
        let _ = end(guest);
    });
}

fn pipelines_are_answered_in_their_order() {
    in_namespace(|| {
        tap();
        let directory = files::directory();
        let guest = start(redis::run(&files::sparse(directory.path(), "a.img", 4 << 20)));
        let mut client = Client::new();
        let mut sent = Vec::new();
        let mut expected = Vec::new();
        for round in 0..100 {
            let value = format!("value {round}");
            for (command, answer) in [
                (vec!["SET", "key", &value], Value::ok()),
                (vec!["PING"], Value::Simple("PONG".into())),
                (vec!["GET", "key"], Value::Bulk(value.clone().into_bytes())),
                (vec!["INCR", "count"], Value::Integer(round + 1)),
                (vec!["EXISTS", "key", "count"], Value::Integer(2)),
                (vec!["DEL", "key"], Value::Integer(1)),
                (vec!["GET", "key"], Value::Nil),
            ] {
                sent.extend(encode(&command));
                expected.push(answer);
            }
        }
        // In pieces that end anywhere.
        std::thread::scope(|scope| {
            let mut stream = Client::new();
            let _ = scope.spawn(move || {
                for piece in sent.chunks(997) {
                    assert!(client.send(piece));
                }
                for answer in expected {
                    assert_eq!(client.answer(), Some(answer));
                }
            });
            // Another one is served meanwhile.
            for _ in 0..20 {
                assert_eq!(stream.call(&["PING"]), Value::Simple("PONG".into()));
            }
        });
        let _ = end(guest);
    });
}

fn broken_requests_end_the_connection() {
    in_namespace(|| {
        tap();
        let directory = files::directory();
        let guest = start(redis::run(&files::sparse(directory.path(), "a.img", 4 << 20)));
        for (request, error) in [
            (&b"*1\r\n:1\r\n"[..], "ERR Protocol error: expected '$', got ':'"),
            (b"*abc\r\n", "ERR Protocol error: invalid multibulk length"),
            (b"*1025\r\n", "ERR Protocol error: invalid multibulk length"),
            (b"*99999999999999999999\r\n", "ERR Protocol error: invalid multibulk length"),
            (b"*1\r\n$-1\r\n", "ERR Protocol error: invalid bulk length"),
            (b"*2\r\n$3\r\nGET\r\n$1048577\r\n", "ERR Protocol error: invalid bulk length"),
            (b"*1\r\n$99999999999999999999\r\n", "ERR Protocol error: invalid bulk length"),
            (b"SET a \"b\r\n", "ERR Protocol error: unbalanced quotes in request"),
            (&[b'x'; 5000], "ERR Protocol error: too big inline request"),
        ] {
            let mut client = Client::new();
            // What comes before it is answered.
            let _ = client.send(b"PING\r\n");
            let _ = client.send(request);
            assert_eq!(client.answer(), Some(Value::Simple("PONG".into())));
            let answer = client.answer().expect("an error");
            assert!(answer.error().is_some_and(|text| text.starts_with(error)), "{answer:?}");
            assert_eq!(client.answer(), None, "{error}");
        }
        // A web page has a browser send this: what is behind the header is not done.
        for header in ["POST / HTTP/1.1\r\n", "hOst: 10.0.0.2:6379\r\n"] {
            let mut client = Client::new();
            let _ = client.send(format!("PING\r\n{header}\r\nSET stolen 1\r\n").as_bytes());
            assert_eq!(client.answer(), Some(Value::Simple("PONG".into())));
            assert_eq!(client.answer(), None, "{header}");
        }
        assert_eq!(Client::new().call(&["GET", "stolen"]), Value::Nil);
        // Empty requests ask for nothing.
        let mut client = Client::new();
        assert!(client.send(b"*0\r\n*-1\r\n\r\nPING\r\n"));
        assert_eq!(client.answer(), Some(Value::Simple("PONG".into())));
        let _ = end(guest);
    });
}

fn long_values() {
    in_namespace(|| {
        tap();
        let directory = files::directory();
        let guest = start(redis::run(&files::sparse(directory.path(), "a.img", 32 << 20)));
        let mut client = Client::new();
        for (number, length) in [0, 1, 4095, 4096, 16_384, 16_385, 100_000, 1 << 20].into_iter().enumerate() {
            let (key, value) = (format!("key {number}"), noise(number as u64 + 1, length));
            assert_eq!(client.call(&[b"SET", key.as_bytes(), &value]), Value::ok(), "{length}");
            assert_eq!(client.call(&["GET", &key]), Value::Bulk(value), "{length}");
        }
        let _ = end(guest);
    });
}

fn values_outlive_the_guest() {
    in_namespace(|| {
        tap();
        let directory = files::directory();
        let image = files::sparse(directory.path(), "a.img", 4 << 20);
        let mut all: HashMap<String, Value> = HashMap::new();
        for round in 0..3 {
            let guest = start(redis::run(&image));
            let mut client = Client::new();
            for (key, value) in &all {
                assert_eq!(&client.call(&["GET", key]), value);
            }
            assert_eq!(client.call(&["DBSIZE"]), Value::Integer(all.len() as i64));
            for number in 0..50 {
                let (key, value) = (format!("key {round} {number}"), noise(number + 1, number as usize * 20));
                assert_eq!(client.call(&[b"SET", key.as_bytes(), &value]), Value::ok());
                let _ = all.insert(key, Value::Bulk(value));
            }
            let text = end(guest).quietly().text();
            assert!(text.lines().all(|line| line.starts_with("kv-server: at ")), "{text}");
        }
    });
}

/// What clients have set and what was acknowledged of it.
type Acknowledged = HashMap<String, u64>;

/// Has several clients count up numbers of their own, at least until each was answered `least` times, then sends the monitor a signal.
/// Gives its exit status.
fn end_under_load(
    guest: Running,
    signal: Signal,
    all: &mut Acknowledged,
    (round, least): (usize, u64),
) -> Option<i32> {
    let clients: Vec<_> = (0..8)
        .map(|number| {
            let key = format!("client {number}");
            let mut count = all.get(&key).copied().unwrap_or_default();
            let (progress, watch) = std::sync::mpsc::channel();
            let thread = std::thread::spawn(move || {
                // By turns alone and in a pipeline.
                let mut client = Client::new();
                loop {
                    let group = if number % 2 == 0 { 1 } else { 8 };
                    let mut bytes = Vec::new();
                    for ahead in 1..=group {
                        bytes.extend(encode(&["SET", &key, &(count + ahead).to_string()]));
                    }
                    if !client.send(&bytes) {
                        return (key, count);
                    }
                    for _ in 0..group {
                        match client.answer() {
                            Some(Value::Simple(word)) if word == "OK" => {}
                            None => return (key, count),
                            Some(Value::Error(text)) if text == "ERR the server is shutting down" => {
                                return (key, count);
                            }
                            other => panic!("{other:?}"),
                        }
                        count += 1;
                        let _ = progress.send(());
                    }
                }
            });
            (thread, watch)
        })
        .collect();
    for (_, watch) in &clients {
        for _ in 0..least {
            watch.recv_timeout(Duration::from_secs(60)).expect("progress");
        }
    }
    // At another moment each time.
    std::thread::sleep(Duration::from_micros(700 * round as u64));
    guest.signal(signal);
    let ended = guest.wait();
    for (thread, _) in clients {
        let (key, count) = thread.join().expect("a client");
        let _ = all.insert(key, count);
    }
    ended.code()
}

/// Asserts that what was acknowledged is there; what was on its way may be.
fn check(all: &mut Acknowledged) {
    let mut client = Client::new();
    for (key, count) in all.iter_mut() {
        let Value::Bulk(value) = client.call(&["GET", key]) else { panic!("{key} is lost") };
        let found: u64 = String::from_utf8_lossy(&value).parse().expect("a number");
        assert!((*count..=*count + 8).contains(&found), "{key} is {found}, and {count} was acknowledged");
        *count = found;
    }
}

fn acknowledged_writes_outlive_a_killed_monitor() {
    in_namespace(|| {
        tap();
        let directory = files::directory();
        let image = files::sparse(directory.path(), "a.img", 4 << 20);
        let mut all = Acknowledged::new();
        for round in 0..if in_rig() { 2 } else { 8 } {
            let guest = start(redis::run(&image));
            check(&mut all);
            assert_eq!(end_under_load(guest, Signal::SIGKILL, &mut all, (round, 8)), None);
        }
        let guest = start(redis::run(&image));
        check(&mut all);
        let _ = end(guest);
    });
}

fn acknowledged_writes_outlive_a_shutdown() {
    in_namespace(|| {
        tap();
        let directory = files::directory();
        let image = files::sparse(directory.path(), "a.img", 4 << 20);
        let mut all = Acknowledged::new();
        for round in 0..2 {
            let guest = start(redis::run(&image));
            check(&mut all);
            assert_eq!(end_under_load(guest, Signal::SIGTERM, &mut all, (round, 8)), Some(0));
        }
        let guest = start(redis::run(&image));
        check(&mut all);
        let _ = end(guest);
    });
}

fn acknowledged_writes_outlive_a_loss_of_power() {
    in_namespace(|| {
        tap();
        let directory = files::directory();
        // Each flush copies all of it.
        let image = files::sparse(directory.path(), "a.img", 1 << 20);
        let mut all = Acknowledged::new();
        for round in 0..if in_rig() { 1 } else { 4 } {
            let guest = start(redis::run(&image).odd("lost-cache"));
            check(&mut all);
            assert_eq!(end_under_load(guest, Signal::SIGKILL, &mut all, (round, 2)), None);
        }
        let guest = start(redis::run(&image));
        check(&mut all);
        let _ = end(guest);
    });
}

fn a_large_store_is_there_at_once_after_a_kill() {
    in_namespace(|| {
        tap();
        let directory = files::directory();
        let image = files::sparse(directory.path(), "a.img", 1 << 30);
        let guest = start(redis::run(&image));
        let mut client = Client::new();
        let value = noise(5, 1 << 20);
        for number in 0..200 {
            assert_eq!(client.call(&[b"SET", format!("large {number}").as_bytes(), &value]), Value::ok());
        }
        for _ in 0..20 {
            let mut bytes = Vec::new();
            for _ in 0..500 {
                bytes.extend(encode(&["INCR", "count"]));
            }
            assert!(client.send(&bytes));
            for _ in 0..500 {
                assert!(matches!(client.answer(), Some(Value::Integer(_))));
            }
        }
        guest.signal(Signal::SIGKILL);
        let _ = guest.wait();
        let report = directory.path().join("report.json");
        let guest = start(redis::run(&image).option("--report", &report));
        let mut client = Client::new();
        assert_eq!(client.call(&["DBSIZE"]), Value::Integer(201));
        assert_eq!(client.call(&["GET", "count"]), Value::Bulk(b"10000".to_vec()));
        let _ = end(guest);
        let report: serde_json::Value =
            serde_json::from_slice(&fs::read(report).expect("a report")).expect("JSON");
        let devices = report["devices"].as_array().expect("devices");
        let disk = devices.iter().find(|device| device["kind"] == "block").expect("a disk");
        // Less than a hundredth of what is in it.
        let read = disk["bytes_in"].as_u64().expect("bytes");
        assert!(read < 4 << 20, "{disk}");
    });
}

fn more_memory_than_there_is_is_not_asked_for() {
    in_namespace(|| {
        tap();
        let directory = files::directory();
        let image = files::sparse(directory.path(), "a.img", 64 << 20);
        let guest = start(redis::run(&image).option("--mem", "32M"));
        // Each begins a request of the longest kind, and waits.
        let mut clients: Vec<Client> = (0..40).map(|_| Client::new()).collect();
        let half = vec![b'x'; 500_000];
        for client in &mut clients {
            let _ = client.send(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1048576\r\n");
            let _ = client.send(&half);
        }
        // Short ones are served meanwhile, and those that found no memory were told.
        let mut client = Client::new();
        assert_eq!(client.call(&["SET", "key", "value"]), Value::ok());
        assert_eq!(client.call(&["GET", "key"]), Value::Bulk(b"value".to_vec()));
        let refused = clients.split_off(20).into_iter().filter_map(|mut client| client.answer()).count();
        assert!(refused > 0);
        drop(clients);
        // And later there is memory again.
        let value = noise(3, 1 << 20);
        let mut tries = 0;
        while Client::new().try_call(&[b"SET", &b"long"[..], &value]) != Some(Value::ok()) {
            tries += 1;
            assert!(tries < 100, "there is no memory for a long value any more");
            std::thread::sleep(Duration::from_millis(100));
        }
        let _ = end(guest);
    });
}

fn small_values_beside_large_ones_take_no_more_memory() {
    in_namespace(|| {
        tap();
        let directory = files::directory();
        let image = files::sparse(directory.path(), "a.img", 256 << 20);
        let guest = start(redis::run(&image).option("--mem", "32M"));
        let mut client = Client::new();
        // In their order, so that a leaf of the tree has one small value and the large one behind it.
        for number in 0..40 {
            assert_eq!(client.call(&["SET", &format!("key {number:02} a"), "0"]), Value::ok());
        }
        for number in 0..40 {
            let key = format!("key {number:02} b");
            assert_eq!(client.call(&[b"SET", key.as_bytes(), &noise(number + 1, 1 << 20)]), Value::ok());
        }
        // All of these leaves are written anew, in one pipeline: 80 MiB.
        for round in 1..3 {
            let pipeline: Vec<u8> =
                (0..40).flat_map(|number| encode(&["INCR", &format!("key {number:02} a")])).collect();
            assert!(client.send(&pipeline));
            for number in 0..40 {
                assert_eq!(client.answer(), Some(Value::Integer(round)), "{number}");
            }
        }
        // What one command would change beyond that is refused.
        let keys: Vec<String> = (0..40).map(|number| format!("key {number:02} a")).collect();
        let all: Vec<&str> = std::iter::once("DEL").chain(keys.iter().map(String::as_str)).collect();
        let answer = client.call(&all);
        assert!(
            answer.error().is_some_and(|error| error.starts_with("OOM the command changes too much at once")),
            "{answer:?}"
        );
        assert_eq!(client.call(&["DBSIZE"]), Value::Integer(80));
        assert_eq!(client.call(&all[..2]), Value::Integer(1));
        assert!(client.call(&["GET", "key 39 b"]) == Value::Bulk(noise(40, 1 << 20)));
        let _ = end(guest);
    });
}
