//! What those see who look at a guest from outside: an ordinary host.

use nix::sys::signal::Signal;
use std::time::Duration;
use ukvm_tests::files::call;
use ukvm_tests::network::{self, in_namespace};
use ukvm_tests::run::{Run, Running};
use ukvm_tests::suite::{Need, in_rig};

ukvm_tests::tests! {
    tcp_ports .needs(&[Need::Network, Need::Program("nmap")]);
    udp_ports .needs(&[Need::Network, Need::Program("nmap")]);
    protocols .needs(&[Need::Network, Need::Program("nmap")]);
    a_flood_of_pings_is_answered .needs(&[Need::Network, Need::Program("ping")]) .alone();
}

/// The guest that is looked at, by both families.
fn echo() -> Running {
    network::make_tap_with_address("tap0");
    let guest = Run::guest("echo")
        .option("--net", "tap0")
        .args(["--ip", "10.0.0.2/24", "--ip", "fd00::2/64"])
        .deadline(Duration::from_secs(120))
        .start();
    guest.wait_for("port 7 of fd00::2");
    guest
}

fn end(guest: Running) {
    guest.signal(Signal::SIGTERM);
    let _ = guest.wait().status(0).quietly();
}

/// What nmap says over IPv4 and then over IPv6: of ports or protocols that are unlike the others, and of those.
fn scan(kind: &str, ports: &str) -> [Seen; 2] {
    [&["10.0.0.2"][..], &["-6", "fd00::2"]].map(|target| {
        let arguments = [&["-n", "-Pn", "-oX", "-", kind, "-p", ports], target].concat();
        let text = String::from_utf8_lossy(&call("nmap", &arguments).stdout).into_owned();
        let field = |element: &str, name: &str| {
            let value = element.split(&format!("{name}=\"")).nth(1).and_then(|rest| rest.split('"').next());
            value.unwrap_or_else(|| panic!("no {name} in {element}")).to_owned()
        };
        let state = |element: &str| format!("{} ({})", field(element, "state"), field(element, "reason"));
        let others = text.split("<extraports ").skip(1);
        Seen {
            ports: text
                .split("<port ")
                .skip(1)
                .map(|port| (field(port, "portid"), field(port, "state")))
                .collect(),
            others: others.map(|some| format!("{} {}", field(some, "count"), state(some))).collect(),
        }
    })
}

/// What a scan has found.
#[derive(Debug)]
struct Seen {
    /// The state of each port or protocol that is unlike most others.
    ports: Vec<(String, String)>,
    /// The number and the state of the others, and what tells it, a line for each state.
    others: Vec<String>,
}

impl Seen {
    #[track_caller]
    fn check(&self, ports: &[(&str, &str)], others: &[&str]) {
        let lines: Vec<&str> = self.others.iter().map(String::as_str).collect();
        let seen: Vec<_> = self.ports.iter().map(|(port, state)| (&**port, &**state)).collect();
        assert_eq!((&seen[..], &lines[..]), (ports, others));
    }
}

fn tcp_ports() {
    in_namespace(|| {
        let guest = echo();
        for seen in scan("-sS", "1-1000") {
            seen.check(&[("7", "open")], &["999 closed (reset)"]);
        }
        end(guest);
    });
}

fn udp_ports() {
    in_namespace(|| {
        let guest = echo();
        for seen in scan("-sU", "1-100") {
            seen.check(&[("7", "open")], &["99 closed (port-unreach)"]);
        }
        end(guest);
    });
}

fn protocols() {
    in_namespace(|| {
        let guest = echo();
        let [v4, v6] = scan("-sO", "0-255");
        let open = [("1", "open"), ("6", "open"), ("17", "open")];
        v4.check(&open, &["253 closed (proto-unreach)"]);
        // Without contents the first is nonsense, a fragment is not for here, nmap's message of ICMPv6 asks nothing, and 59 says that
        // nothing follows. But nmap takes any message of ICMPv6 for an answer to its own: also one to find a neighbour.
        let nothing = "open|filtered";
        let icmp = if v6.ports.contains(&("58".into(), "open".into())) { "open" } else { nothing };
        let unlike = [("0", nothing), open[1], open[2], ("44", nothing), ("58", icmp), ("59", nothing)];
        v6.check(&unlike, &["250 closed (param-problem)"]);
        end(guest);
    });
}

fn a_flood_of_pings_is_answered() {
    in_namespace(|| {
        let guest = echo();
        let count = if in_rig() { "200" } else { "5000" };
        for address in ["10.0.0.2", "fd00::2"] {
            for size in ["8", "56", "1400"] {
                let output = call("ping", &["-f", "-q", "-c", count, "-s", size, address]);
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                let all = format!("{count} packets transmitted, {count} received, 0% packet loss");
                assert!(text.contains(&all), "{text}");
            }
        }
        end(guest);
    });
}
