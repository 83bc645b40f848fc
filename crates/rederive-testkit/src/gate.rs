//! [`Gate`]: holds threads at a point until a test lets them go on.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// A gate that threads wait at while it is closed. Clones are the same gate.
///
/// Whoever waits longer than [`Gate::PATIENCE`] panics, so that a test that does not open its gate
/// ends. Where somebody expects panics and goes on, opening the gate fails: it was too late.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    open: bool,
    arrived: usize,
    /// Somebody has waited too long.
    given_up: bool,
}

impl Gate {
    /// How long a thread waits at a closed gate before it panics.
    pub const PATIENCE: Duration = Duration::from_secs(60);

    /// A closed gate.
    pub fn closed() -> Self {
        Self::default()
    }

    /// Lets everybody pass, those who wait and those who come later.
    ///
    /// # Panics
    /// When somebody has waited longer than [`Gate::PATIENCE`] for it.
    #[track_caller]
    pub fn open(&self) {
        let mut state = self.lock();
        state.open = true;
        let given_up = state.given_up;
        drop(state);
        self.0.changed.notify_all();
        assert!(!given_up, "the gate is opened after more than {:?}", Self::PATIENCE);
    }

    /// Holds those who come from now on.
    pub fn close(&self) {
        self.lock().open = false;
    }

    /// How many have come to the gate, whether they passed or wait.
    pub fn arrived(&self) -> usize {
        self.lock().arrived
    }

    /// Comes to the gate and waits while it is closed.
    ///
    /// # Panics
    /// When nobody opens the gate within [`Gate::PATIENCE`].
    pub fn pass(&self) {
        let mut state = self.lock();
        state.arrived += 1;
        self.0.changed.notify_all();
        let wait = self.0.changed.wait_timeout_while(state, Self::PATIENCE, |state| !state.open);
        let (mut state, waited) = wait.unwrap_or_else(PoisonError::into_inner);
        state.given_up |= waited.timed_out();
        drop(state);
        assert!(!waited.timed_out(), "nobody opened the gate within {:?}", Self::PATIENCE);
    }

    /// Waits until `count` have come to the gate.
    ///
    /// # Panics
    /// When they have not come within that time.
    #[track_caller]
    pub fn wait_for_arrivals(&self, count: usize, within: Duration) {
        let wait =
            self.0.changed.wait_timeout_while(self.lock(), within, |state| state.arrived < count);
        let (state, waited) = wait.unwrap_or_else(PoisonError::into_inner);
        let arrived = state.arrived;
        drop(state);
        assert!(!waited.timed_out(), "only {arrived} of {count} came to the gate in {within:?}");
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn those_who_come_to_a_closed_gate_wait_until_it_is_opened() {
        let gate = Gate::closed();
        let passed = thread::spawn({
            let gate = gate.clone();
            move || gate.pass()
        });
        gate.wait_for_arrivals(1, Duration::from_secs(10));
        assert!(!passed.is_finished());
        gate.open();
        passed.join().expect("the thread passed");
        gate.pass();
        assert_eq!(gate.arrived(), 2);
    }
}
