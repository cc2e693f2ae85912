//! What happened, in figures.

/// How often what happened in a world.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) steps: usize,
    /// All that was done, but for looking into queues.
    pub(crate) deeds: usize,
    pub(crate) accept_failures: usize,
    /// Connections that workers accepted themselves.
    pub(crate) accepted_by_workers: usize,
    /// Connections that the primary accepted in place of workers with sockets of their own.
    pub(crate) rescued: usize,
    pub(crate) returned: usize,
    /// Connections that were taken back from workers that had closed their listeners.
    pub(crate) taken_back: usize,
    /// Connections that were taken back from workers that did not take them.
    pub(crate) rescued_untaken: usize,
    /// Connections that were found in the passages of workers that had gone.
    pub(crate) recovered: usize,
    /// Connections that workers took while the primary took back the rest.
    pub(crate) raced: usize,
    /// How often a passage did not take a connection.
    pub(crate) refused: usize,
    /// Connections that went in when it was tried again.
    pub(crate) sent_late: usize,
    /// The same as `taken_back`, `rescued_untaken` and `recovered`: connections that never went in.
    pub(crate) unsent_taken_back: usize,
    pub(crate) unsent_rescued: usize,
    pub(crate) unsent_recovered: usize,
    /// How often a worker was cordoned off that was not.
    pub(crate) cordons: usize,
    /// How often a worker was asked whether it is awake.
    pub(crate) probes: usize,
    /// Slots from which the primary accepted in place of their workers, until those said that
    /// they are awake.
    pub(crate) slots_given_back: usize,
    pub(crate) slots_refused: usize,
    /// How often the primary held as many connections as it may.
    pub(crate) budget_reached: usize,
}

impl Tally {
    /// What may happen in a world and is to happen in some, by name.
    pub(crate) fn happenings(&self) -> [(&'static str, usize); 18] {
        let Self {
            steps: _,
            deeds: _,
            accept_failures,
            accepted_by_workers,
            rescued,
            returned,
            taken_back,
            rescued_untaken,
            recovered,
            raced,
            refused,
            sent_late,
            unsent_taken_back,
            unsent_rescued,
            unsent_recovered,
            cordons,
            probes,
            slots_given_back,
            slots_refused,
            budget_reached,
        } = *self;
        [
            ("accept_failures", accept_failures),
            ("accepted_by_workers", accepted_by_workers),
            ("rescued", rescued),
            ("returned", returned),
            ("taken_back", taken_back),
            ("rescued_untaken", rescued_untaken),
            ("recovered", recovered),
            ("raced", raced),
            ("refused", refused),
            ("sent_late", sent_late),
            ("unsent_taken_back", unsent_taken_back),
            ("unsent_rescued", unsent_rescued),
            ("unsent_recovered", unsent_recovered),
            ("cordons", cordons),
            ("probes", probes),
            ("slots_given_back", slots_given_back),
            ("slots_refused", slots_refused),
            ("budget_reached", budget_reached),
        ]
    }
}
