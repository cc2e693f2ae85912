//! The scenarios, and how they become tests.

pub(crate) mod beyond_node;
pub(crate) mod changes;
pub(crate) mod choosing;
pub(crate) mod cordons;
pub(crate) mod datagrams;
pub(crate) mod handles;
pub(crate) mod killing;
pub(crate) mod leaving;
pub(crate) mod lifecycle;
pub(crate) mod listening;
pub(crate) mod messages;
pub(crate) mod own_sockets;
pub(crate) mod paths;
pub(crate) mod primary;
pub(crate) mod schedules;
pub(crate) mod settings;
pub(crate) mod stdio;
pub(crate) mod support;

/// Makes the tests of a flavour.
#[allow(unused_macros, reason = "each flavour is made in one way")]
macro_rules! conformance {
    () => {
        without_listener! { any = RoundRobin }
        with_listener! { rr = RoundRobin:
            schedules {
                server_restart_rr, bind_privileged_port, worker_handle_close,
                inflight_redispatch, fair_with_blocked_worker, net_listen_ipv6only_rr,
                a_cordoned_worker_may_take_what_it_was_handed,
            }
        }
        with_listener! { none = None:
            schedules {
                server_restart_none, shared_handle_bind_privileged_port, shared_handle_bind_error,
                net_listen_ipv6only_none, shared_leak,
            }
        }
        sharded! {}
    };
}

/// Makes the tests of a flavour whose workers have no runtime, but an event loop of their own and
/// a host in it: all but these.
///
/// - `primary`, `bind_privileged_port`, `shared_handle_bind_privileged_port`,
///   `net_listen_relative_path`: the primary there is a fixture, too, and has a runtime.
/// - `role_is_the_same_when_asked_again`, `child_process_fork_ref2`, `slow_reader`,
///   `child_process_silent`, `net_listen_handle_in_cluster_2`: asking for the role, receiving,
///   waiting for room, blocking, and going on without a channel are for a runtime's crate, or
///   for the program, to offer.
/// - `listen_fd_cluster`, `dgram_bind_fd`: it is for the program to see what kind of socket it
///   was given.
/// - `invalid_message`, `disconnect_with_no_workers`, `spawn_failure_leaves_no_ghost`,
///   `setup_primary_emit`, `setup_primary_multiple`: there is no worker, or none that matters.
#[allow(unused_macros, reason = "each flavour is made in one way")]
macro_rules! conformance_without_runtime {
    () => {
        scenarios! { any = RoundRobin:
            lifecycle {
                descriptors_at_start, worker_init, worker_events, worker_isconnected,
                worker_isdead, worker_exit, worker_death, child_process_exit_code,
                child_process_fork_close, listening_is_awaited, listening_is_awaited_in_vain,
            }
            settings { fork_env, options_per_fork, cwd, role_variable_without_channel, }
            stdio { setup_primary, }
            messages {
                child_process_internal, child_process_send_returns_boolean, large_message,
                child_process_send_cb, child_process_send_after_close,
                child_process_ipc_next_tick, child_process_fork_ref, message_before_subscription,
                advanced_serialization,
            }
            handles {
                net_listen_handle_in_cluster_1, child_process_send_keep_open,
                child_process_fork_dgram, child_process_fork_net_server,
                child_process_fork_net_socket, child_process_fork_net,
            }
            killing {
                worker_kill, worker_kill_signal, kill_infinite_loop, kill_disconnect,
                worker_destroy, call_and_destroy, kill_after, kill_before_online,
            }
            leaving {
                worker_forced_exit, disconnect_before_exit, disconnect_idle_worker,
                disconnect_exitedafterdisconnect_race, child_process_disconnect, dropped_cluster,
            }
            choosing {
                the_least_loaded_is_next, the_less_loaded_of_two_is_next,
                a_peer_sticks_to_its_worker, a_bound_moves_a_peer_on, a_rule_names_the_worker,
                a_rule_lets_some_wait_for_a_worker, a_rule_lets_some_wait_for_an_end,
                a_rules_nonsense_harms_nobody_else, narrow_limits_keep_nobody_out,
                a_slow_start_keeps_nobody_out, an_overloaded_cluster_may_close_what_it_cannot_serve,
                what_two_workers_leave_untaken_goes_to_a_third,
            }
            changes {
                a_peer_sticks_from_then_on, connections_from_before_count,
                an_address_is_shared_as_it_was_first_listened_on,
            }
            beyond_node { exit_before_disconnect, }
        }
        listening_without_runtime! { rr = RoundRobin:
            schedules {
                server_restart_rr, worker_handle_close, inflight_redispatch,
                fair_with_blocked_worker, net_listen_ipv6only_rr,
                a_cordoned_worker_may_take_what_it_was_handed,
            }
        }
        listening_without_runtime! { none = None:
            schedules {
                server_restart_none, shared_handle_bind_error, net_listen_ipv6only_none,
                shared_leak,
            }
        }
        sharded! {}
    };
}

