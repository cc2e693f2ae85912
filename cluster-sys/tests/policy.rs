//! What is decided from what the system allows.

mod support;

use cluster_core::limits::BUDGET_DEFAULT;
use cluster_sys::default_budget;
use nix::libc::rlim_t;
use nix::sys::resource::{Resource, getrlimit};

use crate::support::{alone, limit_descriptors, skip};

#[test]
fn a_quarter_of_the_descriptors_is_for_connections() {
    alone("a_quarter_of_the_descriptors_is_for_connections", || {
        // Whatever is open already: 3 is less.
        let few = [(64, 16), (67, 16), (68, 17), (4, 1), (3, 1), (0, 1)];
        few.into_iter().for_each(|(limit, budget)| assert_budget(limit, budget));
    });
}

#[test]
fn many_descriptors_leave_the_budget_as_it_is() {
    alone("many_descriptors_leave_the_budget_as_it_is", || {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let enough = 4 * BUDGET_DEFAULT as rlim_t;
        if hard <= enough {
            return skip(&format!("no more than {hard} descriptors may be open"));
        }
        assert_budget(enough - 1, BUDGET_DEFAULT - 1);
        assert_budget(enough, BUDGET_DEFAULT);
        assert_budget(hard, BUDGET_DEFAULT);
    });
}

#[track_caller]
fn assert_budget(limit: rlim_t, budget: usize) {
    limit_descriptors(limit);
    assert_eq!(default_budget(), budget, "of {limit}");
}
