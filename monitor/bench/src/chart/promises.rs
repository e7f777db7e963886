//! All promises in one chart: how good each ratio is beside its target, with its interval, and where the moonshot is.
//!
//! Some ratios are of what costs and some of what is gained. Here all go the same way: what is left of the line misses its target.

use super::{Area, BLUE, Drawn, FAINT_INK, GREY, GRID, INK, RED, WIDTH, text};
use crate::promise::{Promise, Promised, Target, Unmeasured, Verdict};
use crate::results::Results;
use crate::stats::Interval;
use crate::table;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

/// Pixels of a promise's row.
const ROW: u32 = 28;
/// Pixels of heading and legend.
const TOP: i32 = 76;
/// Pixels of the axis with its description.
const AXIS: u32 = 62;
/// Pixels where the rows' lines begin and end; at the left the names, at the right the figures.
const LEFT: i32 = 425;
const RIGHT: i32 = 940;
/// The marks of the axis that are labelled.
const TICKS: [f64; 13] = [0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 100.0, 1000.0];

/// Where a goodness is on the axis, which is logarithmic.
#[derive(Clone, Copy, Debug)]
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    /// A scale that has room for all, and for a little on both sides of 1.
    fn of(promises: &[Promise]) -> Self {
        let ends = promises.iter().flat_map(
            |Promise { promised: Promised { target, moonshot, .. }, ratio, .. }| {
                [ratio.low, ratio.high, *moonshot].map(|value| target.goodness(value))
            },
        );
        let ends = ends.filter(|end| end.is_finite() && *end > 0.0);
        let (low, high) =
            ends.fold((0.8, 1.25), |(low, high): (f64, f64), end| (low.min(end), high.max(end)));
        Self { low: low / 1.15, high: high * 1.15 }
    }

    fn place(self, goodness: f64) -> i32 {
        let share = (goodness / self.low).ln() / (self.high / self.low).ln();
        // A ratio that is no number is at the end where it is worst.
        LEFT + (share.clamp(0.0, 1.0) * f64::from(RIGHT - LEFT)) as i32
    }

    fn ticks(self) -> impl Iterator<Item = f64> {
        TICKS.into_iter().filter(move |tick| (self.low..=self.high).contains(tick))
    }
}

/// Pixels of the chart.
pub(super) fn height(results: &Results) -> u32 {
    let rows = results.promises.len() + promised(&results.unmeasured).count();
    TOP as u32 + ROW * rows as u32 + AXIS
}

/// Where the targets are.
#[cfg(test)]
pub(super) fn target_at(results: &Results) -> f64 {
    Scale::of(&results.promises).place(1.0).into()
}

/// Those that something is promised of.
fn promised(unmeasured: &[Unmeasured]) -> impl Iterator<Item = (&Unmeasured, Target)> {
    unmeasured.iter().filter_map(|figure| Some((figure, figure.target?)))
}

pub(super) fn draw(area: &Area<'_>, results: &Results) -> Drawn {
    area.fill(&WHITE)?;
    text(area, "Promises beside their targets", (30, 14), (20, INK, HPos::Left))?;
    legend(area)?;
    text(area, "ratio, 95 % interval", (RIGHT + 20, 46), (14, FAINT_INK, HPos::Left))?;
    text(area, "target", (WIDTH as i32 - 30, 46), (14, FAINT_INK, HPos::Right))?;
    let bottom = height(results) as i32 - AXIS as i32;
    let scale = Scale::of(&results.promises);
    for tick in scale.ticks() {
        let at = scale.place(tick);
        let (colour, width) = if tick == 1.0 { (INK, 2) } else { (GRID, 1) };
        area.draw(&PathElement::new([(at, TOP - 6), (at, bottom)], colour.stroke_width(width)))?;
        let label = if tick == 1.0 { "target".to_owned() } else { format!("{tick}") };
        text(area, &label, (at, bottom + 8), (14, FAINT_INK, HPos::Center))?;
    }
    let described =
        "as good as the target, times: what is left of the line misses it, what is right exceeds it";
    text(area, described, ((LEFT + RIGHT) / 2, bottom + 32), (14, FAINT_INK, HPos::Center))?;
    let mut top = TOP;
    for promise in &results.promises {
        row(area, promise, scale, top)?;
        top += ROW as i32;
    }
    for (figure, target) in promised(&results.unmeasured) {
        names(area, &figure.name, "not measured", target, FAINT_INK, top)?;
        top += ROW as i32;
    }
    Ok(())
}

fn legend(area: &Area<'_>) -> Drawn {
    const LINE: i32 = 53;
    // Behind the heading.
    let mut left = 360;
    for (verdict, words) in [
        (Verdict::Met, "met"),
        (Verdict::Missed, "missed"),
        (Verdict::TooFewPairs, "open: fewer than 100 pairs"),
    ] {
        interval(area, [left, left + 12, left + 24], LINE, colour(verdict))?;
        text(area, words, (left + 33, LINE - 8), (14, INK, HPos::Left))?;
        left += 62 + 8 * words.len() as i32;
    }
    moonshot(area, left + 6, LINE)?;
    text(area, "moonshot", (left + 20, LINE - 8), (14, INK, HPos::Left))
}

fn row(area: &Area<'_>, promise: &Promise, scale: Scale, top: i32) -> Drawn {
    let Promise { promised: Promised { name, target, moonshot: far, .. }, ratio, verdict, .. } = promise;
    names(area, name, &table::ratio(*ratio), *target, INK, top)?;
    let middle = top + ROW as i32 / 2;
    let Interval { low, median, high, .. } = *ratio;
    let places = [low, median, high].map(|value| scale.place(target.goodness(value)));
    moonshot(area, scale.place(target.goodness(*far)), middle)?;
    interval(area, places, middle, colour(*verdict))
}

fn names(area: &Area<'_>, name: &str, ratio: &str, target: Target, colour: RGBColor, top: i32) -> Drawn {
    let line = [(30, top + ROW as i32), (WIDTH as i32 - 20, top + ROW as i32)];
    area.draw(&PathElement::new(line, GRID))?;
    text(area, name, (30, top + 6), (14, colour, HPos::Left))?;
    text(area, ratio, (RIGHT + 20, top + 6), (14, colour, HPos::Left))?;
    text(area, &target.text(), (WIDTH as i32 - 30, top + 6), (14, colour, HPos::Right))
}

/// One end, the median, the other end.
fn interval(area: &Area<'_>, places: [i32; 3], middle: i32, colour: RGBColor) -> Drawn {
    let [first, median, last] = places;
    area.draw(&PathElement::new([(first, middle), (last, middle)], colour.stroke_width(4)))?;
    for end in [first, last] {
        area.draw(&PathElement::new([(end, middle - 6), (end, middle + 6)], colour.stroke_width(2)))?;
    }
    area.draw(&Circle::new((median, middle), 5, colour.filled()))?;
    Ok(())
}

fn moonshot(area: &Area<'_>, at: i32, middle: i32) -> Drawn {
    let corners = [(at, middle - 6), (at + 6, middle), (at, middle + 6), (at - 6, middle), (at, middle - 6)];
    area.draw(&PathElement::new(corners, FAINT_INK.stroke_width(2)))?;
    Ok(())
}

const fn colour(verdict: Verdict) -> RGBColor {
    match verdict {
        Verdict::Met => BLUE,
        Verdict::Missed => RED,
        Verdict::TooFewPairs => GREY,
    }
}
