//! The `http` example as its users have it: a real program, started, asked, killed and ended.
//!
//! Every line that it prints is held against the contract, and nothing is waited for by time:
//! what is waited for are lines, answers, ends of pipes. `CLUSTER_STORM` is the size of the
//! storm, `CLUSTER_SEED` repeats one.

#![forbid(unsafe_code)]

mod client;
mod example;
mod http;
mod load;
mod processes;
mod schedules;
#[macro_use]
mod runtime;
mod transcript;

on_each_runtime! {
    http {
        round_robin_is_even,
        a_killed_worker_cuts_its_own_connections_only_and_is_replaced,
        connections_that_a_killed_worker_has_not_taken_go_to_others,
        a_storm_cuts_only_what_the_dead_had_and_hangs_nobody,
        a_rolling_restart_fails_nobody,
        sigterm_lets_requests_finish,
        sigint_lets_requests_finish,
        a_terminals_interrupt_lets_requests_finish,
        a_signal_during_the_start_ends_all,
        a_second_signal_kills,
        workers_end_with_a_killed_primary,
        where_nobody_can_listen_the_example_says_so_and_fails,
        where_nobody_may_listen_the_example_says_so_and_fails,
        without_workers_it_serves_alone,
        a_unix_socket_is_shared_and_removed,
        ipv6_addresses_are_written_in_brackets,
        other_programs_are_workers_and_replaced,
        a_wrapper_script_may_start_the_worker,
        a_program_that_is_not_there_is_a_clear_error,
        served_connections_leave_no_descriptors_behind,
        a_connection_stays_with_its_worker_and_idle_holds_up_nobody,
        silent_clients_hold_up_nobody,
        silent_clients_survive_their_workers,
        every_schedule_serves_and_replaces,
        rolling_fails_nobody_where_workers_accept,
        silent_clients_survive_where_workers_accept,
        a_sharded_storm_cuts_only_what_the_dead_had,
        a_stopped_shard_holds_up_nobody,
        few_descriptors_lose_no_connection,
    }
}
