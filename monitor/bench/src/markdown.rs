//! The promises as a table in Markdown, for a page of documentation.

use crate::job::Job;
use crate::kv::Kv;
use crate::machine::Machine;
use crate::promise::{Promise, Promised, Unmeasured};
use crate::results::Results;
use crate::site::Site;
use crate::stats::{Interval, Summary};
use crate::table;

/// Where and when it was measured, and the promises: what was measured of them, or why not.
#[must_use]
pub fn promises(results: &Results) -> String {
    let mut text = format!("{}.\n\n", results.machine.line());
    if let Some(reason) = &results.stopped {
        text += &format!("**Not all was measured:** {}.\n\n", escaped(reason));
    }
    for note in &results.notes {
        text += &format!("{}.\n\n", escaped(note));
    }
    text += "| promise | floor | ukvm | ratio | target | verdict |\n|---|---|---|---|---|---|\n";
    for promise in &results.promises {
        let Promise { promised: Promised { name, floor, target, .. }, floor_figure, figure, ratio, verdict } =
            promise;
        text += &row([
            name,
            &format!("{floor}: {floor_figure}"),
            figure,
            &table::ratio(*ratio),
            &target.text(),
            verdict.text(),
        ]);
    }
    for Unmeasured { name, floor, target, reason, .. } in &results.unmeasured {
        let target = target.map_or("–".to_owned(), |target| target.text());
        text += &row([name, floor, "–", "–", &target, &format!("not measured: {reason}")]);
    }
    text
}

/// Where and when it was measured, and how fast a web site was.
#[must_use]
pub fn site(site: &Site, machine: &Machine) -> String {
    let mut text = format!("{}; {}.\n\n", machine.line(), table::rounds(site.rounds, site.wanted));
    text +=
        "| | requests a second | half of them within | 99 % within | memory | by nginx | by the process |\n";
    text += "|---|---|---|---|---|---|---|\n";
    for load in &site.loads {
        text += &format!("| **{}** | | | | | | |\n", escaped(&load.name));
        for served in &load.servers {
            let [rate, median, p99] = served.speed.medians();
            text += &format!(
                "| {} | {rate} | {median} | {p99} | {} | {} | {} |\n",
                escaped(&served.name),
                table::size(served.memory_bytes.median),
                by(served.by_nginx),
                by(served.by_process),
            );
        }
    }
    text
}

/// Where and when it was measured, and how long jobs lived: the lives, and what they are made of.
#[must_use]
pub fn job(job: &Job, machine: &Machine) -> String {
    let mut text = format!("{}; {}.\n\n", machine.line(), table::rounds(job.rounds, job.wanted));
    text += "| | median | least | p90 | by curl |\n|---|---|---|---|---|\n";
    for lived in &job.subjects {
        let mut line = |name: &str, took: &Summary, by: &str| {
            let [median, least, p90] = [took.median, took.minimum, took.p90].map(table::time);
            text += &format!("| {} | {median} | {least} | {p90} | {by} |\n", escaped(name));
        };
        line(&format!("**{}**", lived.name), &lived.life_ns, &by(lived.by_curl));
        for stage in &lived.stages {
            line(&stage.name, &stage.took_ns, "");
        }
    }
    text
}

/// Where and when it was measured, and how fast a key/value service was.
#[must_use]
pub fn kv(kv: &Kv, machine: &Machine) -> String {
    let mut text = format!("{}; {}.\n\n", machine.line(), table::rounds(kv.rounds, kv.wanted));
    text += "| | requests a second | half of them within | 99 % within | by redis-server |\n";
    text += "|---|---|---|---|---|\n";
    for load in &kv.loads {
        text += &format!("| **{}** | | | | |\n", escaped(&load.name));
        for served in &load.servers {
            let [rate, median, p99] = served.speed.medians();
            let (name, by) = (escaped(&served.name), by(served.by_redis));
            text += &format!("| {name} | {rate} | {median} | {p99} | {by} |\n");
        }
    }
    text
}

fn row(cells: [&str; 6]) -> String {
    format!("| {} |\n", cells.map(escaped).join(" | "))
}

/// A ratio, if there is one.
fn by(interval: Option<Interval>) -> String {
    interval.map_or("–".to_owned(), |interval| escaped(&table::ratio(interval)))
}

/// A text in which nothing ends a cell or a line.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ").replace("  ", " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    /// What the page shows of a result.
    #[derive(Deserialize)]
    struct Shown {
        machine: Machine,
        stopped: Option<String>,
        notes: Vec<String>,
        promises: Vec<Promise>,
        unmeasured: Vec<Unmeasured>,
    }

    fn assert_page_has(table: &str, name: &str) {
        let page = include_str!("../../../docs/performance.md");
        assert!(page.contains(table), "docs/performance.md must have this of docs/results/{name}:\n{table}");
    }

    #[test]
    fn the_page_on_performance_shows_the_result_beside_it() {
        let json = include_str!("../../../docs/results/ukvm-bench.json");
        let Shown { machine, stopped, notes, promises: kept, unmeasured } =
            serde_json::from_str(json).unwrap();
        let results = Results { machine, stopped, notes, promises: kept, unmeasured, ..Results::here() };
        let table = promises(&results);
        assert_page_has(&table, "ukvm-bench.json");
    }

    #[test]
    fn the_page_on_performance_shows_the_sites_beside_it() {
        #[derive(Deserialize)]
        struct Shown {
            machine: Machine,
            #[serde(alias = "tls")]
            site: Site,
        }
        for (name, json) in [
            ("site.json", include_str!("../../../docs/results/site.json")),
            ("tls.json", include_str!("../../../docs/results/tls.json")),
        ] {
            let Shown { machine, site: measured } = serde_json::from_str(json).unwrap();
            let table = site(&measured, &machine);
            assert_page_has(&table, name);
        }
    }

    #[test]
    fn the_page_on_performance_shows_the_job_beside_it() {
        #[derive(Deserialize)]
        struct Shown {
            machine: Machine,
            job: Job,
        }
        let json = include_str!("../../../docs/results/job.json");
        let Shown { machine, job: measured } = serde_json::from_str(json).unwrap();
        let table = job(&measured, &machine);
        assert_page_has(&table, "job.json");
    }

    #[test]
    fn the_page_on_performance_shows_the_store_beside_it() {
        #[derive(Deserialize)]
        struct Shown {
            machine: Machine,
            kv: Kv,
        }
        let json = include_str!("../../../docs/results/kv.json");
        let Shown { machine, kv: measured } = serde_json::from_str(json).unwrap();
        let table = kv(&measured, &machine);
        assert_page_has(&table, "kv.json");
    }

    #[test]
    fn what_was_not_measured_says_why() {
        let unmeasured = Unmeasured {
            name: "a | b".into(),
            floor: "c".into(),
            target: None,
            moonshot: None,
            reason: "no TAP".into(),
        };
        let stopped = Some("interrupted; 3 of 4".into());
        let text = promises(&Results { unmeasured: vec![unmeasured], stopped, ..Results::here() });
        assert!(text.contains("**Not all was measured:** interrupted; 3 of 4.\n"), "{text}");
        assert!(text.ends_with("| a \\| b | c | – | – | – | not measured: no TAP |\n"), "{text}");
    }
}
