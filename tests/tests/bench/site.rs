//! `ukvm-bench site` and `ukvm-bench tls`.

use crate::{bench, each, json};
use std::fs;
use ukvm_tests::files;
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
    let directory = files::directory();
    let place = directory.path().join("sites");
    fs::create_dir(&place).expect("a directory");
    let [result, page] = ["a.json", "a.md"].map(|name| directory.path().join(name));
    let run = bench([command, "--runs", "1", "--json"]).options([&result]);
    let run = run.option("--markdown", &page).option("--directory", &place);
    let ended = run.finish().status(0).says(&[&*format!("ukvm-bench: {command}: 1 of 1\n")]);
    let loads = json(&result)[command]["loads"].clone();
    assert_eq!(each(&loads, "name").len(), 3);
    let page = fs::read_to_string(page).expect("a page");
    for load in loads.as_array().expect("loads") {
        let servers = load["servers"].as_array().expect("servers");
        assert_eq!(servers.len(), 3, "{load}");
        for server in servers {
            for figure in ["requests_per_second", "p50_ns", "p99_ns", "memory_bytes"] {
                assert!(server[figure]["median"].as_f64() > Some(0.0), "{figure} of {server}");
            }
            let name = server["name"].as_str().expect("a name");
            assert!(ended.text().contains(name) && page.contains(name), "{name}: {}", ended.text());
            assert_eq!(server["by_nginx"].is_null(), name == "nginx", "{server}");
            assert_eq!(server["by_process"].is_null(), name != format!("{guest} in a guest"), "{server}");
        }
    }
    assert_eq!(fs::read_dir(place).expect("a directory").count(), 0, "the site was left behind");
}
