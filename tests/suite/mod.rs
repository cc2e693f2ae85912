//! The scenarios, and how they become tests.

pub(crate) mod beyond_node;
pub(crate) mod killing;
pub(crate) mod leaving;
pub(crate) mod lifecycle;
pub(crate) mod listening;
pub(crate) mod messages;
pub(crate) mod primary;
pub(crate) mod schedules;
pub(crate) mod settings;
pub(crate) mod support;

/// Makes the tests of a flavour.
macro_rules! conformance {
    () => {
        without_listener! { any = RoundRobin }
        with_listener! { rr = RoundRobin:
            schedules {
                server_restart_rr, bind_privileged_port, worker_handle_close,
                inflight_redispatch, fair_with_blocked_worker,
            }
        }
        with_listener! { none = None:
            schedules {
                server_restart_none, shared_handle_bind_privileged_port, shared_handle_bind_error,
            }
        }
    };
}

/// Scenarios to which it does not matter who gets the next connection.
macro_rules! without_listener {
    ($name:ident = $schedule:ident) => {
        scenarios! { $name = $schedule:
            lifecycle {
                role_is_the_same_when_asked_again, descriptors_at_start, worker_init,
                worker_events, worker_isconnected, worker_isdead, worker_exit, worker_death,
                child_process_exit_code, child_process_fork_close,
            }
            settings {
                fork_env, options_per_fork, cwd, role_variable_without_channel,
                spawn_failure_leaves_no_ghost,
            }
            messages {
                child_process_internal, invalid_message, child_process_send_returns_boolean,
                slow_reader, large_message, child_process_send_cb,
                child_process_send_after_close, child_process_ipc_next_tick,
                child_process_fork_ref, message_before_subscription, advanced_serialization,
            }
            killing {
                worker_kill, worker_kill_signal, kill_infinite_loop, kill_disconnect,
                worker_destroy, call_and_destroy, kill_after, kill_before_online,
            }
            leaving {
                worker_forced_exit, disconnect_before_exit, disconnect_idle_worker,
                disconnect_with_no_workers, disconnect_exitedafterdisconnect_race,
                child_process_disconnect, dropped_cluster,
            }
            beyond_node { exit_before_disconnect, }
        }
    };
}

/// Scenarios in which workers listen, and those that one schedule has for itself.
macro_rules! with_listener {
    ($name:ident = $schedule:ident: $($own:tt)*) => {
        scenarios! { $name = $schedule:
            lifecycle { basic, message, }
            leaving {
                worker_disconnect, process_disconnect, worker_wait_server_close, disconnect,
                disconnect_race, disconnect_leak, disconnect_unshared_tcp,
            }
            primary { primary_error, primary_kill, }
            listening {
                net_listen, listening_port, net_listen_ipv6only_false, http_pipe, bind_twice,
                eaddrinuse, eaccess, ipc_throw, worker_disconnect_on_error,
                child_index_net, net_listen_twice,
                net_server_close_before_ipc_response,
            }
            beyond_node {
                disconnect_all_waits_for_all, disconnect_twice_is_noop,
                disconnect_event_with_handle_in_flight, two_waiters_on_failing_bind,
                waiter_leaves_during_bind, listen_during_shutdown,
                nonblocking_is_kept, explicit_port_after_port_zero, listen_port_zero_pairs,
                failed_listen_frees_its_place, supervisor_survives_send_races,
                two_clusters_one_process, draining_event,
            }
            $($own)*
        }
    };
}

/// Tests named `schedule::group::scenario`.
macro_rules! scenarios {
    ($name:ident = $schedule:ident: $($group:ident { $($scenario:ident,)* })*) => {
        mod $name {
            $(mod $group {
                $(#[test]
                fn $scenario() {
                    let schedule = $crate::provider::cluster::Schedule::$schedule;
                    $crate::suite::support::run(schedule, $crate::suite::$group::$scenario);
                })*
            })*
        }
    };
}