/// The same for workers that listen.
#[allow(unused_macros, reason = "each flavour is made in one way")]
macro_rules! listening_without_runtime {
    ($name:ident = $schedule:ident: $($own:tt)*) => {
        scenarios! { $name = $schedule:
            lifecycle { basic, message, }
            leaving {
                worker_disconnect, process_disconnect, worker_wait_server_close, disconnect,
                disconnect_race, disconnect_leak, disconnect_unshared_tcp,
                disconnect_unshared_udp,
            }
            listening {
                net_listen, listening_port, net_listen_ipv6only_false, http_pipe, bind_twice,
                eaddrinuse, eaccess, ipc_throw, worker_disconnect_on_error,
                child_index_net, net_listen_twice, net_listen_backlog, tls_ticket_cluster,
                net_server_close_before_ipc_response,
            }
            paths { unix_mode_bits_under_none, }
            own_sockets { net_reuseport, child_process_net_reuseport, }
            datagrams {
                dgram_2, dgram_bind_shared_ports, dgram_ipv6only, dgram_reuse, dgram_reuseport,
                dgram_cluster_bind_error, dgram_bind_socket_close_before_cluster_reply,
                dgram_cluster_close_in_listening, dgram_cluster_close_during_bind,
                child_index_dgram,
            }
            handles { net_send, send_socket_to_worker_http_server, }
            beyond_node {
                disconnect_all_waits_for_all, disconnect_twice_is_noop,
                disconnect_event_with_handle_in_flight, two_waiters_on_failing_bind,
                waiter_leaves_during_bind, listen_during_shutdown,
                nonblocking_is_kept, explicit_port_after_port_zero, listen_port_zero_pairs,
                failed_listen_frees_its_place, supervisor_survives_send_races,
                two_clusters_one_process, draining_event,
            }
            cordons {
                nothing_new_comes_to_a_cordoned_worker, who_comes_when_all_are_cordoned_waits,
                a_worker_may_be_cordoned_before_it_listens, a_cordon_ends_with_its_worker,
                a_cordoned_worker_leaves,
            }
            $($own)*
        }
    };
}

