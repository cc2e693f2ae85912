//! What one worker has of connections, and how many more it may get.

use std::time::{Duration, Instant};

use crate::id::ListenerId;
use crate::limits::{
    SLOW_START_LEAST, STALLED_CHECKS, STALLED_CHECKS_MAX, TAKEN_PROMPTLY, WINDOW_START,
};

/// A worker's connections, in figures.
///
/// ```text
///   handed ──▶ untaken ──taken──▶ unfinished ──finished──▶ forgotten
/// ```
///
/// What is taken is counted under every schedule, and so is what has finished, by the worker. It
/// reports that only under schedules that count. When one comes into force, the worker first tells
/// what has finished so far, and so the figure is right whenever the connections were taken.
///
/// Its window is how many may be untaken. It begins small, grows with each one that is taken
/// promptly, and halves with each one that is not: what a blocked worker holds back stays a
/// handful. Beside the window, it may have one of each listener: that it takes nothing of one says
/// little of the others.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) untaken: usize,
    /// Of which listeners, and how many of each: never 0.
    untaken_of: Vec<(ListenerId, usize)>,
    /// Taken, and not reported to have finished.
    unfinished: usize,
    /// How often the worker was told to report, or to do so no longer, and has not answered.
    unanswered: u32,
    window: usize,
    /// How many checks in a row have found something that it should have taken.
    late: u32,
    /// It has said since that it is awake.
    awake: bool,
    stalled: bool,
    /// When it began to listen.
    since: Option<Instant>,
}

impl Account {
    /// Whether it may have one more of this listener.
    pub(crate) fn has_room(&self, listener: ListenerId) -> bool {
        self.untaken < self.window || !self.untaken_of.iter().any(|(it, _)| *it == listener)
    }

    /// Whether half of its window is used up.
    pub(crate) const fn is_pressed(&self) -> bool {
        self.untaken * 2 >= self.window
    }

    /// Taken and not finished. `counted` says that the worker is to report what has; until it has
    /// told what had before, nothing is known.
    pub(crate) const fn open(&self, counted: bool) -> usize {
        if counted && self.unanswered == 0 { self.unfinished } else { 0 }
    }

    /// The worker is told to report, or to do so no longer.
    pub(crate) fn asked(&mut self) {
        self.unanswered = self.unanswered.saturating_add(1);
    }

    /// The worker has heard that.
    pub(crate) fn answered(&mut self) {
        self.unanswered = self.unanswered.saturating_sub(1);
    }

