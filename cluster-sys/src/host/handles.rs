//! The descriptors that a core decides about.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use cluster_core::{HandleName, HandleToken};

/// Descriptors by the names that the core knows them by.
#[derive(Debug, Default)]
pub(crate) struct Handles {
    table: BTreeMap<HandleName, OwnedFd>,
    named: u64,
}

impl Handles {
    /// Takes a descriptor in; the token is for the core.
    pub(crate) fn insert(&mut self, handle: OwnedFd) -> HandleToken {
        self.named += 1;
        let name = HandleName(self.named);
        self.table.insert(name, handle);
        HandleToken::new(name)
    }

    pub(crate) fn at(&self, name: HandleName) -> Option<BorrowedFd<'_>> {
        self.table.get(&name).map(OwnedFd::as_fd)
    }

    /// The descriptor leaves the table, and its name stays known to the core: it can be
    /// [put back](Self::put_back).
    pub(crate) fn lay_out(&mut self, name: HandleName) {
        self.table.remove(&name);
    }

    /// The descriptor is here again.
    pub(crate) fn put_back(&mut self, name: HandleName, handle: OwnedFd) {
        self.table.insert(name, handle);
    }

    /// The core has decided: the descriptor leaves the table.
    pub(crate) fn remove(&mut self, token: HandleToken) -> Option<OwnedFd> {
        let HandleToken { .. } = token;
        self.table.remove(&token.name())
    }
}
