//! `ukvm-bench job`.

use crate::{bench, each, json};
use std::fs;
use ukvm_tests::files;
use ukvm_tests::suite::Need;

ukvm_tests::tests! {
    jobs_beside_curl
        .needs(&[Need::Network, Need::Program("dnsmasq"), Need::Program("nginx"), Need::Program("curl"), Need::Program("mkfs.vfat")]);
}

fn jobs_beside_curl() {
    let directory = files::directory();
    let place = directory.path().join("jobs");
    fs::create_dir(&place).expect("a directory");
    let [result, page] = ["a.json", "a.md"].map(|name| directory.path().join(name));
    let run = bench(["job", "--runs", "1", "--json"]).options([&result]);
    let run = run.option("--markdown", &page).option("--directory", &place);
    let ended = run.finish().status(0).says(&["ukvm-bench: job: 1 of 1\n"]);
    let subjects = json(&result)["job"]["subjects"].clone();
    let names = each(&subjects, "name");
    assert_eq!(names.len(), 4);
    let page = fs::read_to_string(page).expect("a page");
    for subject in subjects.as_array().expect("subjects") {
        let name = subject["name"].as_str().expect("a name");
        assert!(ended.text().contains(name) && page.contains(name), "{name}: {}", ended.text());
        let life = subject["life_ns"]["median"].as_f64().expect("a life");
        let is_curl = name.starts_with("curl,");
        assert_eq!(subject["by_curl"].is_null(), is_curl, "{subject}");
        let stages = subject["stages"].as_array().expect("stages");
        assert_eq!(stages.len(), if is_curl { 0 } else { 8 }, "{subject}");
        let told: f64 = stages.iter().map(|stage| stage["took_ns"]["median"].as_f64().expect("a time")).sum();
        assert!(is_curl || (told - life).abs() < 1e3, "{told} of {life}");
    }
    assert_eq!(fs::read_dir(place).expect("a directory").count(), 0, "the files were left behind");
}
