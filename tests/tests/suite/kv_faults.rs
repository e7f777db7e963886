//! `kv-server` on disks that are full, that fail, that shrink, and that are none of its own.

use nix::mount::{MsFlags, mount};
use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;
use ukvm_tests::files::{self, noise};
use ukvm_tests::network::in_namespace;
use ukvm_tests::redis::{self, Client, Value, end, start, tap};
use ukvm_tests::run::Run;
use ukvm_tests::suite::Need;
use ukvm_tests::user::{Devices, in_private_mounts};

ukvm_tests::tests! {
    a_full_disk_refuses_writes_until_something_is_deleted .needs(&[Need::Network]) .not_in_rig(SLOW);
    a_disk_that_fails_loses_nothing .needs(&[Need::Network]) .not_in_rig(SLOW);
    a_failed_flush_is_no_acknowledgement .needs(&[Need::Network]) .not_in_rig(SLOW);
    a_full_host_is_an_error_to_the_client .needs(&[Need::Network, Need::Root]) .not_in_rig(SLOW);
    a_disk_that_shrinks_is_an_error_to_the_client .needs(&[Need::Network]);
    a_disk_that_has_shrunk_is_refused .needs(&[Need::Network]) .not_in_rig(SLOW);
    other_disks_are_refused_and_left_alone
        .needs(&[Need::Network, Need::Program("mkfs.vfat"), Need::Program("mcopy"), Need::Program("tar")]) .not_in_rig(SLOW);
    damaged_stores_are_refused_and_left_alone .needs(&[Need::Network]) .not_in_rig(SLOW);
    large_stores_are_checked_if_that_is_wanted .needs(&[Need::Network]) .not_in_rig(SLOW);
    unknown_arguments_are_refused .needs(&[Need::Network]) .not_in_rig(SLOW);
}

/// Why most are left out in the emulated machine.
const SLOW: &str = "it takes long there, and what it tests is the same on every KVM";

/// Sets keys `PREFIX 0`, `PREFIX 1`... until that is refused: how many, and the refusal.
fn fill(client: &mut Client, prefix: &str, length: usize) -> (usize, String) {
    let mut count = 0;
    loop {
        let value = noise(count as u64 + 1, length);
        match client.call(&[b"SET", format!("{prefix} {count}").as_bytes(), &value]) {
            Value::Error(error) => return (count, error),
            answer => assert_eq!(answer, Value::ok()),
        }
        count += 1;
    }
}

/// Asserts that these keys have the values that `fill` gave them.
fn check(client: &mut Client, prefix: &str, keys: std::ops::Range<usize>, length: usize) {
    for number in keys {
        let answer = client.call(&["GET", &format!("{prefix} {number}")]);
        assert!(answer == Value::Bulk(noise(number as u64 + 1, length)), "{prefix} {number}");
    }
}

fn a_full_disk_refuses_writes_until_something_is_deleted() {
    in_namespace(|| {
        tap();
        let directory = files::directory();
        let image = files::sparse(directory.path(), "a.img", 3_000_000 / 4096 * 4096);
        let guest = start(redis::run(&image));
        let mut client = Client::new();
        let (count, error) = fill(&mut client, "first", 10_000);
        assert_eq!(error, "OOM the disk is full: delete keys, or use a larger disk");
        // Half of the disk at least is of use.
        assert!(count > 120, "{count}");
        // Small ones no longer fit either, and what is there can be read.
        let (_, error) = fill(&mut client, "small", 100);
        assert!(error.starts_with("OOM "), "{error}");
        check(&mut client, "first", 0..count, 10_000);
        assert!(client.call(&["INCR", "number"]).error().is_some_and(|error| error.starts_with("OOM ")));
        // What is deleted makes room, again and again.
        let mut kept = 0..count;
        for round in 0..3 {
            for _ in 0..20 {
                let key = format!("first {}", kept.start);
                assert_eq!(client.call(&["DEL", &key]), Value::Integer(1), "round {round}");
                kept.start += 1;
            }
            let prefix = format!("round {round}");
            let (more, error) = fill(&mut client, &prefix, 10_000);
            assert!(more > 5 && error.starts_with("OOM "), "round {round}: {more}, {error}");
            check(&mut client, &prefix, 0..more, 10_000);
        }
        let text = end(guest).text();
        assert!(text.contains("kv-server: the disk is full: delete keys, or use a larger disk"), "{text}");
        // Nothing of it is lost.
        let guest = start(redis::run(&image));
        check(&mut Client::new(), "first", kept, 10_000);
        let _ = end(guest);
    });
}

