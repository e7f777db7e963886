//! `ukvm-bench job`.

use crate::{Measured, each};
use ukvm_tests::suite::Need;

ukvm_tests::tests! {
    jobs_beside_curl
        .needs(&[Need::Network, Need::Program("dnsmasq"), Need::Program("nginx"), Need::Program("curl"), Need::Program("mkfs.vfat")]);
}

fn jobs_beside_curl() {
    let measured = Measured::by("job");
    let subjects = &measured.result["subjects"];
    let names = each(subjects, "name");
    assert_eq!(names.len(), 4);
    for subject in subjects.as_array().expect("subjects") {
        let name = subject["name"].as_str().expect("a name");
        measured.tells_of(name);
        let life = subject["life_ns"]["median"].as_f64().expect("a life");
        let is_curl = name.starts_with("curl,");
        assert_eq!(subject["by_curl"].is_null(), is_curl, "{subject}");
        let stages = subject["stages"].as_array().expect("stages");
        assert_eq!(stages.len(), if is_curl { 0 } else { 8 }, "{subject}");
        let told: f64 = stages.iter().map(|stage| stage["took_ns"]["median"].as_f64().expect("a time")).sum();
        assert!(is_curl || (told - life).abs() < 1e3, "{told} of {life}");
    }
}
