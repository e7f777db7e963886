//! What those see who look at a guest from outside: an ordinary host.

use nix::sys::signal::Signal;
use std::collections::BTreeMap;
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

/// What nmap says of each port or protocol that was asked for, by number, over IPv4 and then over IPv6.
fn scan(kind: &str, ports: &str) -> [BTreeMap<u8, String>; 2] {
    [&["10.0.0.2"][..], &["-6", "fd00::2"]].map(|target| {
        // All in XML, each port on its own: `-d` has those listed that are like many others.
        let arguments = [&["-n", "-Pn", "-d", "-oX", "-", kind, "-p", ports], target].concat();
        let text = String::from_utf8_lossy(&call("nmap", &arguments).stdout).into_owned();
        let ports = text.split("<port ").skip(1).filter_map(|port| {
            let number = port.split("portid=\"").nth(1)?.split('"').next()?.parse().ok()?;
            let state = port.split("<state state=\"").nth(1)?.split('"').next()?;
            let reason = port.split("reason=\"").nth(1)?.split('"').next()?;
            Some((number, format!("{state} ({reason})")))
        });
        ports.collect()
    })
}

fn tcp_ports() {
    in_namespace(|| {
        let guest = echo();
        for seen in scan("-sS", "1-200") {
            assert_eq!(seen.len(), 200, "{seen:?}");
            for (port, state) in seen {
                let expected = if port == 7 { "open (syn-ack)" } else { "closed (reset)" };
                assert_eq!(state, expected, "port {port}");
            }
        }
        end(guest);
    });
}

fn udp_ports() {
    in_namespace(|| {
        let guest = echo();
        for seen in scan("-sU", "1-60") {
            assert_eq!(seen.len(), 60, "{seen:?}");
            for (port, state) in seen {
                let expected = if port == 7 { "open (udp-response)" } else { "closed (port-unreach)" };
                assert_eq!(state, expected, "port {port}");
            }
        }
        end(guest);
    });
}

fn protocols() {
    in_namespace(|| {
        let guest = echo();
        let [v4, v6] = scan("-sO", "0-255");
        for (seen, open, icmp) in [(v4, [1, 6, 17], 1), (v6, [6, 17, 58], 58)] {
            assert_eq!(seen.len(), 256, "{seen:?}");
            assert!(seen[&icmp].starts_with("open (echo-reply"), "{}", seen[&icmp]);
            for (protocol, state) in seen {
                if open.contains(&protocol) {
                    assert!(state.starts_with("open ("), "protocol {protocol}: {state}");
                } else {
                    assert!(state.starts_with("closed ("), "protocol {protocol}: {state}");
                }
            }
        }
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
