//! What was measured.

use super::rows::Row;

/// One quantity of one program, measured several times.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Figure {
    pub(super) row: Row,
    /// What was measured.
    pub(super) subject: String,
    pub(super) unit: &'static str,
    /// The program.
    pub(super) program: String,
    /// A sample a round, in the order of the rounds.
    pub(super) samples: Vec<f64>,
}

/// All figures, in the order in which they came up, and what is to be said about them.
#[derive(Debug, Default)]
pub(super) struct Results {
    pub(super) figures: Vec<Figure>,
    pub(super) notes: Vec<String>,
}

impl Results {
    /// Adds one sample.
    pub(super) fn add(
        &mut self,
        row: Row,
        subject: &str,
        unit: &'static str,
        program: &str,
        sample: f64,
    ) {
        let known = self.figures.iter_mut().find(|figure| figure.is(row, subject, program));
        if let Some(figure) = known {
            figure.samples.push(sample);
            return;
        }
        let (subject, program) = (subject.to_owned(), program.to_owned());
        self.figures.push(Figure { row, subject, unit, program, samples: vec![sample] });
    }

    /// Adds a note, once.
    pub(super) fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    pub(super) fn find(&self, row: Row, subject: &str, program: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.is(row, subject, program))
    }
}

impl Figure {
    fn is(&self, row: Row, subject: &str, program: &str) -> bool {
        self.row == row && self.subject == subject && self.program == program
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_one_quantity_come_together() {
        let mut results = Results::default();
        results.add(Row::Cost, "cpu", "µs", "raw", 1.0);
        results.add(Row::Cost, "cpu", "µs", "node", 9.0);
        results.add(Row::Cost, "cpu", "µs", "raw", 2.0);
        let samples = |program| results.find(Row::Cost, "cpu", program).map(|it| &it.samples[..]);
        assert_eq!(samples("raw"), Some(&[1.0, 2.0][..]));
        assert_eq!(samples("node"), Some(&[9.0][..]));
        assert_eq!(samples("smol"), None);
        assert_eq!(results.find(Row::Batches, "cpu", "raw"), None);
    }

    #[test]
    fn a_note_is_made_once() {
        let mut results = Results::default();
        results.note("a".to_owned());
        results.note("a".to_owned());
        assert_eq!(results.notes, ["a"]);
    }
}
