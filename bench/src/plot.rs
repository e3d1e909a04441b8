//! The ratios as bars, on a logarithmic scale: shorter than 1 is less than the other.

use crate::result::{Goal, Line};
use crate::server::Error;
use plotters::prelude::*;
use std::path::Path;

const BAR: i32 = 26;
const NAMES: i32 = 420;
const WIDTH: i32 = 920;

/// Draws the lines that have a goal.
///
/// # Errors
/// If the file cannot be written.
pub fn draw(lines: &[Line], path: &Path) -> Result<(), Error> {
    let lines: Vec<&Line> = lines.iter().filter(|line| !matches!(line.goal, Goal::None)).collect();
    let height = BAR * lines.len() as i32 + 60;
    let root = SVGBackend::new(path, (WIDTH as u32, height as u32)).into_drawing_area();
    root.fill(&WHITE)?;
    let text = |size: i32| ("sans-serif", size).into_font();
    // From a hundredth to ten.
    let place =
        |ratio: f64| NAMES + ((ratio.log10() + 2.0) / 3.0 * f64::from(WIDTH - NAMES - 70)) as i32;
    let bottom = height - 34;
    for (ratio, name) in [(0.01, "0.01"), (0.1, "0.1"), (1.0, "1"), (10.0, "10")] {
        let style =
            if ratio == 1.0 { BLACK.stroke_width(1) } else { BLACK.mix(0.15).stroke_width(1) };
        root.draw(&PathElement::new([(place(ratio), 10), (place(ratio), bottom)], style))?;
        root.draw(&Text::new(name, (place(ratio) - 6, bottom + 6), text(13)))?;
    }
    let legend = "ratio of medians, guard / other; the mark is the goal";
    root.draw(&Text::new(legend, (12, bottom + 6), text(13)))?;
    for (number, line) in lines.iter().enumerate() {
        let top = 12 + BAR * number as i32;
        let colour = if line.is_reached() { RGBColor(58, 125, 92) } else { RGBColor(196, 98, 45) };
        let (left, right) = (
            place(line.ratio.clamp(0.01, 10.0)).min(place(1.0)),
            place(line.ratio.clamp(0.01, 10.0)).max(place(1.0)),
        );
        root.draw(&Rectangle::new(
            [(left, top), (right.max(left + 2), top + BAR - 10)],
            colour.filled(),
        ))?;
        if let Goal::AtMost(goal) | Goal::AtLeast(goal) = line.goal {
            let at = place(goal.clamp(0.01, 10.0));
            root.draw(&PathElement::new(
                [(at, top - 3), (at, top + BAR - 7)],
                BLACK.stroke_width(2),
            ))?;
        }
        root.draw(&Text::new(line.what.clone(), (12, top + 1), text(13)))?;
        root.draw(&Text::new(format!("{:.2}", line.ratio), (WIDTH - 56, top + 1), text(13)))?;
    }
    root.present()?;
    Ok(())
}