fn a_disk_that_fails_loses_nothing() {
    in_namespace(|| {
        tap();
        let directory = files::directory();
        let image = files::sparse(directory.path(), "a.img", 64 << 20);
        let faults = image.with_added_extension("broken");
        // More than the guest's memory holds.
        let guest = start(redis::run(&image).odd("broken-disk").option("--mem", "32M"));
        let mut client = Client::new();
        let value = |number: u64| noise(number + 1, 200_000);
        for number in 0..100 {
            let key = format!("key {number}");
            assert_eq!(client.call(&[b"SET", key.as_bytes(), &value(number)]), Value::ok());
        }
        assert_eq!(client.call(&["SET", "small", "1"]), Value::ok());
        // Writes fail: nothing is acknowledged, and all can be read.
        fs::write(&faults, "write").expect("a file");
        for _ in 0..3 {
            let answer = client.call(&["SET", "small", "2"]);
            assert!(
                answer.error().is_some_and(|error| error.starts_with("MISCONF the disk cannot be written: ")),
                "{answer:?}"
            );
            assert_eq!(client.call(&["GET", "small"]), Value::Bulk(b"1".to_vec()));
        }
        assert_eq!(client.call(&["GET", "key 3"]), Value::Bulk(value(3)));
        // Once it works again, so does all.
        fs::remove_file(&faults).expect("a file");
        assert_eq!(client.call(&["SET", "small", "3"]), Value::ok());
        assert_eq!(client.call(&["GET", "small"]), Value::Bulk(b"3".to_vec()));
        // Reads fail: what is in memory can be read, of the rest the client is told.
        fs::write(&faults, "read").expect("a file");
        let answers: Vec<Value> =
            (0..100).map(|number| client.call(&["GET", &format!("key {number}")])).collect();
        let failed = answers.iter().filter_map(Value::error);
        let failed: Vec<&str> = failed.collect();
        assert!(
            !failed.is_empty()
                && failed.iter().all(|error| error.starts_with("ERR the disk cannot be read: ")),
            "{failed:?}"
        );
        assert_eq!(client.call(&["PING"]), Value::Simple("PONG".into()));
        fs::remove_file(&faults).expect("a file");
        for number in 0..100 {
            let answer = client.call(&["GET", &format!("key {number}")]);
            assert!(answer == Value::Bulk(value(number)), "key {number}");
        }
        assert_eq!(client.call(&["INCR", "small"]), Value::Integer(4));
        let text = end(guest).text();
        assert!(text.contains("kv-server: the disk cannot be written: "), "{text}");
    });
}

fn a_failed_flush_is_no_acknowledgement() {
    in_namespace(|| {
        tap();
        let directory = files::directory();
        let image = files::sparse(directory.path(), "a.img", 4 << 20);
        let faults = image.with_added_extension("broken");
        let guest = start(redis::run(&image).odd("broken-disk"));
        let mut client = Client::new();
        assert_eq!(client.call(&["SET", "key", "1"]), Value::ok());
        fs::write(&faults, "flush").expect("a file");
        for _ in 0..3 {
            let answer = client.call(&["SET", "key", "2"]);
            assert!(answer.error().is_some_and(|error| error.starts_with("MISCONF ")), "{answer:?}");
            assert_eq!(client.call(&["GET", "key"]), Value::Bulk(b"1".to_vec()));
        }
        drop(guest);
        fs::remove_file(&faults).expect("a file");
        let guest = start(redis::run(&image));
        let Value::Bulk(value) = Client::new().call(&["GET", "key"]) else { panic!("the key is lost") };
        assert!(value == b"1" || value == b"2", "{value:?}");
        let _ = end(guest);
    });
}

