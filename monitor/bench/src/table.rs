//! Results as text, for a terminal.

use crate::boot::{Boot, Ratio, Started};
use crate::churn::Churn;
use crate::compute::Compute;
use crate::io::Io;
use crate::memory::{Cost, Memory};
use crate::promise::{Promise, Promised, Unmeasured};
use crate::results::Results;
use crate::stats::{Interval, Summary};

/// A time in the unit that suits it.
#[must_use]
pub fn time(nanoseconds: f64) -> String {
    match nanoseconds {
        few if few < 1e3 => format!("{few:.0} ns"),
        few if few < 1e5 => format!("{:.1} µs", few / 1e3),
        some if some < 1e6 => format!("{:.0} µs", some / 1e3),
        some if some < 1e8 => format!("{:.2} ms", some / 1e6),
        some if some < 1e9 => format!("{:.0} ms", some / 1e6),
        many => format!("{:.2} s", many / 1e9),
    }
}

/// A time with a digit more than [`time`], where a little of it counts.
#[must_use]
pub fn precise_time(nanoseconds: f64) -> String {
    match nanoseconds {
        few if few < 1e3 => format!("{few:.0} ns"),
        some if some < 1e5 => format!("{:.2} µs", some / 1e3),
        many => time(many),
    }
}

/// A size in the unit that suits it.
#[must_use]
pub fn size(bytes: f64) -> String {
    match bytes.abs() {
        few if few < 1024.0 * 1024.0 => format!("{:.0} KiB", bytes / 1024.0),
        _ => format!("{:.1} MiB", bytes / 1024.0 / 1024.0),
    }
}

/// A ratio with its interval.
#[must_use]
pub fn ratio(interval: Interval) -> String {
    let Interval { low, median, high, .. } = interval;
    // A small ratio has as many digits that count as others.
    let digits = if median < 0.1 { 3 } else { 2 };
    format!("{median:.digits$}  ({low:.digits$} to {high:.digits$})")
}

/// A line with a ratio.
pub(crate) fn ratio_line(name: &str, interval: Interval) -> String {
    format!("{name:<NAME$}    {}\n", ratio(interval))
}

/// The width of a column of names.
pub(crate) const NAME: usize = 38;
/// The width of a column of figures.
pub(crate) const FIGURE: usize = 12;

/// A line of a table: a name and figures.
pub(crate) fn line<'a>(name: &str, figures: impl IntoIterator<Item = &'a str>) -> String {
    let figures: String = figures.into_iter().map(|figure| format!("{figure:>FIGURE$}")).collect();
    format!("{name:<NAME$}{figures}\n")
}

fn summary(name: &str, summary: Summary, show: fn(f64) -> String) -> String {
    let Summary { minimum, median, p90, p99, .. } = summary;
    let figures = [minimum, median, p90, p99].map(show);
    line(name, figures.iter().map(String::as_str))
}

/// So many rounds, and whether that is all that were wanted.
#[must_use]
pub fn rounds(count: usize, wanted: usize) -> String {
    if count < wanted {
        format!("{count} rounds of {wanted} (stopped early)")
    } else {
        format!("{count} rounds")
    }
}

fn heads(name: &str) -> String {
    line(name, ["minimum", "median", "p90", "p99"])
}

/// Starts.
#[must_use]
pub fn boot(boot: &Boot) -> String {
    let mut text = heads(&format!("boot, {}", rounds(boot.rounds, boot.wanted)));
    for Started { name, first_byte_ns, .. } in &boot.programs {
        text += &summary(&format!("first byte, {name}"), *first_byte_ns, time);
    }
    for Started { name, whole_life_ns, .. } in &boot.programs {
        text += &summary(&format!("whole life, {name}"), *whole_life_ns, time);
    }
    for program in boot.programs.iter().filter(|program| program.helpers > 0) {
        let name = format!("process alone, {}", program.name);
        text += &summary(&name, program.reaped_ns, time);
    }
    for Ratio { of, to, first_byte, whole_life } in &boot.ratios {
        let ends = if first_byte.count < Interval::FEWEST { "their range" } else { "the 95 % interval" };
        text += &format!("{of} by {to}, round by round, with {ends}:\n");
        text += &ratio_line("  first byte", *first_byte);
        text += &ratio_line("  whole life", *whole_life);
    }
    if let Some(timeline) = &boot.timeline {
        text += &line(&format!("timeline, {} separate runs", timeline.runs), ["from", "takes"]);
        for phase in &timeline.phases {
            text += &line(&format!("  {}", phase.name), [&*time(phase.at_ns), &*time(phase.took_ns)]);
        }
        text += &line("  (first byte seen)", [&*time(timeline.first_byte_ns)]);
    }
    text
}

/// Lives a second.
#[must_use]
pub fn churn(churn: &Churn) -> String {
    let Churn {
        rounds: count,
        wanted,
        at_once,
        lives,
        app,
        floor,
        app_per_second,
        floor_per_second,
        ratio: by,
        ..
    } = churn;
    let show = |per_second: f64| format!("{per_second:.0}/s");
    let mut text = heads(&format!("churn, {}", rounds(*count, *wanted)));
    text += &format!("  {lives} lives in each, {at_once} at once\n");
    text += &summary(app, *app_per_second, show);
    text += &summary(floor, *floor_per_second, show);
    text + &ratio_line(&format!("{app} by {floor}"), *by)
}

