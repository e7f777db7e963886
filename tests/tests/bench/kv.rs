//! `ukvm-bench kv`.

use crate::{bench, each, json};
use std::fs;
use ukvm_tests::files;
use ukvm_tests::suite::Need;

ukvm_tests::tests! {
    two_servers_beside_each_other
        .needs(&[Need::Network, Need::Program("redis-server"), Need::Program("redis-benchmark")]);
}

fn two_servers_beside_each_other() {
    let directory = files::directory();
    let place = directory.path().join("stores");
    fs::create_dir(&place).expect("a directory");
    let [result, page] = ["a.json", "a.md"].map(|name| directory.path().join(name));
    let run = bench(["kv", "--runs", "1", "--json"]).options([&result]);
    let run = run.option("--markdown", &page).option("--directory", &place);
    let ended = run.finish().status(0).says(&["ukvm-bench: kv: 1 of 1\n"]);
    let loads = json(&result)["kv"]["loads"].clone();
    assert_eq!(each(&loads, "name").len(), 12);
    let page = fs::read_to_string(page).expect("a page");
    for load in loads.as_array().expect("loads") {
        let servers = load["servers"].as_array().expect("servers");
        assert_eq!(servers.len(), 2, "{load}");
        for server in servers {
            for figure in ["requests_per_second", "p50_ns", "p99_ns"] {
                assert!(server[figure]["median"].as_f64() > Some(0.0), "{figure} of {server}");
            }
            let name = server["name"].as_str().expect("a name");
            assert!(ended.text().contains(name) && page.contains(name), "{name}: {}", ended.text());
            assert_eq!(server["by_redis"].is_null(), name == "redis-server", "{server}");
        }
    }
    assert_eq!(fs::read_dir(place).expect("a directory").count(), 0, "the stores were left behind");
}
