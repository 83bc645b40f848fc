//! [`Tentative`]: events that are handed out before they are in the log for good.

use std::{
    fmt,
    sync::{Arc, Condvar, Mutex, PoisonError},
};

/// Whether events that were handed out before their transaction was committed have come into the log.
///
/// A log may hand out what it is about to commit ([`Slice::tentative`](crate::Slice::tentative)), so
/// that a store in the same database brings what follows from it into the same transaction. Until
/// that is known, nothing that follows from such events may be stored by itself, or be told anybody.
///
/// ```
/// let (tentative, confirm) = rederive_core::Tentative::new(|| ());
/// assert_eq!(tentative.outcome(), None);
/// confirm.come();
/// assert!(tentative.wait());
///
/// let (tentative, confirm) = rederive_core::Tentative::new(|| ());
/// drop(confirm);
/// assert!(tentative.is_lost());
/// ```
#[derive(Clone, Debug)]
pub struct Tentative(Arc<State>);

/// By which a log says what has become of [`Tentative`] events: they are lost when this is dropped.
#[derive(Debug)]
pub struct Confirm(Arc<State>);

struct State {
    outcome: Mutex<Option<bool>>,
    known: Condvar,
    hurry: Box<dyn Fn() + Send + Sync>,
}

impl Tentative {
    /// For events of which nothing is known yet. `hurry` is called, on their threads, by those who have
    /// to wait for the outcome: there is nothing more to be gained by putting it off. It must not wait for
    /// anything.
    #[allow(clippy::new_ret_no_self, reason = "the two halves are made together, like a channel's")]
    pub fn new(hurry: impl Fn() + Send + Sync + 'static) -> (Self, Confirm) {
        let (outcome, known) = (Mutex::default(), Condvar::default());
        let state = Arc::new(State { outcome, known, hurry: Box::new(hurry) });
        (Self(Arc::clone(&state)), Confirm(state))
    }

    /// True when they have come into the log, false when they have not, and never will by what handed
    /// them out; `None` as long as that is open.
    pub fn outcome(&self) -> Option<bool> {
        *self.0.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True when they have not come into the log, or it is not known whether they have: whoever has
    /// taken them in has to begin anew from what is stored.
    pub fn is_lost(&self) -> bool {
        self.outcome() == Some(false)
    }

    /// Blocks until it is known: true when they have come into the log. That takes no longer than a
    /// transaction.
    pub fn wait(&self) -> bool {
        if self.outcome().is_none() {
            (self.0.hurry)();
        }
        let outcome = self.0.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = self.0.known.wait_while(outcome, |outcome| outcome.is_none());
        outcome.unwrap_or_else(PoisonError::into_inner).unwrap_or(false)
    }

    /// Whether both are about the same events.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Confirm {
    /// The events have come into the log, and are durable.
    pub fn come(self) {
        self.0.decide(true);
    }
}

impl Drop for Confirm {
    fn drop(&mut self) {
        self.0.decide(false);
    }
}

impl State {
    /// What is said first holds.
    fn decide(&self, come: bool) {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(come);
        self.known.notify_all();
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tentative").field(&self.outcome).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;

    #[test]
    fn whoever_waits_learns_what_has_become_of_the_events() {
        for come in [true, false] {
            let (hurry, hurries) = mpsc::channel();
            let (tentative, confirm) = Tentative::new(move || {
                let _ = hurry.send(());
            });
            let other = tentative.clone();
            let waiting = thread::spawn(move || other.wait());
            hurries.recv().expect("whoever waits is in a hurry");
            if come {
                confirm.come();
            } else {
                drop(confirm);
            }
            assert_eq!(waiting.join().expect("no panic"), come);
            assert_eq!((tentative.outcome(), tentative.is_lost()), (Some(come), !come));
            assert_eq!((tentative.wait(), hurries.try_iter().count()), (come, 0), "it is known");
        }
    }
}