    /// The first time counts.
    pub(crate) fn listens(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// Something that it should have taken by now it has not.
    pub(crate) fn is_late(&mut self) -> Late {
        self.late += 1;
        if self.late == 1 {
            self.awake = false;
            return Late::Ask;
        }
        let most = if self.awake { STALLED_CHECKS_MAX } else { STALLED_CHECKS };
        if self.late < most { Late::Wait } else { Late::Stalled }
    }

    /// It did not take what it was handed, in any time; says whether that is news.
    pub(crate) fn stalls(&mut self) -> bool {
        self.window = 1;
        self.punctual();
        !std::mem::replace(&mut self.stalled, true)
    }

    pub(crate) const fn has_stalled(&self) -> bool {
        self.stalled
    }

    /// It says that it is awake; says whether it had stalled.
    pub(crate) fn is_awake(&mut self) -> bool {
        self.awake = true;
        std::mem::take(&mut self.stalled)
    }

    fn punctual(&mut self) {
        (self.late, self.awake) = (0, false);
    }

    /// It is handed one.
    pub(crate) fn handed(&mut self, listener: ListenerId) {
        self.untaken += 1;
        match self.untaken_of.iter_mut().find(|(it, _)| *it == listener) {
            Some((_, count)) => *count += 1,
            None => self.untaken_of.push((listener, 1)),
        }
    }

    pub(crate) fn taken(&mut self, listener: ListenerId, waited: Duration, window_max: usize) {
        self.settled(listener);
        self.punctual();
        self.unfinished += 1;
        self.window = if waited <= TAKEN_PROMPTLY {
            (self.window + 1).min(window_max)
        } else {
            (self.window / 2).max(1)
        };
    }

    /// One is in flight no longer.
    pub(crate) fn settled(&mut self, listener: ListenerId) {
        let Some(place) = self.untaken_of.iter().position(|(it, _)| *it == listener) else {
            return;
        };
        self.untaken -= 1;
        match &mut self.untaken_of[place].1 {
            1 => drop(self.untaken_of.swap_remove(place)),
            count => *count -= 1,
        }
    }

    /// The worker reports that so many have ended; one that reports too many has none.
    pub(crate) fn finished(&mut self, count: u64) {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        self.unfinished = self.unfinished.saturating_sub(count);
    }

    /// The part of a full share that it is to get by now, in hundredths: a fresh worker's grows
    /// from [`SLOW_START_LEAST`] to 100 in the course of `slow_start`.
    pub(crate) fn share(&self, now: Instant, slow_start: Duration) -> u32 {
        let age = self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        if age >= slow_start {
            return 100;
        }
        let hundredths = age.as_nanos() * 100 / slow_start.as_nanos();
        u32::try_from(hundredths).map_or(100, |it| it.clamp(SLOW_START_LEAST, 100))
    }

    #[cfg(debug_assertions)]
    pub(crate) const fn window(&self) -> usize {
        self.window
    }
}

impl Account {
    /// Nothing yet; at most `window_max` may be untaken.
    pub(crate) fn new(window_max: usize) -> Self {
        Self {
            untaken: 0,
            untaken_of: Vec::new(),
            unfinished: 0,
            unanswered: 0,
            window: WINDOW_START.min(window_max),
            late: 0,
            awake: false,
            stalled: false,
            since: None,
        }
    }
}

/// What is to be done about a worker that is late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Late {
    /// It is asked whether it is awake.
    Ask,
    Wait,
    /// It has had its time.
    Stalled,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: ListenerId = ListenerId(1);
    const LATE: Duration = TAKEN_PROMPTLY.saturating_add(Duration::from_nanos(1));

    #[test]
    fn a_window_grows_one_by_one_and_halves() {
        let mut account = Account::new(8);
        let mut windows = vec![account.window];
        for waited in [TAKEN_PROMPTLY; 7].into_iter().chain([LATE; 4]) {
            account.taken(SOME, waited, 8);
            windows.push(account.window);
        }
        assert_eq!(windows, [2, 3, 4, 5, 6, 7, 8, 8, 4, 2, 1, 1]);
    }

    #[test]
    fn beside_the_window_there_is_room_for_one_of_each_listener() {
        let other = ListenerId(2);
        let mut account = Account::new(1);
        account.handed(SOME);
        assert!(!account.has_room(SOME) && account.has_room(other));
        account.handed(other);
        account.settled(SOME);
        assert_eq!((account.has_room(SOME), account.has_room(other)), (true, false));
        account.settled(other);
        account.settled(other);
        assert!(account.untaken == 0 && account.has_room(other));
    }

    #[test]
    fn a_fresh_workers_share_grows_with_its_age() {
        #[expect(clippy::disallowed_methods, reason = "a test needs some moment to begin with")]
        let now = Instant::now();
        let mut account = Account::new(8);
        let slow_start = Duration::from_secs(10);
        assert_eq!(account.share(now, slow_start), SLOW_START_LEAST);
        account.listens(now);
        let shares =
            [0, 1, 5, 10, 99].map(|age| account.share(now + Duration::from_secs(age), slow_start));
        assert_eq!(shares, [SLOW_START_LEAST, 10, 50, 100, 100]);
        assert_eq!(account.share(now, Duration::ZERO), 100);
    }

    #[test]
    fn nobody_finishes_more_than_there_is() {
        let mut account = Account::new(8);
        account.taken(SOME, Duration::ZERO, 8);
        account.finished(u64::MAX);
        assert_eq!(account.open(true), 0);
    }

    #[test]
    fn nothing_is_known_until_the_last_answer() {
        let mut account = Account::new(8);
        (0..3).for_each(|_| account.taken(SOME, Duration::ZERO, 8));
        assert_eq!((account.open(true), account.open(false)), (3, 0));
        account.asked();
        account.asked();
        account.finished(1);
        account.answered();
        assert_eq!(account.open(true), 0);
        account.answered();
        assert_eq!(account.open(true), 2);
        account.answered();
        account.asked();
        assert_eq!(account.open(true), 0, "an answer to nothing is none");
    }
}