/// Memory.
#[must_use]
pub fn memory(memory: &Memory) -> String {
    let mut text = heads(&format!("memory (PSS), {}", rounds(memory.rounds, memory.wanted)));
    for Cost { name, own_bytes, parts, guest_bytes, .. } in [&memory.app, &memory.floor] {
        text += &summary(&format!("{name}, without guest"), *own_bytes, size);
        for part in parts {
            text += &line(&format!("  {}", part.name), ["", &*size(part.bytes)]);
        }
        text += &summary(&format!("{name}, touched of the guest"), *guest_bytes, size);
    }
    text += &ratio_line("without guest, by the floor's", memory.ratio);
    for Cost { name, many, further_bytes, .. } in [&memory.app, &memory.floor] {
        text += &line(&format!("{name}, at once"), ["own", "guests", "machine"]);
        for many in many {
            let figures =
                [many.own_bytes as f64, many.guest_bytes as f64, many.machine_bytes as f64].map(size);
            text += &line(&format!("  {}", many.count), figures.iter().map(String::as_str));
        }
        if let Some(further) = further_bytes {
            text += &line("  each further one", [&*size(*further)]);
        }
    }
    text
}

/// Computing.
#[must_use]
pub fn compute(compute: &Compute) -> String {
    let mut text = String::new();
    for kernel in &compute.kernels {
        text += &heads(&format!("{}, {}", kernel.name, rounds(kernel.rounds, kernel.wanted)));
        text += &summary("  guest", kernel.guest_ns, time);
        text += &summary("  host", kernel.host_ns, time);
        let Interval { low, median, high, .. } = kernel.speed;
        text += &format!(
            "{:<NAME$}    {median:.4}  ({low:.4} to {high:.4})\n",
            "  the guest's speed by the host's"
        );
    }
    text
}

/// Input and output.
#[must_use]
pub fn io(io: &Io) -> String {
    let mut text = String::new();
    let mut last = None;
    for row in &io.rows {
        if last != Some(row.group) {
            last = Some(row.group);
            let head = format!("{}, {}", row.group.name(), rounds(row.rounds, row.wanted));
            text += &line(&head, ["guest", "floor"]);
            text.truncate(text.trim_end().len());
            text += "  ratio, with the 95 % interval\n";
        }
        let [guest, floor] = [row.guest_ns, row.floor_ns].map(|summary| row.unit.show(summary.median));
        let ratios = format!("  {}  {}", ratio(row.ratio), row.form.text());
        text += &format!("{:<NAME$}{guest:>FIGURE$}{floor:>FIGURE$}{ratios}\n", format!("  {}", row.name));
    }
    if let Some(exit) = io.exit_ns {
        text += &line("an exit with nothing to do", [&*precise_time(exit.median)]);
    }
    if io.lost > 0 {
        text += &line("datagrams without an answer", [&*io.lost.to_string()]);
    }
    text
}

/// What was not measured.
#[must_use]
pub fn unmeasured(rows: &[Unmeasured]) -> String {
    rows.iter().map(|row| format!("{}: not measured: {}\n", row.name, row.reason)).collect()
}

/// All results, each but the first with an empty line above it.
#[must_use]
pub fn all(results: &Results) -> String {
    let Results {
        boot: starts,
        churn: lives,
        memory: sizes,
        compute: speeds,
        io: traffic,
        site,
        tls,
        job,
        kv,
        ..
    } = results;
    let texts = [
        starts.as_ref().map(boot),
        lives.as_ref().map(churn),
        sizes.as_ref().map(memory),
        speeds.as_ref().map(compute),
        traffic.as_ref().map(io),
        site.as_ref().map(|site| crate::site::table("site", site)),
        tls.as_ref().map(|site| crate::site::table("tls", site)),
        job.as_ref().map(crate::job::table),
        kv.as_ref().map(crate::kv::table),
        (!results.promises.is_empty()).then(|| promises(&results.promises)),
        (!results.unmeasured.is_empty()).then(|| unmeasured(&results.unmeasured)),
    ];
    texts.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

/// Promises.
#[must_use]
pub fn promises(promises: &[Promise]) -> String {
    let mut text = String::new();
    for Promise { promised: Promised { name, target, .. }, ratio: by, verdict, .. } in promises {
        text += &format!(
            "{name}: {:.3} at the unfavourable end, target {}: {}\n",
            target.unfavourable(*by),
            target.text(),
            verdict.text()
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_the_unit_that_suits_them() {
        for (nanoseconds, text) in [
            (12.0, "12 ns"),
            (1_234.0, "1.2 µs"),
            (99_940.0, "99.9 µs"),
            (250_400.0, "250 µs"),
            (1_234_000.0, "1.23 ms"),
            (123_400_000.0, "123 ms"),
            (2.5e9, "2.50 s"),
        ] {
            assert_eq!(time(nanoseconds), text);
        }
        assert_eq!(
            [size(4096.0), size(-4096.0), size(1.5 * 1024.0 * 1024.0)],
            ["4 KiB", "-4 KiB", "1.5 MiB"]
        );
    }

    #[test]
    fn tables_are_aligned() {
        let summary = summary("a", Summary { minimum: 1.0, median: 2e3, p90: 3e6, p99: 4e9, count: 9 }, time);
        assert_eq!(summary.chars().count(), heads("b").chars().count());
    }
}
