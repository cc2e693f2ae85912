//! Where an answer goes.

use std::fmt;

/// Takes the answer to one command, once. Dropped without an answer, it tells the asker that
/// there is none.
///
/// A runtime's one-shot channel becomes a reply by its `send`; a plain event loop may pass any
/// closure, or [`Reply::ignore`].
pub struct Reply<T>(Box<dyn FnOnce(T) + Send>);

impl<T> Reply<T> {
    /// Gives the answer to `take`.
    pub fn new(take: impl FnOnce(T) + Send + 'static) -> Self {
        Self(Box::new(take))
    }

    /// Nobody wants the answer.
    pub fn ignore() -> Self {
        Self(Box::new(|_| {}))
    }

    /// Answers.
    pub fn send(self, answer: T) {
        (self.0)(answer);
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reply")
    }
}
