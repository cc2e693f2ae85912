//! Every way of a message is measured once.

use crate::harness::{figures, start};
use crate::runtime::Runtime;

pub(crate) fn every_way_has_its_figure(runtime: Runtime) {
    // It checks itself that nothing is lost.
    let figures = figures(&start(runtime, "traffic", &["4000"]).ended());
    let names: Vec<_> = figures.iter().map(|(name, _)| name.as_str()).collect();
    let ways = [
        "round trip",
        "round trip with handle",
        "out",
        "in",
        "out with handles",
        "in with handles",
    ];
    assert_eq!(names, ways);
    assert!(figures.iter().all(|(_, figure)| *figure > 0.0 && figure.is_finite()), "{figures:?}");
}
