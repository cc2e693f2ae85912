//! What is measured of a birth is measured of every one.

use crate::example::Ended;
use crate::harness::{figures, start};
use crate::runtime::Runtime;

pub(crate) fn each_worker_is_online_before_it_listens(runtime: Runtime) {
    let ended = start(runtime, "spawning", &["3"]).ended();
    let figures = figures(&ended);
    let names: Vec<_> = figures.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["online", "listening"].repeat(3));
    for birth in figures.chunks(2) {
        assert!(birth[0].1 > 0.0 && birth[0].1 <= birth[1].1, "{birth:?}");
    }
}

pub(crate) fn a_count_that_is_none_is_an_error(runtime: Runtime) {
    let Ended { status, lines, errors } = start(runtime, "spawning", &["some"]).ended();
    assert_eq!(status.code(), Some(1), "{lines:#?}");
    assert!(lines.is_empty() && errors.contains("InvalidDigit"), "{lines:#?}\n{errors}");
}
