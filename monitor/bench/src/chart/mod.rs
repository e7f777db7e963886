//! Figures, as SVG.

mod distribution;
mod phases;
mod promises;

use crate::boot::{Boot, Ratio};
use crate::error::Error;
use crate::machine::Machine;
use crate::results::Results;
use crate::table;
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::fmt::Display;

/// A part of the figure.
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A chart over time in one direction and rows in the other.
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Pixels.
const WIDTH: u32 = 1200;
/// Pixels at the left, for names, and at the right, for the last tick's label.
const LEFT: u32 = 230;
const RIGHT: u32 = 110;
/// Pixels of the title with the lines below it.
const HEAD: u32 = 116;
/// Pixels of an axis with its description.
const AXIS: u32 = 62;
/// Pixels between the parts.
const GAP: u32 = 26;

const INK: RGBColor = RGBColor(0x22, 0x2b, 0x38);
const FAINT_INK: RGBColor = RGBColor(0x5b, 0x66, 0x75);
const GRID: RGBColor = RGBColor(0xe3, 0xe7, 0xec);
const BLUE: RGBColor = RGBColor(0x1f, 0x6f, 0xb4);
const ORANGE: RGBColor = RGBColor(0xe0, 0x7b, 0x1a);
const RED: RGBColor = RGBColor(0xb4, 0x2a, 0x32);
const GREY: RGBColor = RGBColor(0x93, 0x9d, 0xaa);

/// The figure of starts: how the times are distributed, and where the time goes.
///
/// # Errors
///
/// Where it cannot be drawn.
pub fn boot(boot: &Boot, machine: &Machine) -> Result<String, Error> {
    let mut svg = String::new();
    let heights = [Some(distribution::height(boot)), boot.timeline.as_ref().map(phases::height)];
    let height = HEAD + heights.iter().flatten().map(|height| height + GAP).sum::<u32>();
    let backend = SVGBackend::with_string(&mut svg, (WIDTH, height));
    drawn(draw(backend.into_drawing_area(), boot, machine))?;
    Ok(svg)
}

/// The figure of all promises: each ratio with its interval beside target and moonshot.
///
/// # Errors
///
/// Where it cannot be drawn.
pub fn promises(results: &Results) -> Result<String, Error> {
    let mut svg = String::new();
    let backend = SVGBackend::with_string(&mut svg, (WIDTH, promises::height(results)));
    drawn(promises::draw(&backend.into_drawing_area(), results))?;
    Ok(svg)
}

fn drawn(result: Drawn) -> Result<(), Error> {
    result.map_err(|error| {
        Error::host(format!("the figure cannot be drawn ({error}); report it with the JSON"))
    })
}

/// What can go wrong in a drawing, which in memory is nothing.
type Drawn = Result<(), Box<dyn std::error::Error>>;

fn draw(root: Area<'_>, boot: &Boot, machine: &Machine) -> Drawn {
    root.fill(&WHITE)?;
    let (head, body) = root.split_vertically(HEAD);
    let app = boot.programs.first().map_or("", |app| &*app.name);
    text(&head, &format!("How long {app} takes to start"), (30, 22), (26, INK, HPos::Left))?;
    let below = format!("{}, in turn  ·  {}", table::rounds(boot.rounds, boot.wanted), machine.line());
    text(&head, &below, (30, 58), (15, FAINT_INK, HPos::Left))?;
    if let Some(Ratio { to, first_byte, whole_life, .. }) = boot.ratios.first() {
        let [first_byte, whole_life] = [*first_byte, *whole_life].map(table::ratio);
        let compared =
            format!("By {to}, round by round: to the first byte {first_byte}, whole life {whole_life}");
        text(&head, &compared, (30, 82), (15, INK, HPos::Left))?;
    }
    let (above, below) = body.split_vertically(distribution::height(boot) + GAP);
    distribution::draw(&above.margin(0, GAP, 0, 0), boot)?;
    if let Some(timeline) = &boot.timeline {
        phases::draw(&below.margin(0, GAP, 0, 0), timeline)?;
    }
    root.present()?;
    Ok(())
}

/// Writes a line at a place that is its top left, or top right.
fn text(area: &Area<'_>, words: &str, at: (i32, i32), (size, colour, side): (u32, RGBColor, HPos)) -> Drawn {
    let style = ("sans-serif", f64::from(size) * FONT_SCALE).into_font().color(&colour);
    area.draw_text(words, &style.pos(Pos::new(side, VPos::Top)), at)?;
    Ok(())
}

/// The SVG backend divides sizes by this, to make of the height of a line that of the font.
const FONT_SCALE: f64 = 1.24;

/// One square and its meaning for each, from the left at a height.
fn legend<'a>(area: &Area<'_>, top: i32, entries: impl IntoIterator<Item = (ShapeStyle, &'a str)>) -> Drawn {
    let mut left = LEFT as i32;
    for (style, words) in entries {
        area.draw(&Rectangle::new([(left, top + 2), (left + 14, top + 16)], style))?;
        text(area, words, (left + 22, top + 1), (15, INK, HPos::Left))?;
        // Wide enough for the widest font that a viewer may take.
        left += 60 + 9 * words.chars().count() as i32;
    }
    Ok(())
}

/// A heading over a part of the figure.
fn heading(area: &Area<'_>, words: &str) -> Drawn {
    text(area, words, (30, 6), (18, INK, HPos::Left))
}

/// A part's chart: `rows` rows without an axis of their own, `above` pixels over them, and below them the time from 0 to `end`,
/// `described` in words.
fn chart<'a, 'b>(
    plot: &'a Area<'b>,
    above: u32,
    end: f64,
    rows: f64,
    described: &str,
) -> Result<Chart<'a, 'b>, Box<dyn std::error::Error>> {
    let mut chart = ChartBuilder::on(plot)
        .set_label_area_size(LabelAreaPosition::Left, LEFT)
        .set_label_area_size(LabelAreaPosition::Bottom, AXIS)
        .margin_right(RIGHT)
        .margin_top(above)
        .build_cartesian_2d(0.0..end, 0.0..rows)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .x_labels(10)
        .x_label_formatter(&tick)
        .x_desc(described)
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(FAINT_INK)
        .label_style(("sans-serif", 17).into_font().color(&INK))
        .axis_desc_style(("sans-serif", 17).into_font().color(&FAINT_INK))
        .draw()?;
    Ok(chart)
}

/// The label of a tick: no more digits than it needs.
fn tick(value: &impl Display) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
#[path = "chart_tests.rs"]
mod tests;