fn a_full_host_is_an_error_to_the_client() {
    in_private_mounts(Devices::Open, |mounts| {
        tap();
        let place = mounts.scratch.join("small");
        fs::create_dir(&place).expect("a directory");
        let tmpfs = Some("tmpfs");
        mount(tmpfs, &place, tmpfs, MsFlags::empty(), Some("size=1m")).expect("a tmpfs of 1 MiB");
        let image = files::sparse(&place, "a.img", 64 << 20);
        let run = Run::elf(mounts.guest("kv-server"))
            .monitor(&mounts.monitor)
            .option("--net", "tap0")
            .option("--disk", &image)
            .args(["--ip", "10.0.0.2/24"])
            .deadline(Duration::from_secs(120));
        let guest = start(run);
        let mut client = Client::new();
        let (count, error) = fill(&mut client, "key", 10_000);
        assert_eq!(error, "MISCONF the disk cannot be written: the host has no space left for the disk");
        assert!(count > 10, "{count}");
        check(&mut client, "key", 0..count, 10_000);
        // Somebody makes room.
        mount(None::<&str>, &place, None::<&str>, MsFlags::MS_REMOUNT, Some("size=64m"))
            .expect("a larger tmpfs");
        assert_eq!(client.call(&["SET", "later", "value"]), Value::ok());
        check(&mut client, "key", 0..count, 10_000);
        let _ = end(guest);
    });
}

fn a_disk_that_shrinks_is_an_error_to_the_client() {
    in_namespace(|| {
        tap();
        let directory = files::directory();
        let image = files::sparse(directory.path(), "a.img", 64 << 20);
        let guest = start(redis::run(&image).option("--mem", "32M"));
        let mut client = Client::new();
        for number in 0..100 {
            let answer =
                client.call(&[b"SET", format!("key {number}").as_bytes(), &noise(number + 1, 200_000)]);
            assert_eq!(answer, Value::ok());
        }
        File::options().write(true).open(&image).and_then(|file| file.set_len(1 << 20)).expect("an image");
        let mut failed = 0;
        for number in 0..100 {
            match client.call(&["GET", &format!("key {number}")]) {
                // Once a read has failed the database is opened anew, for which it would have to write.
                Value::Error(error) => {
                    let kind = error.starts_with("ERR ") || error.starts_with("MISCONF ");
                    assert!(kind, "{error}");
                    failed += 1;
                }
                answer => assert!(answer == Value::Bulk(noise(number + 1, 200_000)), "key {number}"),
            }
        }
        assert!(failed > 0);
        assert_eq!(client.call(&["PING"]), Value::Simple("PONG".into()));
        // What is written would be lost: nothing is acknowledged, and the file stays as short as it is.
        for _ in 0..3 {
            let answer = client.call(&["SET", "new", "1"]);
            assert!(
                answer.error().is_some_and(|error| error.starts_with("MISCONF the disk cannot be written: ")),
                "{answer:?}"
            );
        }
        for number in 0..100 {
            match client.call(&["GET", &format!("key {number}")]) {
                Value::Error(_) => {}
                answer => assert!(answer == Value::Bulk(noise(number + 1, 200_000)), "key {number}"),
            }
        }
        assert_eq!(client.call(&["PING"]), Value::Simple("PONG".into()));
        drop(guest);
        assert_eq!(fs::metadata(&image).expect("an image").len(), 1 << 20);
        let text = refused(&image, &[]);
        assert!(text.contains("and its disk has 1048576: use the disk in the size that it had"), "{text}");
    });
}

/// What the guest says of a disk that it does not want, and that it leaves that alone.
fn refused(image: &Path, arguments: &[&str]) -> String {
    let before = fs::read(image).expect("an image");
    let ended = redis::run(image).args(arguments).finish().status(1).quietly();
    assert!(fs::read(image).expect("an image") == before, "{} was changed", image.display());
    let text = ended.text();
    let sentence = text.strip_prefix("kv-server: ").and_then(|text| text.strip_suffix('\n'));
    let sentence = sentence.unwrap_or_else(|| panic!("no sentence: {text}"));
    assert!(!sentence.contains('\n'), "{text}");
    sentence.to_owned()
}

fn a_disk_that_has_shrunk_is_refused() {
    in_namespace(|| {
        tap();
        let directory = files::directory();
        let image = files::sparse(directory.path(), "a.img", 16 << 20);
        let guest = start(redis::run(&image));
        let mut client = Client::new();
        for number in 0..20 {
            let answer =
                client.call(&[b"SET", format!("key {number}").as_bytes(), &noise(number + 1, 200_000)]);
            assert_eq!(answer, Value::ok());
        }
        let _ = end(guest);
        let file = File::options().write(true).open(&image).expect("an image");
        file.set_len(2 << 20).expect("a shorter image");
        let text = refused(&image, &[]);
        assert!(text.contains("and its disk has 2097152: use the disk in the size that it had"), "{text}");
        file.set_len(512 << 10).expect("a shorter image");
        assert_eq!(refused(&image, &[]), "the disk has 524288 bytes: use one of at least 1048576");
    });
}

