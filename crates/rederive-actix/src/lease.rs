//! [`Leases`]: renews the leases of a store's reducers.

use std::{
    collections::HashMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{Builder, JoinHandle},
    time::{Duration, Instant},
};

use actix::Recipient;
use rederive_core::{Notice, Store};

use crate::{
    config::Config, message::LeaseLost, observe::Observers, ownership::Ownership,
    worker::unpanicked,
};

/// The leases of the reducers that one supervisor has in one store, renewed by a thread of its own:
/// neither a reducer that thinks long nor a long transaction is to make others believe that this
/// process has died. The thread begins with the first lease and ends when this is dropped.
pub(crate) struct Leases(Holder);

/// Adds leases to be renewed, and takes them out.
#[derive(Clone)]
pub(crate) struct Holder(Arc<Shared>);

struct Shared {
    store: Arc<dyn Store>,
    config: Config,
    observers: Observers,
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    held: HashMap<Arc<str>, Held>,
    thread: Option<JoinHandle<()>>,
    ended: bool,
}

/// A lease that is renewed.
pub(crate) struct Held {
    pub(crate) epoch: u64,
    pub(crate) ownership: Ownership,
    /// Told when somebody else has the reducer.
    pub(crate) lost: Recipient<LeaseLost>,
}

impl Leases {
    pub(crate) fn new(store: Arc<dyn Store>, config: Config, observers: Observers) -> Self {
        let (state, ended) = (Mutex::default(), Condvar::new());
        Self(Holder(Arc::new(Shared { store, config, observers, state, ended })))
    }

    pub(crate) fn holder(&self) -> Holder {
        self.0.clone()
    }

    /// Ends the thread and waits for its end.
    pub(crate) fn join(self) {
        let thread = self.0.0.end();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        self.0.0.end();
    }
}

impl Holder {
    /// Renews this lease from now on, instead of an earlier one of the reducer.
    pub(crate) fn hold(&self, reducer: &Arc<str>, held: Held) {
        let mut state = self.0.lock();
        if state.ended {
            return;
        }
        state.held.insert(Arc::clone(reducer), held);
        if state.thread.is_none() {
            let shared = Arc::clone(&self.0);
            let thread = Builder::new().name("rederive-lease".to_owned());
            match thread.spawn(move || shared.run()) {
                Ok(thread) => state.thread = Some(thread),
                // Commits renew it as well, and nothing is spoilt if it runs out.
                Err(error) => {
                    log::error!(target: "rederive", "cannot start the lease thread: {error}");
                }
            }
        }
    }

    /// Renews the reducer's lease no more.
    pub(crate) fn let_go(&self, reducer: &str) {
        self.0.lock().held.remove(reducer);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) -> Option<JoinHandle<()>> {
        let mut state = self.lock();
        state.ended = true;
        state.held.clear();
        self.ended.notify_all();
        state.thread.take()
    }

    fn run(&self) {
        let (mut attempts, mut pause) = (0, self.config.lease / 3);
        loop {
            let state = self.lock();
            let waited = self.ended.wait_timeout_while(state, pause, |state| !state.ended);
            let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if state.ended {
                return;
            }
            let held: Vec<(Arc<str>, u64)> = state
                .held
                .iter()
                .map(|(reducer, held)| (Arc::clone(reducer), held.epoch))
                .collect();
            drop(state);
            (attempts, pause) = self.renew(&held, attempts);
        }
    }

    /// Renews these leases. Returns how many attempts have failed in a row, and the pause before the
    /// next one.
    fn renew(&self, held: &[(Arc<str>, u64)], attempts: u32) -> (u32, Duration) {
        let period = self.config.lease / 3;
        if held.is_empty() {
            return (0, period);
        }
        let begun = Instant::now();
        let owned: Vec<(&str, u64)> =
            held.iter().map(|(reducer, epoch)| (&**reducer, *epoch)).collect();
        let renewed = unpanicked(|| self.store.renew(&owned));
        let error = match renewed {
            Ok(Ok(renewed)) => {
                self.renewed(held, &renewed, begun + self.config.lease);
                return (0, period.saturating_sub(begun.elapsed()));
            }
            Ok(Err(error)) => error.to_string(),
            Err(panicked) => panicked,
        };
        let (attempt, delay) = (attempts + 1, self.config.backoff(attempts + 1).min(period));
        let reducers = held.iter().map(|(reducer, _)| Arc::clone(reducer)).collect();
        self.observers.tell(&Notice::RenewalDelayed { reducers, attempt, delay, error });
        (attempt, delay)
    }

    fn renewed(&self, held: &[(Arc<str>, u64)], renewed: &[bool], ends: Instant) {
        let mut state = self.lock();
        for ((reducer, epoch), owns) in held.iter().zip(renewed) {
            // It may have been let go or opened again meanwhile.
            let same = state.held.get(reducer).filter(|held| held.epoch == *epoch);
            match same {
                Some(held) if *owns => held.ownership.renewed(*epoch, ends),
                Some(held) => {
                    held.lost.do_send(LeaseLost { epoch: *epoch });
                    state.held.remove(reducer);
                }
                None => {}
            }
        }
    }
}
