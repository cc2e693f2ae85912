//! Counts in rows and columns.

use std::collections::{BTreeMap, BTreeSet};

use super::contract::{Column, Row};
use super::verdict::Tally;

/// Renders `cells` as lines of text: a heading, the crates, the groups of scenarios. Each cell
/// says how many passed and how many failed.
pub(crate) fn render(cells: &BTreeMap<(Row, Column), Tally>) -> String {
    if cells.is_empty() {
        return String::new();
    }
    let rows: BTreeSet<&Row> = cells.keys().map(|(row, _)| row).collect();
    let columns: BTreeSet<&Column> = cells.keys().map(|(_, column)| column).collect();
    let heading = columns.iter().map(|column| column.to_string());
    let mut lines = vec![[String::new()].into_iter().chain(heading).collect::<Vec<_>>()];
    for row in rows {
        let cell = |column: &&Column| {
            let tally = cells.get(&(row.clone(), (*column).clone()));
            tally.map_or("-".to_owned(), |tally| format!("{}/{}", tally.passed, tally.failed))
        };
        lines.push([row.to_string()].into_iter().chain(columns.iter().map(cell)).collect());
    }
    align(&lines)
}

/// Pads the texts of each column to the same width.
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
    use super::*;

    #[test]
    fn crates_come_before_groups_and_what_is_empty_is_a_dash() {
        let flavour = |schedule: &str| {
            let (binary, schedule) = ("tokio_current".to_owned(), schedule.to_owned());
            Column::Flavour { binary, schedule }
        };
        let tally = |passed, failed| Tally { passed, failed, skipped: 1 };
        let cells = BTreeMap::from([
            ((Row::Group("exit".to_owned()), flavour("rr")), tally(3, 0)),
            ((Row::Group("exit".to_owned()), flavour("none")), tally(2, 1)),
            ((Row::Crate("xtask".to_owned()), Column::Unit), tally(12, 0)),
            ((Row::Crate("core".to_owned()), Column::Unit), tally(120, 0)),
            ((Row::Crate("core".to_owned()), Column::Doc), tally(4, 0)),
        ]);
        let expected = "       unit   doc  tokio_current none  tokio_current rr\n\
                        core   120/0  4/0  -                   -\n\
                        xtask  12/0   -    -                   -\n\
                        exit   -      -    2/1                 3/0\n";
        assert_eq!(render(&cells), expected);
    }
}
