//! The examples that show patterns of use, as their users have them: real programs, started,
//! asked, killed and ended.
//!
//! Nothing is waited for by time: what is waited for are lines, answers, ends of pipes. Only
//! where a promise is about time (a limit, a budget) does a test take so long.

#![forbid(unsafe_code)]

#[path = "../http/client.rs"]
#[allow(dead_code, reason = "these tests use a part of what those of the http example use")]
mod client;
#[path = "../http/example.rs"]
#[allow(dead_code, reason = "these tests use a part of what those of the http example use")]
mod example;
#[path = "../http/processes.rs"]
#[allow(dead_code, reason = "these tests use a part of what those of the http example use")]
mod processes;
#[macro_use]
#[path = "../http/runtime.rs"]
mod runtime;
#[path = "../http/transcript.rs"]
#[allow(dead_code, reason = "these tests use a part of what those of the http example use")]
mod transcript;

mod announce;
mod graceful;
mod harness;
mod pool;
mod rolling;
mod spawning;
mod status;
mod sticky;
mod traffic;
mod watchdog;

on_each_runtime! {
    announce {
        all_workers_know_the_newest_line_the_later_ones_too,
    }
    graceful {
        what_was_begun_is_finished_and_what_hangs_is_killed_at_the_limit,
        a_second_signal_does_not_wait_for_the_limit,
    }
    pool {
        the_total_is_right,
        the_total_is_right_although_workers_crash,
        a_job_that_crashes_whoever_does_it_is_given_up,
    }
    rolling {
        two_thousand_connections_during_rollouts_and_none_fails,
        a_broken_deploy_leaves_the_old_workers_where_they_are,
    }
    spawning {
        each_worker_is_online_before_it_listens,
        a_count_that_is_none_is_an_error,
    }
    status {
        sums_are_right_and_the_dead_are_in_them,
    }
    sticky {
        a_client_keeps_its_worker_when_another_one_is_replaced,
        what_a_worker_had_not_taken_when_it_died_goes_to_the_next_choice,
        workers_that_leave_one_after_the_other_lose_no_connection,
    }
    traffic {
        every_way_has_its_figure,
    }
    watchdog {
        a_blocked_worker_is_replaced_and_the_others_serve_meanwhile,
        to_start_may_take_longer_than_to_answer,
        but_not_for_ever,
    }
}
