//! The report as one HTML file that needs nothing else.

use crate::chart;
use crate::error::Error;
use crate::promise::{Promise, Promised, Unmeasured, Verdict};
use crate::results::Results;
use crate::table;
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = "
body { font: 16px/1.5 system-ui, sans-serif; color: #222b38; background: #fff; max-width: 1200px; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2.5rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .45rem .7rem; border-bottom: 1px solid #e3e7ec; vertical-align: top }
th { color: #5b6675; font-weight: 600 }
td:first-child { min-width: 12rem }
td.figure { font-variant-numeric: tabular-nums; white-space: nowrap }
.met { color: #17663a; font-weight: 600 } .missed { color: #a4262c; font-weight: 600 } .open { color: #5b6675 }
.partial { border-left: 4px solid #e07b1a; background: #fdf3e7; padding: .6rem 1rem }
pre { background: #f5f7f9; padding: 1rem; overflow-x: auto; font-size: .85rem; line-height: 1.35 }
svg { width: 100%; height: auto }
.faint { color: #5b6675 }
";

/// The report.
///
/// # Errors
///
/// Where a figure cannot be drawn.
pub fn report(results: &Results) -> Result<String, Error> {
    let starts = results.boot.as_ref().map(|boot| chart::boot(boot, &results.machine)).transpose()?;
    let sections = [
        ("Starts", results.boot.as_ref().map(table::boot), starts),
        ("Starts and ends a second", results.churn.as_ref().map(table::churn), None),
        ("Memory", results.memory.as_ref().map(table::memory), None),
        ("Computing", results.compute.as_ref().map(table::compute), None),
        ("Packets and blocks", results.io.as_ref().map(table::io), None),
    ];
    let chart = chart::promises(results)?;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "ukvm: promises in numbers" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "ukvm: promises in numbers" }
                p.faint { (results.machine.line()) ", ukvm-bench " (results.ukvm_bench) }
                @if let Some(reason) = &results.stopped {
                    p.partial { "Not all was measured: " (reason) "." }
                }
                @for note in &results.notes { p.partial { (note) "." } }
                (PreEscaped(chart))
                (promises(results))
                @for (name, text, figure) in sections {
                    @if let Some(text) = text {
                        h2 { (name) }
                        @if let Some(svg) = figure { (PreEscaped(svg)) }
                        pre { (text) }
                    }
                }
            }
        }
    };
    Ok(page.into_string())
}

fn promises(results: &Results) -> Markup {
    html! {
        p {
            "Each figure is a ratio to a floor: a program that makes the same calls of the host with nothing around them, run in \
             turn with it. The unfavourable end of the 95 % interval decides."
        }
        table {
            thead { tr {
                th { "Promise" } th { "Floor" } th { "Floor's figure" } th { "Figure" } th { "Ratio (95 % interval)" }
                th { "Target" } th { "Moonshot" } th { "Verdict" }
            } }
            tbody {
                @for Promise { promised: Promised { name, floor, target, moonshot }, floor_figure, figure, ratio, verdict }
                    in &results.promises
                {
                    tr {
                        td { (name) } td { (floor) }
                        td.figure { (floor_figure) } td.figure { (figure) }
                        td.figure { (table::ratio(*ratio)) }
                        td.figure { (target.text()) } td.figure { (number(*moonshot)) }
                        td class=(class(*verdict)) { (verdict.text()) }
                    }
                }
                @for Unmeasured { name, floor, target, moonshot, reason } in &results.unmeasured {
                    tr.faint {
                        td { (name) } td { (floor) }
                        td colspan="3" { "not measured: " (reason) }
                        td.figure { (target.map_or("–".to_owned(), |target| target.text())) }
                        td.figure { (moonshot.map_or("–".to_owned(), number)) }
                        td { "not measured" }
                    }
                }
            }
        }
    }
}

/// A number with the digits that count.
fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

const fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Met => "met",
        Verdict::Missed => "missed",
        Verdict::TooFewPairs => "open",
    }
}