fn other_disks_are_refused_and_left_alone() {
    in_namespace(|| {
        tap();
        let directory = files::directory();
        let fat = files::fat_image(directory.path(), 4 << 20, &[("a.txt", b"a")]);
        let tree = directory.path().join("tree");
        fs::create_dir(&tree).expect("a directory");
        let _ = files::file(&tree, "a", &noise(1, 2 << 20));
        let tar = ukvm_tests::site::tar(directory.path(), &tree);
        let random = files::file(directory.path(), "random", &noise(2, 2 << 20));
        // Empty at its beginning, as disks with some partition tables and with swap are.
        let mut bytes = vec![0; 4 << 20];
        bytes[32 << 10] = 1;
        let late = files::file(directory.path(), "late", &bytes);
        bytes[32 << 10] = 0;
        bytes[(4 << 20) - 512] = 1;
        let last = files::file(directory.path(), "last", &bytes);
        for image in [fat, tar, random, late, last] {
            let text = refused(&image, &[]);
            assert!(text.starts_with("the disk is neither empty nor a store: "), "{text}");
        }
    });
}

fn damaged_stores_are_refused_and_left_alone() {
    in_namespace(|| {
        tap();
        let directory = files::directory();
        let image = files::sparse(directory.path(), "a.img", 4 << 20);
        let guest = start(redis::run(&image));
        let mut client = Client::new();
        for number in 0..100 {
            let answer = client.call(&[b"SET", format!("key {number}").as_bytes(), &noise(number + 1, 3000)]);
            assert_eq!(answer, Value::ok());
        }
        let _ = end(guest);
        let sound = fs::read(&image).expect("an image");
        // The superblock, the database's header, and the page with a certain value.
        let value = noise(8, 3000);
        let place = sound.windows(64).position(|window| window == &value[100..164]).expect("the value");
        for (at, what) in [(9, "superblock"), (13, "superblock"), (4096 + 70, "header"), (place, "value")] {
            let mut bytes = sound.clone();
            bytes[at] ^= 0x10;
            fs::write(&image, bytes).expect("an image");
            let text = refused(&image, &[]);
            assert!(
                text.starts_with("the store is damaged (") && text.ends_with("): use a copy of it"),
                "{what}: {text}"
            );
        }
        fs::write(&image, sound).expect("an image");
        let guest = start(redis::run(&image));
        assert_eq!(Client::new().call(&["DBSIZE"]), Value::Integer(100));
        let _ = end(guest);
    });
}

fn large_stores_are_checked_if_that_is_wanted() {
    in_namespace(|| {
        tap();
        let directory = files::directory();
        let image = files::sparse(directory.path(), "a.img", 64 << 20);
        let guest = start(redis::run(&image));
        let mut client = Client::new();
        for number in 0..100 {
            let answer =
                client.call(&[b"SET", format!("key {number}").as_bytes(), &noise(number + 1, 200_000)]);
            assert_eq!(answer, Value::ok());
        }
        let _ = end(guest);
        let guest = start(redis::run(&image).args(["--check"]));
        assert_eq!(Client::new().call(&["DBSIZE"]), Value::Integer(100));
        let _ = end(guest);
        let mut bytes = fs::read(&image).expect("an image");
        let value = noise(8, 200_000);
        let place =
            bytes.windows(64).position(|window| window == &value[100_000..100_064]).expect("the value");
        bytes[place] ^= 0x10;
        fs::write(&image, bytes).expect("an image");
        let text = refused(&image, &["--check"]);
        assert!(text.starts_with("the store is damaged ("), "{text}");
        // The other values are as they were.
        let guest = start(redis::run(&image));
        assert!(Client::new().call(&["GET", "key 3"]) == Value::Bulk(noise(4, 200_000)));
        let _ = end(guest);
    });
}

fn unknown_arguments_are_refused() {
    in_namespace(|| {
        tap();
        let directory = files::directory();
        let image = files::sparse(directory.path(), "a.img", 4 << 20);
        let ended = redis::run(&image).args(["--chek"]).finish().status(64).quietly();
        let text = ended.text();
        assert!(
            text.starts_with("kv-server: `--chek` is not known here: use one of --check, --ip, "),
            "{text}"
        );
        assert!(fs::read(&image).expect("an image").iter().all(|&byte| byte == 0));
    });
}
