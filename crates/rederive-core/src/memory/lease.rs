//! The clock of a [`MemoryStore`](super::MemoryStore), and the leases that it measures.

use std::time::{Duration, Instant};

use crate::{Claim, Lease};

/// The time since the store was made, and what a test has added.
pub(super) struct Clock {
    begun: Instant,
    ahead: Duration,
}

impl Default for Clock {
    fn default() -> Self {
        Self { begun: Instant::now(), ahead: Duration::ZERO }
    }
}

impl Clock {
    pub(super) fn now(&self) -> Duration {
        self.begun.elapsed().saturating_add(self.ahead)
    }

    pub(super) fn advance(&mut self, time: Duration) {
        self.ahead = self.ahead.saturating_add(time);
    }
}

/// The lease of a reducer.
pub(super) struct Held {
    owner: String,
    pub(super) length: Duration,
    /// By the store's clock.
    until: Duration,
}

impl Held {
    /// The lease that the new owner wants; `None` when it wants none.
    pub(super) fn of(claim: &Claim<'_>, now: Duration) -> Option<Self> {
        let until = now.saturating_add(claim.lease);
        let held = Self { owner: claim.owner.to_owned(), length: claim.lease, until };
        (!claim.lease.is_zero()).then_some(held)
    }

    pub(super) fn renew(&mut self, now: Duration) {
        self.until = now.saturating_add(self.length);
    }

    pub(super) fn lease(&self, now: Duration) -> Lease {
        Lease { owner: self.owner.clone(), remaining: self.until.saturating_sub(now) }
    }
}
