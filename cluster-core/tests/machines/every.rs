//! Small spaces, exhausted: every sequence of letters up to some length.
//!
//! Two sequences that lead to the same state (of the machine, and of what the trial knows of
//! it) have the same continuations, and only one of them is continued. So every sequence is
//! covered, and few of them are run. A machine cannot be copied, because a token cannot: a
//! state is reached again by the sequence that led there.

pub(crate) mod agent;
pub(crate) mod primary;

use std::collections::HashSet;
use std::fmt::{self, Debug, Write};
use std::hash::{DefaultHasher, Hasher};

/// A machine on trial, and what is known of it.
pub(crate) trait Trial: Debug {
    type Letter: Copy + Debug;

    /// Whether `letter` can happen now.
    fn allows(&self, letter: Self::Letter) -> bool;

    /// Lets `letter` happen, and checks all that must hold.
    fn apply(&mut self, letter: Self::Letter);
}

/// Applies every sequence of `length` letters to what `begin` makes.
pub(crate) fn every_sequence<T: Trial>(
    name: &str,
    alphabet: &[T::Letter],
    length: usize,
    begin: impl Fn() -> T,
) {
    let mut seen = HashSet::from([fingerprint(&begin())]);
    let mut steps = 0;
    let mut edge: Vec<Vec<T::Letter>> = vec![Vec::new()];
    for _ in 0..length {
        let mut next = Vec::new();
        for sequence in &edge {
            let before = run(&begin, sequence);
            for letter in alphabet.iter().filter(|letter| before.allows(**letter)) {
                let longer: Vec<_> = sequence.iter().chain([letter]).copied().collect();
                steps += 1;
                if seen.insert(fingerprint(&run(&begin, &longer))) {
                    next.push(longer);
                }
            }
        }
        edge = next;
    }
    println!("{name}: {steps} steps between {} states", seen.len());
}

fn run<T: Trial>(begin: impl Fn() -> T, sequence: &[T::Letter]) -> T {
    let told = Told(sequence);
    let mut trial = begin();
    sequence.iter().for_each(|letter| trial.apply(*letter));
    std::mem::forget(told);
    trial
}

fn fingerprint(trial: &impl Debug) -> u64 {
    let mut print = Print(DefaultHasher::new());
    write!(print, "{trial:?}").expect("a hasher takes all");
    print.0.finish()
}

struct Print(DefaultHasher);

impl Write for Print {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

/// Tells the sequence that failed, unless it is forgotten.
struct Told<'a, L: Debug>(&'a [L]);

impl<L: Debug> Drop for Told<'_, L> {
    fn drop(&mut self) {
        println!("after {:?}", self.0);
    }
}
