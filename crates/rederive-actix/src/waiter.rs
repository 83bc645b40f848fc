//! [`Waiter`]: the promise of one [`Outcome`] to one awaiting caller.

use std::sync::{
    Arc, Mutex, PoisonError, Weak,
    atomic::{AtomicUsize, Ordering},
};

use rederive_core::{Blocked, Halt, Skip};
use tokio::sync::oneshot;

/// What became of an event for one reducer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// The event's effects are committed in all its partitions: a reader of the store sees them.
    Done,
    /// The event belongs to no partition of this reducer.
    Ignored,
    /// A partition of the event is halted at this event or an earlier one; the event's effect on it
    /// is not in the store and will not be until the partition is repaired.
    Halted(Arc<Halt>),
    /// A partition of the event has passed it by, as its reducer's policy or an operator decided;
    /// the event has no effect on it.
    Skipped(Arc<Skip>),
    /// The reducer is paused and has not read the event.
    Paused,
    /// The whole reducer stands before this event or an earlier one and cannot pass it.
    Blocked(Blocked),
    /// The log has no event at this cursor, although it has later ones.
    Missing,
    /// Another owner has taken the reducer over; what becomes of the event is not known here. Not
    /// told where the reducer stands by then ([`OnOwned::StandBy`](crate::OnOwned)).
    Fenced,
    /// The supervisor is stopping. The event may take effect after the next start.
    Stopped,
    /// Not known yet: the wait ended early because of what became of another event.
    Pending,
    /// The time was up before anything else could be said. The event may take effect later.
    TimedOut,
}

impl Outcome {
    /// True when nothing of the event is missing from the derived state: it is done or ignored.
    pub fn is_success(&self) -> bool {
        matches!(self, Outcome::Done | Outcome::Ignored)
    }
}

/// Owes one outcome to a caller. Clones share the promise: an event of several partitions is done
/// when it is done in each, and halted when it is halted in one.
///
/// When all clones are dropped unanswered, as in an actor that died, the caller notices and asks
/// again.
#[derive(Clone)]
pub(crate) struct Waiter(Arc<Promise>);

pub(crate) struct Promise {
    reply: Mutex<Option<oneshot::Sender<Outcome>>>,
    parts: AtomicUsize,
}

impl Waiter {
    pub(crate) fn new() -> (Self, oneshot::Receiver<Outcome>) {
        let (reply, outcome) = oneshot::channel();
        let promise = Promise { reply: Mutex::new(Some(reply)), parts: AtomicUsize::new(1) };
        (Self(Arc::new(promise)), outcome)
    }

    /// By which it may be answered by somebody who does not owe the answer.
    pub(crate) fn downgrade(&self) -> Weak<Promise> {
        Arc::downgrade(&self.0)
    }

    /// `None` when nobody owes the answer any more.
    pub(crate) fn upgrade(promise: &Weak<Promise>) -> Option<Self> {
        promise.upgrade().map(Self)
    }

    /// From now on, `done` must be said this many times.
    pub(crate) fn expect(&self, parts: usize) {
        self.0.parts.store(parts, Ordering::Relaxed);
    }

    /// One part is done; the last one answers.
    pub(crate) fn done(self) {
        if self.0.parts.fetch_sub(1, Ordering::AcqRel) <= 1 {
            self.finish(Outcome::Done);
        }
    }

    /// Answers, whatever the other parts are going to say.
    pub(crate) fn finish(self, outcome: Outcome) {
        let reply = self.0.reply.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(reply) = reply {
            // The caller may have gone: then nobody wants to know.
            let _ = reply.send(outcome);
        }
    }

    /// True when nobody waits for the answer any more.
    pub(crate) fn is_gone(&self) -> bool {
        let reply = self.0.reply.lock().unwrap_or_else(PoisonError::into_inner);
        reply.as_ref().is_none_or(oneshot::Sender::is_closed)
    }
}
