//! [`Gatherer`]: when the next group of appends begins.
//!
//! Those who append often wait until their events have taken effect, and append again. Whoever begins
//! the next transaction with the first of them splits them into two crowds for good, each with
//! transactions of its own. So appending lets the reducers of the same database go first, and gives
//! those who were served last a moment to come back. Where that leads to nothing, it is seldom tried.

use std::{
    sync::{Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// How far the reducers of a database have come: the highest low watermark.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    reached: Mutex<u64>,
    changed: Condvar,
}

impl Settled {
    /// A reducer has come so far.
    pub(crate) fn reach(&self, id: u64) {
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        if id > *reached {
            *reached = id;
            self.changed.notify_all();
        }
    }

    /// Waits until a reducer has come so far; false when the time is up.
    fn wait(&self, id: u64, time: Duration) -> bool {
        let reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(reached, time, |reached| *reached < id);
        let (reached, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *reached >= id
    }
}

/// Knows what the last group was.
#[derive(Debug)]
pub(crate) struct Gatherer {
    /// How long appends are held back for a reducer. Beyond that it does more than to keep up.
    reducer: Duration,
    /// How long for those who were served last, at most, and until no more of them come.
    crowd: Duration,
    last: Option<Last>,
    /// How often in a row no reducer came, and how many groups are not to wait for that.
    misses: u32,
    skip: u32,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    requests: usize,
    id: u64,
    at: Instant,
}

/// How often those who were served last are looked for, and how often in vain.
const POLL: Duration = Duration::from_micros(40);
const QUIET: u32 = 3;

impl Default for Gatherer {
    fn default() -> Self {
        let (reducer, crowd) = (Duration::from_millis(10), Duration::from_millis(2));
        Self { reducer, crowd, last: None, misses: 0, skip: 0 }
    }
}

impl Gatherer {
    /// So many requests were written, up to this id.
    pub(crate) fn wrote(&mut self, requests: usize, id: u64) {
        self.last = Some(Last { requests, id, at: Instant::now() });
    }

    /// Waits for a moment, perhaps. `waiting` tells how many requests there are for the next group.
    pub(crate) fn gather(&mut self, settled: &Settled, waiting: &dyn Fn() -> usize) {
        let Some(last) = self.last.take() else { return };
        if last.at.elapsed() > self.reducer || !self.let_reducers_go_first(settled, last.id) {
            return;
        }
        let back = waiting();
        if back < last.requests {
            self.until(back + last.requests, waiting);
        }
    }

    /// The same where appends do not keep reducers from committing: those who come back at once wait for
    /// nobody.
    #[cfg(any(feature = "postgres", test))]
    pub(crate) fn gather_beside(&mut self, settled: &Settled, waiting: &dyn Fn() -> usize) {
        let Some(last) = self.last else { return };
        if self.until(last.requests, waiting) >= last.requests {
            self.last = None;
            return;
        }
        self.gather(settled, waiting);
    }

    /// Waits until there are so many requests, or no more of them come: how many there are.
    fn until(&self, all: usize, waiting: &dyn Fn() -> usize) -> usize {
        let begun = Instant::now();
        let (mut seen, mut quiet) = (waiting(), 0);
        while seen < all && quiet < QUIET && begun.elapsed() < self.crowd {
            thread::sleep(POLL);
            let now = waiting();
            quiet = if now > seen { 0 } else { quiet + 1 };
            seen = now;
        }
        seen
    }

    /// False when there is no reducer that keeps up.
    fn let_reducers_go_first(&mut self, settled: &Settled, id: u64) -> bool {
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        if settled.wait(id, self.reducer) {
            self.misses = 0;
            return true;
        }
        self.misses = (self.misses + 1).min(8);
        self.skip = 1 << self.misses;
        false
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, sync::Arc};

    use super::*;

    #[test]
    fn without_a_reducer_it_is_waited_ever_more_seldom() {
        let (settled, mut gatherer) = (Settled::default(), Gatherer::default());
        let mut waits = 0;
        for id in 1..200 {
            gatherer.wrote(1, id);
            let skip = gatherer.skip;
            gatherer.gather(&settled, &|| 1);
            waits += u32::from(gatherer.skip > skip);
        }
        assert!((1..=7).contains(&waits), "{waits} waits");
    }

    #[test]
    fn reducers_go_first() {
        let (settled, mut gatherer) = (Arc::new(Settled::default()), Gatherer::default());
        gatherer.wrote(1, 7);
        let reducer = Arc::clone(&settled);
        let reducer = thread::spawn(move || reducer.reach(7));
        gatherer.gather(&settled, &|| 1);
        reducer.join().expect("no panic");
        // Either it came in time, or the time was up.
        assert_eq!(gatherer.misses == 0, gatherer.skip == 0);
        settled.reach(3);
        assert!(settled.wait(7, Duration::ZERO), "it never goes back");
    }

    #[test]
    fn those_who_were_served_last_may_come_back_and_no_others_are_waited_for() {
        // However slow the machine is.
        let (reducer, crowd) = (Duration::MAX, Duration::MAX);
        let mut gatherer = Gatherer { reducer, crowd, ..Gatherer::default() };
        let settled = Settled::default();
        settled.reach(1);
        gatherer.wrote(5, 1);
        let come = Cell::new(0);
        gatherer.gather(&settled, &|| {
            come.set(come.get() + 1);
            come.get()
        });
        assert_eq!(come.get(), 6, "one was there, and five came back");
        // All are back: nobody is waited for.
        gatherer.wrote(5, 1);
        let asked = Cell::new(0);
        gatherer.gather(&settled, &|| {
            asked.set(asked.get() + 1);
            5
        });
        assert_eq!(asked.get(), 1);
    }

    #[test]
    fn those_who_come_back_at_once_do_not_wait_for_reducers() {
        let (reducer, crowd) = (Duration::MAX, Duration::MAX);
        let mut gatherer = Gatherer { reducer, crowd, ..Gatherer::default() };
        // No reducer ever comes: to wait for one would have no end.
        let settled = Settled::default();
        gatherer.wrote(1, 7);
        gatherer.gather_beside(&settled, &|| 1);
        gatherer.wrote(3, 8);
        let come = Cell::new(0);
        gatherer.gather_beside(&settled, &|| {
            come.set(come.get() + 1);
            come.get()
        });
        assert_eq!(come.get(), 3);
    }
}
