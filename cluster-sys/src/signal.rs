//! Signals: their numbers, sending one to oneself, and keeping them out of a fork.

use std::io;
use std::marker::PhantomData;

use cluster_core::{Signal, UnknownSignal};
use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SigSet, SigmaskHow, Signal as Number};

/// The highest signal number (signal(7): `SIGRTMAX` of the kernel).
pub(crate) const NUMBER_MAX: i32 = 64;

/// The number of a signal on this system.
///
/// # Errors
///
/// [`UnknownSignal`] for a name this system does not have, and for a number outside 1 to 64.
pub fn number(signal: Signal) -> Result<i32, UnknownSignal> {
    let known = match signal {
        Signal::Named(name) => name.parse::<Number>().ok().map(|number| number as i32),
        Signal::Numbered(number) => (1..=NUMBER_MAX).contains(&number).then_some(number),
    };
    known.ok_or_else(|| UnknownSignal(signal.to_string()))
}

/// The signal with this number: named if it has a name, else numbered.
pub fn from_number(number: i32) -> Signal {
    match Number::try_from(number) {
        Ok(named) => Signal::Named(named.as_str()),
        Err(_) => Signal::Numbered(number),
    }
}

/// Sends a signal to this process, as kill(2) with its own number does.
///
/// Its disposition applies: a handler runs, an ignored signal does nothing. `SIGKILL` and
/// `SIGSTOP` act always.
///
/// # Errors
///
/// `InvalidInput` for a signal this system does not have.
pub fn raise(signal: Signal) -> io::Result<()> {
    let number = checked(signal)?;
    // SAFETY: kill takes two numbers, and this process exists.
    Errno::result(unsafe { libc::kill(libc::getpid(), number) })?;
    Ok(())
}

/// [`number`] for callers that speak `io::Error`.
pub(crate) fn checked(signal: Signal) -> io::Result<i32> {
    number(signal).map_err(|unknown| io::Error::new(io::ErrorKind::InvalidInput, unknown))
}

/// As long as it lives, its thread receives no signal that can be blocked.
#[must_use]
pub(crate) struct Blocked {
    before: SigSet,
    /// The mask belongs to the thread, so the guard must stay there: neither `Send` nor `Sync`.
    thread: PhantomData<*const ()>,
}

impl Blocked {
    /// Blocks all signals in this thread until the guard is dropped.
    pub(crate) fn all() -> io::Result<Self> {
        let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
        Ok(Self { before, thread: PhantomData })
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        self.before
            .thread_set_mask()
            .expect("a mask that was in force can be set: its only error is a wrong argument");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_named_signal_has_a_number_and_back() {
        let named: Vec<i32> = (1..=31).collect();
        for number in named {
            let signal = from_number(number);
            assert!(matches!(signal, Signal::Named(_)), "{number}");
            assert_eq!(super::number(signal), Ok(number));
            assert_eq!(signal.to_string().parse(), Ok(signal));
        }
    }

    #[test]
    fn signals_without_a_name_are_numbered() {
        for number in 32..=NUMBER_MAX {
            assert_eq!(from_number(number), Signal::Numbered(number));
            assert_eq!(super::number(Signal::Numbered(number)), Ok(number));
        }
    }

    #[test]
    fn what_is_no_signal_is_an_error() {
        assert_eq!(number(Signal::Named("SIGNOT")), Err(UnknownSignal("SIGNOT".into())));
        assert_eq!(number(Signal::Numbered(0)), Err(UnknownSignal("SIG0".into())));
        assert_eq!(number(Signal::Numbered(65)), Err(UnknownSignal("SIG65".into())));
        assert_eq!(number(Signal::Numbered(-1)), Err(UnknownSignal("SIG-1".into())));
        let error = raise(Signal::Numbered(0)).expect_err("0 is no signal");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn the_guard_restores_the_mask() {
        let mut mask = SigSet::empty();
        mask.add(Number::SIGUSR2);
        let before = mask.thread_swap_mask(SigmaskHow::SIG_SETMASK).unwrap();
        {
            let _blocked = Blocked::all().unwrap();
            let inside = SigSet::thread_get_mask().unwrap();
            assert!(inside.contains(Number::SIGTERM) && inside.contains(Number::SIGUSR2));
        }
        let after = SigSet::thread_get_mask().unwrap();
        assert!(after.contains(Number::SIGUSR2) && !after.contains(Number::SIGTERM));
        before.thread_set_mask().unwrap();
    }
}
