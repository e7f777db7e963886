//! Tests of the figures: what they must say, and that nothing leaves them.

use super::*;
use crate::boot::timeline::{Phase, Timeline, Who};
use crate::boot::{Boot, Ratio, Started};
use crate::machine::Kvm;
use crate::promise::{Promised, Target};
use crate::results::Results;
use crate::stats::{Interval, Summary};

fn machine() -> Machine {
    Machine {
        date: "2026-01-01T00:00:00Z".into(),
        cpu: "A <fast> & cheap CPU".into(),
        cpus: 2,
        kernel: "6.1".into(),
        kvm: Kvm::Software,
    }
}

fn started(name: &str, first_ns: u64) -> Started {
    let firsts: Vec<u64> = (0..200).map(|round| first_ns + round * 1000).collect();
    let wholes: Vec<u64> = firsts.iter().map(|first| first + 400_000).collect();
    let summary = |times: &[u64]| Summary::of(times.iter().map(|time| *time as f64)).unwrap();
    Started {
        name: name.into(),
        first_byte_ns: summary(&firsts),
        reaped_ns: summary(&wholes),
        whole_life_ns: summary(&wholes),
        helpers: 0,
        first_bytes_ns: firsts,
        whole_lives_ns: wholes,
    }
}

fn results(programs: usize, with_timeline: bool) -> Boot {
    let phase = |name: &str, who, at_ns, took_ns| Phase { name: name.into(), who, at_ns, took_ns };
    let timeline = Timeline {
        runs: 25,
        phases: vec![
            phase("exec", Who::Process, 0.0, 400_000.0),
            phase("vCPU ready", Who::Monitor, 400_000.0, 900_000.0),
            phase("first exit", Who::Guest, 1_300_000.0, 90_000.0),
        ],
        first_byte_ns: 1_310_000.0,
    };
    Boot {
        rounds: 200,
        wanted: 200,
        programs: (0..programs as u64)
            .map(|index| started("a long <name> of a program & more", 1_000_000 + 300_000 * index))
            .collect(),
        ratios: vec![Ratio {
            of: "a".into(),
            to: "the floor".into(),
            first_byte: Interval { low: 1.4, median: 1.5, high: 1.625, count: 200 },
            whole_life: Interval { low: 1.1, median: 1.2, high: 1.3, count: 200 },
        }],
        timeline: with_timeline.then_some(timeline),
    }
}

/// The values of an attribute.
fn attributes<'a>(svg: &'a str, name: &str) -> Vec<&'a str> {
    let start = format!(" {name}=\"");
    svg.split(&*start).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn a_figure_is_one_svg_that_says_what_it_shows() {
    let svg = boot(&results(2, true), &machine()).unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    for words in [
        "How long a long &lt;name&gt; of a program &amp; more takes to start",
        "200 rounds, in turn",
        "A &lt;fast&gt; &amp; cheap CPU",
        "software KVM",
        "to the first byte of output",
        "first byte 1.10 ms",
        "whole life 1.50 ms",
        "vCPU ready",
        "900 µs",
        "By the floor, round by round: to the first byte 1.50  (1.40 to 1.62), whole life 1.20",
        "milliseconds",
        "first byte seen: 1.31 ms",
    ] {
        assert!(svg.contains(words), "it does not say {words}");
    }
    assert!(
        !svg.contains("http://www.w3.org/1999/xlink") && !svg.contains("<image"),
        "it needs nothing else"
    );
}

#[test]
fn everything_is_inside() {
    for (programs, with_timeline) in [(2, true), (5, false), (3, true)] {
        let svg = boot(&results(programs, with_timeline), &machine()).unwrap();
        let height: f64 = attributes(&svg, "height")[0].parse().unwrap();
        for (name, limit) in [("x", f64::from(WIDTH)), ("y", height)] {
            for value in attributes(&svg, name) {
                let value: f64 = value.parse().unwrap();
                assert!((0.0..=limit).contains(&value), "{name} is {value} in {limit}");
            }
        }
    }
}

#[test]
fn a_partial_result_is_marked() {
    let svg = boot(&Boot { rounds: 37, ..results(2, false) }, &machine()).unwrap();
    assert!(svg.contains("37 rounds of 200 (stopped early)"));
}

/// Promises that are met, missed and open, far from their targets on both sides, and one that was not measured.
fn promised() -> Results {
    let promised =
        |name: &str, target| Promised { name: name.into(), floor: "f".into(), target, moonshot: 1.1 };
    let beside = |promised: Promised, median: f64, count| {
        let ratio = Interval { low: 0.9 * median, median, high: 1.1 * median, count };
        promised.beside("1 ms".into(), "2 ms".into(), ratio)
    };
    let promises = vec![
        beside(promised("a <cost>", Target::AtMost(1.5)), 1.2, 100),
        beside(promised("far away", Target::AtLeast(1.0)), 0.012, 100),
        beside(promised("too much", Target::AtMost(2.0)), 62.0, 100),
        beside(promised("too few", Target::AtLeast(0.5)), 50.0, 9),
        beside(promised("no number", Target::AtLeast(0.5)), f64::NAN, 100),
    ];
    let unmeasured = vec![promised("packets", Target::AtLeast(0.9)).unmeasured("no TAP")];
    Results { promises, unmeasured, ..Results::here() }
}

#[test]
fn all_promises_are_in_one_figure() {
    let results = promised();
    let svg = promises(&results).unwrap();
    for words in [
        "a &lt;cost&gt;",
        "1.20  (1.08 to 1.32)",
        "≤ 1.5",
        "0.012",
        "packets",
        "not measured",
        "moonshot",
        "target",
    ] {
        assert!(svg.contains(words), "it does not say {words}");
    }
    let height: f64 = attributes(&svg, "height")[0].parse().unwrap();
    for (name, limit) in [("x", f64::from(WIDTH)), ("cx", f64::from(WIDTH)), ("y", height), ("cy", height)] {
        let values = attributes(&svg, name);
        assert!(!values.is_empty());
        for value in values {
            let value: f64 = value.parse().unwrap();
            assert!((0.0..=limit).contains(&value), "{name} is {value} in {limit}");
        }
    }
    // Better than promised is right of the line, for costs as for gains; the rows' circles follow the three of the legend.
    let middles: Vec<f64> =
        attributes(&svg, "cx").iter().skip(3).map(|middle| middle.parse().unwrap()).collect();
    let line = promises::target_at(&results);
    assert!(
        middles[0] > line && middles[1] < line && middles[2] < line && middles[3] > line,
        "{middles:?} {line}"
    );
}

#[test]
fn without_any_promise_there_is_a_figure_too() {
    assert!(promises(&Results::here()).unwrap().contains("target"));
}
