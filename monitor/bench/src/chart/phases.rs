//! Where the time of a start goes: a bar for each phase, one below the other.

use super::{AXIS, Area, BLUE, Drawn, GREY, INK, LEFT, ORANGE, chart, heading, legend, text};
use crate::boot::timeline::{Timeline, Who};
use crate::table;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

/// Pixels of a phase's row.
const ROW: u32 = 30;
/// Pixels of heading and legend.
const TOP: u32 = 68;
/// Pixels above the first row, for the mark of the first byte.
const MARK: u32 = 28;

/// Pixels of the part.
pub(super) fn height(timeline: &Timeline) -> u32 {
    TOP + MARK + ROW * timeline.phases.len() as u32 + AXIS
}

pub(super) fn draw(area: &Area<'_>, timeline: &Timeline) -> Drawn {
    heading(area, "Timeline")?;
    let who = [Who::Process, Who::Monitor, Who::Guest];
    let names = ["process: made, started, torn down", "monitor", "guest, with what it has the monitor do"];
    legend(area, 34, who.map(colour).into_iter().map(|colour| colour.filled()).zip(names))?;
    let (_, plot) = area.split_vertically(TOP);
    let rows = timeline.phases.len() as f64;
    let end = timeline.phases.last().map_or(1.0, |last| microseconds(last.at_ns + last.took_ns)).max(1.0);
    let described =
        format!("microseconds since before the process was made; medians of {} separate runs", timeline.runs);
    let mut chart = chart(&plot, MARK, end, rows, &described)?;
    let first_byte = microseconds(timeline.first_byte_ns);
    let mark = PathElement::new([(first_byte, 0.0), (first_byte, rows)], INK.stroke_width(2));
    chart.draw_series([mark])?;
    let (area_left, area_top) = plot.get_base_pixel();
    let place = |at: (i32, i32)| (at.0 - area_left, at.1 - area_top);
    let (at, _) = place(chart.backend_coord(&(first_byte, rows)));
    let label = format!("first byte seen: {}", table::time(timeline.first_byte_ns));
    // On the side where there is room.
    let (side, shift) = if first_byte > end / 2.0 { (HPos::Right, 2) } else { (HPos::Left, -2) };
    text(&plot, &label, (at + shift, 6), (14, INK, side))?;
    for (row, phase) in timeline.phases.iter().enumerate() {
        let floor = rows - 1.0 - row as f64;
        let (from, to) = (microseconds(phase.at_ns), microseconds(phase.at_ns + phase.took_ns));
        // What takes next to nothing is seen all the same.
        let to = to.max(from + end / 400.0);
        let bar = Rectangle::new([(from, floor + 0.15), (to, floor + 0.85)], colour(phase.who).filled());
        chart.draw_series([bar])?;
        let (right, top) = place(chart.backend_coord(&(to, floor + 1.0)));
        let took = table::time(phase.took_ns);
        // The mark of the first byte must not go through the words.
        let width = 8 * took.chars().count() as i32;
        let behind = [(right + 4, top + 5), (right + 8 + width, top + 24)];
        plot.draw(&Rectangle::new(behind, WHITE.filled()))?;
        text(&plot, &took, (right + 7, top + 7), (14, INK, HPos::Left))?;
        text(&plot, &phase.name, (LEFT as i32 - 14, top + 6), (15, INK, HPos::Right))?;
    }
    Ok(())
}

const fn colour(who: Who) -> RGBColor {
    match who {
        Who::Process => GREY,
        Who::Monitor => BLUE,
        Who::Guest => ORANGE,
    }
}

fn microseconds(nanoseconds: f64) -> f64 {
    nanoseconds / 1e3
}
