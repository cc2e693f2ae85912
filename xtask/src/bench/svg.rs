//! Bars: a picture for each row and unit.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::results::{Figure, Results};
use super::spread::Spread;
use super::table::number;

const WIDTH: f64 = 900.0;
const LABELS: f64 = 330.0;
const FIGURES: f64 = 90.0;
const BAR: f64 = 16.0;
const GAP: f64 = 8.0;
const TOP: f64 = 30.0;

/// The colours of programs, in the order in which these come up.
const COLOURS: &[&str] = &[
    "#777777", "#aaaaaa", "#3366cc", "#8fb0f0", "#2a9d5c", "#8ccfae", "#cc7722", "#993399",
    "#d26a8c", "#b0a030",
];

/// Draws all results into the folder `place`.
pub(super) fn draw(results: &Results, place: &Path) -> Result<()> {
    fs::create_dir_all(place).with_context(|| place.display().to_string())?;
    let mut programs: Vec<&str> = Vec::new();
    let mut pictures: Vec<Vec<&Figure>> = Vec::new();
    for figure in &results.figures {
        if !programs.contains(&figure.program.as_str()) {
            programs.push(&figure.program);
        }
        let same = |it: &Vec<&Figure>| (it[0].row, it[0].unit) == (figure.row, figure.unit);
        match pictures.iter_mut().find(|picture| same(picture)) {
            Some(picture) => picture.push(figure),
            None => pictures.push(vec![figure]),
        }
    }
    for (number, picture) in (1..).zip(&pictures) {
        let name = format!("{number:02}-row-{}.svg", picture[0].row.letter());
        let file = place.join(name);
        let text = render(picture, &programs);
        fs::write(&file, text).with_context(|| file.display().to_string())?;
    }
    Ok(())
}

/// One bar a figure, with a line from quartile to quartile; figures of one subject together.
fn render(figures: &[&Figure], programs: &[&str]) -> String {
    let spreads: Vec<_> = figures.iter().map(|it| (*it, Spread::of(&it.samples))).collect();
    let longest = spreads.iter().filter_map(|(_, spread)| Some(spread.as_ref()?.high));
    let longest = longest.fold(f64::MIN_POSITIVE, f64::max);
    let scale = (WIDTH - LABELS - FIGURES) / longest;
    let mut subjects: Vec<&str> = Vec::new();
    for figure in figures {
        if !subjects.contains(&&*figure.subject) {
            subjects.push(&figure.subject);
        }
    }
    let mut body = String::new();
    let mut y = TOP;
    for subject in subjects {
        let mut label = Some(subject);
        for (figure, spread) in spreads.iter().filter(|(it, _)| it.subject == subject) {
            let Some(spread) = spread else { continue };
            let place = programs.iter().position(|it| *it == figure.program).unwrap_or_default();
            let colour = COLOURS[place % COLOURS.len()];
            bar(&mut body, y, label.take(), &figure.program, spread, scale, colour);
            y += BAR;
        }
        y += GAP;
    }
    let title = format!("row {}, {}", figures[0].row.letter(), figures[0].unit);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{y}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"8\" y=\"18\" font-size=\"14\">{}</text>\n{body}</svg>\n",
        escape(&title)
    )
}

fn bar(
    body: &mut String,
    y: f64,
    label: Option<&str>,
    program: &str,
    spread: &Spread,
    scale: f64,
    colour: &str,
) {
    let (middle, end) = (y + BAR / 2.0, LABELS + spread.high * scale);
    let mut line = |text: std::fmt::Arguments<'_>| {
        writeln!(body, "{text}").expect("a string takes everything");
    };
    if let Some(label) = label {
        line(format_args!("<text x=\"8\" y=\"{}\">{}</text>", y + 12.0, escape(label)));
    }
    line(format_args!(
        "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
        LABELS - 6.0,
        y + 12.0,
        escape(program)
    ));
    line(format_args!(
        "<rect x=\"{LABELS}\" y=\"{}\" width=\"{:.1}\" height=\"{}\" fill=\"{colour}\"/>",
        y + 1.0,
        spread.median * scale,
        BAR - 2.0
    ));
    line(format_args!(
        "<line x1=\"{:.1}\" x2=\"{end:.1}\" y1=\"{middle}\" y2=\"{middle}\" stroke=\"black\"/>",
        LABELS + spread.low * scale
    ));
    line(format_args!(
        "<text x=\"{:.1}\" y=\"{}\">{}</text>",
        end + 4.0,
        y + 12.0,
        number(spread.median)
    ));
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::rows::Row;
    use super::*;

    #[test]
    fn each_figure_is_a_bar_as_long_as_its_median() {
        let mut results = Results::default();
        results.add(Row::Cost, "a<b", "µs", "raw", 10.0);
        results.add(Row::Cost, "a<b", "µs", "node", 20.0);
        let figures: Vec<_> = results.figures.iter().collect();
        let text = render(&figures, &["raw", "node"]);
        assert_eq!(text.matches("<rect x=").count(), 2, "{text}");
        assert!(text.contains("width=\"240.0\"") && text.contains("width=\"480.0\""), "{text}");
        assert_eq!(text.matches("a&lt;b").count(), 1, "{text}");
    }
}
