//! All figures, a line a quantity and a column a program.

use super::results::{Figure, Results};
use super::spread::Spread;

/// Renders all figures as lines of text.
pub(super) fn render(results: &Results) -> String {
    let mut programs: Vec<&str> = Vec::new();
    let mut quantities: Vec<&Figure> = Vec::new();
    for figure in &results.figures {
        if !programs.contains(&figure.program.as_str()) {
            programs.push(&figure.program);
        }
        if !quantities.iter().any(|it| (it.row, &it.subject) == (figure.row, &figure.subject)) {
            quantities.push(figure);
        }
    }
    let heading = ["", "", ""].into_iter().chain(programs.iter().copied());
    let mut lines = vec![heading.map(str::to_owned).collect::<Vec<_>>()];
    for Figure { row, subject, unit, .. } in quantities {
        let mut line = vec![row.letter().to_string(), subject.clone(), (*unit).to_owned()];
        line.extend(programs.iter().map(|program| match results.find(*row, subject, program) {
            // Without a unit, it was counted.
            Some(figure) if unit.is_empty() => figure.samples.iter().sum::<f64>().to_string(),
            Some(figure) => cell(&figure.samples),
            None => "-".to_owned(),
        }));
        lines.push(line);
    }
    align(&lines)
}

/// The median, and the quartiles where there are any.
fn cell(samples: &[f64]) -> String {
    match (Spread::of(samples), samples.len()) {
        (None, _) => "-".to_owned(),
        (Some(spread), 1) => number(spread.median),
        (Some(Spread { low, median, high }), _) => {
            format!("{} ({}–{})", number(median), number(low), number(high))
        }
    }
}

/// As many digits as mean something.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 1000.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// Pads the texts of each column to the same width: what is said to the right, figures to the
/// left.
fn align(lines: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let texts = lines.iter().filter_map(|line| line.get(column));
        texts.map(|text| text.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text += "\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::rows::Row;
    use super::*;

    #[test]
    fn a_line_a_quantity_and_a_column_a_program() {
        let mut results = Results::default();
        for sample in [1.0, 2.0, 3.0] {
            results.add(Row::Cost, "alone", "µs", "raw", sample);
        }
        results.add(Row::Cost, "alone", "µs", "node", 1234.5);
        results.add(Row::Cost, "two", "×", "node", 12.34);
        let expected = "\x20             raw               node\n\
                        a  alone  µs  2.00 (1.50–2.50)  1234\n\
                        a  two    ×   -                 12.3\n";
        assert_eq!(render(&results), expected);
        assert_eq!(render(&Results::default()), "\n");
    }
}
