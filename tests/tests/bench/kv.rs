//! `ukvm-bench kv`.

use crate::{Measured, each};
use ukvm_tests::suite::Need;

ukvm_tests::tests! {
    two_servers_beside_each_other
        .needs(&[Need::Network, Need::Program("redis-server"), Need::Program("redis-benchmark")]);
}

fn two_servers_beside_each_other() {
    let measured = Measured::by("kv");
    let loads = &measured.result["loads"];
    assert_eq!(each(loads, "name").len(), 12);
    for load in loads.as_array().expect("loads") {
        let servers = load["servers"].as_array().expect("servers");
        assert_eq!(servers.len(), 2, "{load}");
        for server in servers {
            for figure in ["requests_per_second", "p50_ns", "p99_ns"] {
                assert!(server[figure]["median"].as_f64() > Some(0.0), "{figure} of {server}");
            }
            let name = server["name"].as_str().expect("a name");
            measured.tells_of(name);
            assert_eq!(server["by_redis"].is_null(), name == "redis-server", "{server}");
        }
    }
}
