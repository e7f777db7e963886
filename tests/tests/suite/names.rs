//! Names, with dnsmasq as the server.

use std::path::Path;
use std::time::Duration;
use ukvm_tests::daemon::Daemon;
use ukvm_tests::files;
use ukvm_tests::network::{self, in_namespace};
use ukvm_tests::run::Run;
use ukvm_tests::suite::Need;

ukvm_tests::tests! {
    names_aliases_and_what_is_not_there .needs(&[Need::Network, Need::Program("dnsmasq")]);
    the_second_server_is_asked_where_the_first_is_gone .needs(&[Need::Network, Need::Program("dnsmasq")]);
    without_a_server_that_is_said .needs(&[Need::Network]);
}

/// A server on the host's address that knows `records`, and nobody else to ask.
pub(crate) fn dnsmasq(directory: &Path, address: &str, records: &[&str]) -> Daemon {
    let listen = format!("--listen-address={address}");
    let mut arguments = vec![
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--bind-interfaces",
        "--user=",
        "--pid-file=",
        "--log-facility=-",
        "--log-queries",
        &listen,
    ];
    arguments.extend(records);
    let server = Daemon::start("dnsmasq", &arguments, directory);
    server.wait_for("started");
    server
}

/// A guest that looks up `names` at `servers`.
fn resolve(servers: &[&str], names: &[&str]) -> String {
    let servers = servers.iter().flat_map(|server| ["--dns", server]);
    let ended = Run::guest("resolve")
        .option("--net", "tap0")
        .args(["--ip", "10.0.0.2/24", "--gateway", "10.0.0.1"])
        .args(servers)
        .args(names)
        .deadline(Duration::from_secs(60))
        .finish();
    ended.status(0).text()
}

fn names_aliases_and_what_is_not_there() {
    in_namespace(|| {
        network::make_tap_with_address("tap0");
        let directory = files::directory();
        let many: Vec<_> =
            (1..=60).map(|number| format!("--host-record=many.example,192.0.2.{number}")).collect();
        let mut records = vec![
            "--address=/one.example/192.0.2.7",
            "--address=/one.example/2001:db8::7",
            "--host-record=target.example,192.0.2.8",
            "--cname=middle.example,target.example",
            "--cname=alias.example,middle.example",
            "--local=/example/",
        ];
        records.extend(many.iter().map(String::as_str));
        let server = dnsmasq(directory.path(), "10.0.0.1", &records);
        let names = ["one.example", "alias.example", "nowhere.example", "elsewhere.test", "many.example"];
        let text = resolve(&["10.0.0.1"], &names);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..5],
            [
                "servers: 10.0.0.1",
                "one.example: 192.0.2.7 2001:db8::7",
                "alias.example: 192.0.2.8",
                "nowhere.example: the name has no address",
                // Without servers of its own it refuses.
                "elsewhere.test: no DNS server has answered",
            ],
            "{}",
            server.said()
        );
        let (name, addresses) = lines[5].split_once(": ").expect("a name and addresses");
        assert_eq!((name, addresses.split(' ').count()), ("many.example", 60), "{addresses}");
    });
}

fn the_second_server_is_asked_where_the_first_is_gone() {
    in_namespace(|| {
        network::make_tap_with_address("tap0");
        let directory = files::directory();
        let _server = dnsmasq(directory.path(), "10.0.0.1", &["--address=/one.example/192.0.2.7"]);
        // The first is an address that nobody has.
        let text = resolve(&["10.0.0.77", "10.0.0.1"], &["one.example"]);
        assert_eq!(text, "servers: 10.0.0.77 10.0.0.1\none.example: 192.0.2.7\n");
    });
}

fn without_a_server_that_is_said() {
    in_namespace(|| {
        network::make_tap_with_address("tap0");
        let text = resolve(&[], &["one.example", "192.0.2.1"]);
        let expected =
            "servers:\none.example: no DNS server is known: give one with --dns\n192.0.2.1: 192.0.2.1\n";
        assert_eq!(text, expected);
    });
}
