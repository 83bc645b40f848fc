//! [`StoreChaos`]: faults at random.

use super::faults::OpenFault;
use crate::{CommitFault, Rng};

/// How likely each fault is, from 0 to 1, at each call where it can happen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StoreChaos {
    /// [`Store::open`](rederive_core::Store::open) fails.
    pub open: f64,
    /// [`Store::open`](rederive_core::Store::open) is done, but its answer is lost.
    pub open_done: f64,
    /// [`Store::writer`](rederive_core::Store::writer) fails.
    pub writer: f64,
    /// [`Writer::revision`](rederive_core::Writer::revision) fails,
    /// [`Store::renew`](rederive_core::Store::renew), or what is read or noted beside commits: skips,
    /// pauses, rows of partitions, the end of a lease.
    pub revision: f64,
    /// [`Store::load`](rederive_core::Store::load) fails, or a read of the outbox or a mark in it.
    pub load: f64,
    /// [`CommitFault::Transient`].
    pub transient: f64,
    /// [`CommitFault::InDoubtDone`].
    pub in_doubt_done: f64,
    /// [`CommitFault::InDoubtLost`].
    pub in_doubt_lost: f64,
    /// [`CommitFault::PanicBefore`].
    pub panic_before: f64,
    /// [`CommitFault::PanicAfter`].
    pub panic_after: f64,
}

impl StoreChaos {
    /// Every fault equally likely.
    pub fn all(probability: f64) -> Self {
        Self {
            open: probability,
            open_done: probability,
            writer: probability,
            revision: probability,
            load: probability,
            transient: probability,
            in_doubt_done: probability,
            in_doubt_lost: probability,
            panic_before: probability,
            panic_after: probability,
        }
    }

    /// What befalls an opening, if anything.
    pub(super) fn open_fault(&self, rng: &mut Rng) -> Option<OpenFault> {
        let faults = [(self.open, OpenFault::Fails), (self.open_done, OpenFault::AnswerLost)];
        faults.into_iter().find(|(probability, _)| rng.chance(*probability)).map(|(_, fault)| fault)
    }

    /// What befalls a commit, if anything.
    pub(super) fn commit_fault(&self, rng: &mut Rng) -> Option<CommitFault> {
        let faults = [
            (self.transient, CommitFault::Transient),
            (self.in_doubt_done, CommitFault::InDoubtDone),
            (self.in_doubt_lost, CommitFault::InDoubtLost),
            (self.panic_before, CommitFault::PanicBefore),
            (self.panic_after, CommitFault::PanicAfter),
        ];
        faults.into_iter().find(|(probability, _)| rng.chance(*probability)).map(|(_, fault)| fault)
    }
}
