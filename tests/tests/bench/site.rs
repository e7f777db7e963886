//! `ukvm-bench site` and `ukvm-bench tls`.

use crate::{Measured, each};
use ukvm_tests::suite::Need;

ukvm_tests::tests! {
    three_servers_beside_each_other
        .needs(&[Need::Network, Need::Program("wrk"), Need::Program("nginx")]);
    three_servers_over_tls
        .needs(&[Need::Network, Need::Program("wrk"), Need::Program("nginx"), Need::Program("openssl")]);
}

fn three_servers_beside_each_other() {
    three_servers("site", "static-site");
}

fn three_servers_over_tls() {
    three_servers("tls", "https");
}

/// Measures a site in one round. `guest` is the guest's name.
fn three_servers(command: &str, guest: &str) {
    let measured = Measured::by(command);
    let loads = &measured.result["loads"];
    assert_eq!(each(loads, "name").len(), 3);
    for load in loads.as_array().expect("loads") {
        let servers = load["servers"].as_array().expect("servers");
        assert_eq!(servers.len(), 3, "{load}");
        for server in servers {
            for figure in ["requests_per_second", "p50_ns", "p99_ns", "memory_bytes"] {
                assert!(server[figure]["median"].as_f64() > Some(0.0), "{figure} of {server}");
            }
            let name = server["name"].as_str().expect("a name");
            measured.tells_of(name);
            assert_eq!(server["by_nginx"].is_null(), name == "nginx", "{server}");
            assert_eq!(server["by_process"].is_null(), name != format!("{guest} in a guest"), "{server}");
        }
    }
}
