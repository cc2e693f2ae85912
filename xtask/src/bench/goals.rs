//! What must be reached, and whether it is.

use super::results::{Figure, Results};
use super::rows::Row;
use super::rows::subject;
use super::spread::Spread;
use super::table::number;

/// One thing that must be reached by one program.
#[derive(Debug, PartialEq)]
pub(super) struct Goal {
    pub(super) text: String,
    pub(super) limit: Limit,
    /// What was measured, if it was.
    pub(super) figure: Option<f64>,
}

/// What a figure is held against.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Limit {
    Most(f64),
    Least(f64),
}

/// How a goal stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Met,
    Missed,
    NotRun,
}

impl Goal {
    pub(super) fn verdict(&self) -> Verdict {
        match (self.figure, self.limit) {
            (None, _) => Verdict::NotRun,
            (Some(figure), Limit::Most(limit)) if figure <= limit => Verdict::Met,
            (Some(figure), Limit::Least(limit)) if figure >= limit => Verdict::Met,
            _ => Verdict::Missed,
        }
    }
}

/// All goals of our programs.
pub(super) fn all(results: &Results) -> Vec<Goal> {
    let of = |ours| goals(results, ours).into_iter().chain(flawless(results, ours));
    ["tokio", "smol"].into_iter().flat_map(of).collect()
}

fn goals(results: &Results, ours: &str) -> Vec<Goal> {
    let median = |row, subject: &str| middle(results.find(row, subject, ours)?);
    let against = |row, subject: &str, other| {
        ratio(results.find(row, subject, ours)?, results.find(row, subject, other)?)
    };
    let goal = |text: &str, limit, figure| Goal { text: format!("{ours}: {text}"), limit, figure };
    let cost = subject::cost(2, "rr");
    let most = |row, subjects: &[String]| {
        subjects.iter().filter_map(|subject| median(row, subject)).reduce(f64::max)
    };
    let memory: Vec<_> = [2, 16, 64].map(subject::memory).into();
    vec![
        goal(
            "clustered/un-clustered CPU a connection, 2 workers rr",
            Limit::Most(1.25),
            median(Row::Cost, &subject::ratio(2, "rr")),
        ),
        goal(
            "CPU a connection, 2 workers rr, next to node's",
            Limit::Most(0.2),
            against(Row::Cost, &cost, "node"),
        ),
        goal(
            "busiest/idlest, 8 workers rr",
            Limit::Most(1.02),
            median(Row::Evenness, &subject::evenness(8, "rr")),
        ),
        goal(
            "clustered/un-clustered CPU a connection, 2 workers sharded",
            Limit::Most(1.08),
            median(Row::Cost, &subject::ratio(2, "sharded")),
        ),
        goal(
            "busiest/idlest, 8 workers sharded",
            Limit::Most(1.15),
            median(Row::Evenness, &subject::evenness(8, "sharded")),
        ),
        goal(
            "message round trip, next to a raw socketpair's",
            Limit::Most(1.4),
            against(Row::Messages, "round trip", "raw"),
        ),
        goal("messages a second, out", Limit::Least(2e6), median(Row::Messages, "out")),
        goal("messages a second, in", Limit::Least(2e6), median(Row::Messages, "in")),
        goal("fork to online, ms", Limit::Most(4.0), median(Row::Births, subject::ONLINE)),
        goal("private memory a worker, MB", Limit::Most(1.5), most(Row::Memory, &memory)),
        goal(
            "primary's CPU a connection, 64 workers next to 2",
            Limit::Most(1.3),
            median(Row::Growth, subject::GROWTH),
        ),
    ]
}

/// Nothing may go wrong when workers come and go.
fn flawless(results: &Results, ours: &str) -> Vec<Goal> {
    let subjects = ["rr", "sharded"].into_iter().flat_map(|schedule| {
        [
            subject::storm("hung", schedule),
            subject::rolling("failed", schedule),
            subject::rolling("hung", schedule),
        ]
    });
    let goal = |subject: String| Goal {
        text: format!("{ours}: {subject}"),
        limit: Limit::Most(0.0),
        figure: results.find(Row::Storm, &subject, ours).and_then(middle),
    };
    subjects.map(goal).collect()
}

/// Renders the goals, one a line.
pub(super) fn render(goals: &[Goal]) -> String {
    let mut text = "\nmust reach\n".to_owned();
    for goal in goals {
        let limit = match goal.limit {
            Limit::Most(limit) => format!("≤ {}", number(limit)),
            Limit::Least(limit) => format!("≥ {}", number(limit)),
        };
        let figure = goal.figure.map_or("-".to_owned(), number);
        let verdict = match goal.verdict() {
            Verdict::Met => "met",
            Verdict::Missed => "missed",
            Verdict::NotRun => "not run",
        };
        text += &format!("  {verdict:7}  {figure:>9} {limit:11} {}\n", goal.text);
    }
    text
}

fn middle(figure: &Figure) -> Option<f64> {
    Spread::of(&figure.samples).map(|spread| spread.median)
}

/// Ours next to theirs: round by round, where both have been there in each.
fn ratio(ours: &Figure, theirs: &Figure) -> Option<f64> {
    if ours.samples.len() != theirs.samples.len() {
        return Some(middle(ours)? / middle(theirs)?);
    }
    let ratios: Vec<_> = ours.samples.iter().zip(&theirs.samples).map(|(a, b)| a / b).collect();
    Spread::of(&ratios).map(|spread| spread.median)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(limit: Limit, figure: Option<f64>) -> Verdict {
        Goal { text: String::new(), limit, figure }.verdict()
    }

    #[test]
    fn the_limit_itself_is_good_enough() {
        assert_eq!(verdict(Limit::Most(1.25), Some(1.25)), Verdict::Met);
        assert_eq!(verdict(Limit::Most(1.25), Some(1.26)), Verdict::Missed);
        assert_eq!(verdict(Limit::Least(2e6), Some(2e6)), Verdict::Met);
        assert_eq!(verdict(Limit::Least(2e6), Some(1.9e6)), Verdict::Missed);
        assert_eq!(verdict(Limit::Most(0.0), None), Verdict::NotRun);
    }

    #[test]
    fn programs_are_compared_round_by_round() {
        let mut results = Results::default();
        for (ours, node) in [(10.0, 100.0), (30.0, 100.0), (40.0, 400.0)] {
            results.add(Row::Cost, &subject::cost(2, "rr"), "µs", "tokio", ours);
            results.add(Row::Cost, &subject::cost(2, "rr"), "µs", "node", node);
        }
        let goals = all(&results);
        assert_eq!(goals[1].figure, Some(0.1));
        assert_eq!(goals.iter().filter(|goal| goal.figure.is_some()).count(), 1);
        let text = render(&goals);
        assert!(text.contains("met           0.10 ≤ 0.20"), "{text}");
        assert!(text.contains("not run          - ≥ 2000000"), "{text}");
    }
}
