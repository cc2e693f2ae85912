//! All results for other programs.

use serde_json::{Value, json};

use super::goals::{Goal, Verdict};
use super::machine::Machine;
use super::results::{Figure, Results};
use super::spread::Spread;

/// Renders everything as one JSON object.
pub(super) fn render(machine: &Machine, results: &Results, goals: &[Goal]) -> Value {
    json!({
        "machine": {
            "processors": machine.processors,
            "kernel": machine.kernel,
            "load": machine.load,
        },
        "figures": results.figures.iter().map(figure).collect::<Vec<_>>(),
        "goals": goals.iter().map(goal).collect::<Vec<_>>(),
        "notes": results.notes,
    })
}

fn figure(figure: &Figure) -> Value {
    let spread = Spread::of(&figure.samples);
    json!({
        "row": figure.row.letter().to_string(),
        "subject": figure.subject,
        "unit": figure.unit,
        "program": figure.program,
        "median": spread.map(|spread| spread.median),
        "low": spread.map(|spread| spread.low),
        "high": spread.map(|spread| spread.high),
        "samples": figure.samples,
    })
}

fn goal(goal: &Goal) -> Value {
    let met = match goal.verdict() {
        Verdict::Met => json!(true),
        Verdict::Missed => json!(false),
        Verdict::NotRun => Value::Null,
    };
    json!({ "goal": goal.text, "limit": goal.limit, "figure": goal.figure, "met": met })
}

#[cfg(test)]
mod tests {
    use super::super::goals;
    use super::super::rows::Row;
    use super::*;

    #[test]
    fn a_figure_has_its_samples_and_what_was_not_run_is_null() {
        let mut results = Results::default();
        results.add(Row::Cost, "alone", "µs", "raw", 1.0);
        results.add(Row::Cost, "alone", "µs", "raw", 2.0);
        let machine = Machine { processors: 2, kernel: "6".to_owned(), load: "0".to_owned() };
        let all = render(&machine, &results, &goals::all(&results));
        let expected = json!([{
            "row": "a", "subject": "alone", "unit": "µs", "program": "raw",
            "median": 1.5, "low": 1.25, "high": 1.75, "samples": [1.0, 2.0],
        }]);
        assert_eq!(all["figures"], expected);
        assert_eq!(all["goals"][0]["met"], Value::Null);
    }
}
