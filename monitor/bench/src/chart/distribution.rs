//! How the times of starts are distributed: a row for each program.

use super::{AXIS, Area, BLUE, Drawn, FAINT_INK, GRID, INK, ORANGE, chart, heading, legend, text};
use crate::boot::{Boot, Started};
use crate::table;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

/// Pixels of a program's row.
const ROW: u32 = 96;
/// Pixels of heading and legend.
const TOP: u32 = 68;
/// Columns of a histogram.
const COLUMNS: usize = 150;

/// Pixels of the part.
pub(super) fn height(boot: &Boot) -> u32 {
    TOP + ROW * boot.programs.len() as u32 + AXIS
}

pub(super) fn draw(area: &Area<'_>, boot: &Boot) -> Drawn {
    let styles = [BLUE.mix(0.85).filled(), ORANGE.mix(0.75).filled()];
    heading(area, "Distribution")?;
    legend(
        area,
        34,
        styles.into_iter().zip(["to the first byte of output", "whole life, to the end of the process"]),
    )?;
    let (_, plot) = area.split_vertically(TOP);
    let rows = boot.programs.len() as f64;
    let end = end(boot);
    let described = "milliseconds since before the process was made; the line is the median";
    let mut chart = chart(&plot, 0, end, rows, described)?;
    for (row, program) in boot.programs.iter().enumerate() {
        let floor = rows - 1.0 - row as f64;
        let times = [&program.first_bytes_ns, &program.whole_lives_ns];
        let medians = [program.first_byte_ns.median, program.whole_life_ns.median].map(milliseconds);
        for (times, style) in times.into_iter().zip(styles) {
            let bars = columns(times, end).into_iter().map(|(from, to, share)| {
                // Room above for the next row.
                Rectangle::new([(from, floor), (to, floor + 0.78 * share)], style)
            });
            chart.draw_series(bars)?;
        }
        for median in medians {
            let line = PathElement::new([(median, floor), (median, floor + 0.86)], INK.stroke_width(2));
            chart.draw_series([line])?;
        }
        let baseline = PathElement::new([(0.0, floor), (end, floor)], GRID);
        chart.draw_series([baseline])?;
        let (left, bottom) = chart.backend_coord(&(0.0, floor));
        let (_, area_top) = plot.get_base_pixel();
        let (area_left, _) = plot.get_base_pixel();
        let (left, top) = (left - area_left, bottom - area_top - ROW as i32);
        row_name(&plot, program, (left - 14, top + 22))?;
    }
    Ok(())
}

/// A program's name, and what is to be known in figures.
fn row_name(area: &Area<'_>, program: &Started, (right, top): (i32, i32)) -> Drawn {
    /// Characters that fit.
    const ROOM: usize = 24;
    let mut name: String = program.name.chars().take(ROOM).collect();
    if name.len() < program.name.len() {
        name.push('…');
    }
    text(area, &name, (right, top), (16, INK, HPos::Right))?;
    let first = format!("first byte {}", table::time(program.first_byte_ns.median));
    let whole = format!("whole life {}", table::time(program.whole_life_ns.median));
    text(area, &first, (right, top + 23), (13, FAINT_INK, HPos::Right))?;
    text(area, &whole, (right, top + 41), (13, FAINT_INK, HPos::Right))
}

/// Where the axis ends, in milliseconds: behind all but the slowest hundredth of each program, which would press the others
/// together.
fn end(boot: &Boot) -> f64 {
    let slow =
        boot.programs.iter().map(|program| program.whole_life_ns.p99.min(4.0 * program.whole_life_ns.median));
    milliseconds(slow.fold(0.0, f64::max)) * 1.05
}

/// The columns that hold something: from, to, and the height as a share of the highest column's.
fn columns(times_ns: &[u64], end: f64) -> Vec<(f64, f64, f64)> {
    let width = end / COLUMNS as f64;
    let mut counts = [0_usize; COLUMNS];
    for &time in times_ns {
        let column = (milliseconds(time as f64) / width) as usize;
        // What lies behind the end is told in tables.
        if let Some(count) = counts.get_mut(column) {
            *count += 1;
        }
    }
    let highest = counts.iter().copied().max().unwrap_or(0).max(1) as f64;
    let columns = counts.into_iter().enumerate().filter(|(_, count)| *count > 0);
    columns
        .map(|(column, count)| (column as f64 * width, (column + 1) as f64 * width, count as f64 / highest))
        .collect()
}

fn milliseconds(nanoseconds: f64) -> f64 {
    nanoseconds / 1e6
}

#[cfg(test)]
mod tests {
    use super::columns;

    #[test]
    fn columns_are_as_high_as_what_they_hold() {
        // 150 columns of 0.01 ms.
        let told = columns(&[5_000, 5_001, 15_000, 2_000_000], 1.5);
        assert_eq!(told.len(), 2);
        assert!((told[0].2 - 1.0).abs() < 1e-9 && (told[1].2 - 0.5).abs() < 1e-9, "{told:?}");
        assert!((told[1].0 - 0.01).abs() < 1e-9 && (told[1].1 - 0.02).abs() < 1e-9, "{told:?}");
    }
}