/// Scenarios to which it does not matter who gets the next connection, or which say that
/// themselves.
#[allow(unused_macros, reason = "each flavour is made in one way")]
macro_rules! without_listener {
    ($name:ident = $schedule:ident) => {
        scenarios! { $name = $schedule:
            lifecycle {
                role_is_the_same_when_asked_again, descriptors_at_start, worker_init,
                worker_events, worker_isconnected, worker_isdead, worker_exit, worker_death,
                child_process_exit_code, child_process_fork_close, listening_is_awaited,
                listening_is_awaited_in_vain,
            }
            settings {
                fork_env, options_per_fork, cwd, role_variable_without_channel,
                spawn_failure_leaves_no_ghost, setup_primary_emit, setup_primary_multiple,
            }
            stdio { setup_primary, child_process_silent, }
            messages {
                child_process_internal, invalid_message, child_process_send_returns_boolean,
                slow_reader, large_message, child_process_send_cb,
                child_process_send_after_close, child_process_ipc_next_tick,
                child_process_fork_ref, child_process_fork_ref2, message_before_subscription,
                advanced_serialization,
            }
            handles {
                net_listen_handle_in_cluster_1, child_process_send_keep_open,
                child_process_fork_dgram, child_process_fork_net_server,
                child_process_fork_net_socket, child_process_fork_net,
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
            choosing {
                the_least_loaded_is_next, the_less_loaded_of_two_is_next,
                a_peer_sticks_to_its_worker, a_bound_moves_a_peer_on, a_rule_names_the_worker,
                a_rule_lets_some_wait_for_a_worker, a_rule_lets_some_wait_for_an_end,
                a_rules_nonsense_harms_nobody_else, narrow_limits_keep_nobody_out,
                a_slow_start_keeps_nobody_out, an_overloaded_cluster_may_close_what_it_cannot_serve,
                what_two_workers_leave_untaken_goes_to_a_third,
            }
            changes {
                a_peer_sticks_from_then_on, connections_from_before_count,
                an_address_is_shared_as_it_was_first_listened_on,
            }
            beyond_node { exit_before_disconnect, }
        }
    };
}

/// Scenarios in which workers listen, and those that one schedule has for itself.
#[allow(unused_macros, reason = "each flavour is made in one way")]
macro_rules! with_listener {
    ($name:ident = $schedule:ident: $($own:tt)*) => {
        scenarios! { $name = $schedule:
            lifecycle { basic, message, }
            leaving {
                worker_disconnect, process_disconnect, worker_wait_server_close, disconnect,
                disconnect_race, disconnect_leak, disconnect_unshared_tcp,
                disconnect_unshared_udp,
            }
            primary { primary_error, primary_kill, }
            listening {
                net_listen, listening_port, net_listen_ipv6only_false, http_pipe, bind_twice,
                eaddrinuse, eaccess, ipc_throw, worker_disconnect_on_error,
                child_index_net, net_listen_twice, net_listen_backlog, listen_fd_cluster,
                tls_ticket_cluster,
                net_server_close_before_ipc_response,
            }
            paths { net_listen_relative_path, unix_mode_bits_under_none, }
            own_sockets {
                net_reuseport, child_process_net_reuseport, net_listen_handle_in_cluster_2,
            }
            datagrams {
                dgram_2, dgram_bind_shared_ports, dgram_ipv6only, dgram_reuse, dgram_reuseport,
                dgram_cluster_bind_error, dgram_bind_socket_close_before_cluster_reply,
                dgram_cluster_close_in_listening, dgram_cluster_close_during_bind,
                dgram_bind_fd, child_index_dgram,
            }
            handles { net_send, send_socket_to_worker_http_server, }
            beyond_node {
                disconnect_all_waits_for_all, disconnect_twice_is_noop,
                disconnect_event_with_handle_in_flight, two_waiters_on_failing_bind,
                waiter_leaves_during_bind, listen_during_shutdown,
                nonblocking_is_kept, explicit_port_after_port_zero, listen_port_zero_pairs,
                failed_listen_frees_its_place, supervisor_survives_send_races,
                two_clusters_one_process, draining_event,
            }
            cordons {
                nothing_new_comes_to_a_cordoned_worker, who_comes_when_all_are_cordoned_waits,
                a_worker_may_be_cordoned_before_it_listens, a_cordon_ends_with_its_worker,
                a_cordoned_worker_leaves,
            }
            $($own)*
        }
    };
}

/// What workers have for themselves that accept from sockets of their own.
#[allow(unused_macros, reason = "each flavour is made in one way")]
macro_rules! sharded {
    () => {
        scenarios! { sharded = Sharded:
            choosing {
                every_shard_is_reached, a_killed_shard_is_inherited, a_busy_shard_holds_up_nobody,
                a_stopped_shard_is_left_out_until_it_goes_on, a_roll_of_shards_loses_nobody,
                shards_on_port_zero_pair, what_cannot_be_sharded_goes_round,
                datagrams_of_a_peer_stay_together, a_sharded_address_is_in_use,
            }
            cordons {
                nothing_new_comes_to_a_cordoned_worker, who_comes_when_all_are_cordoned_waits,
                a_worker_may_be_cordoned_before_it_listens, a_cordon_ends_with_its_worker,
                a_cordoned_worker_leaves,
            }
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
