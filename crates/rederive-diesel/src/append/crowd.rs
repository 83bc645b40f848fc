//! [`Crowd`]: when the next group of appends begins.
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

use super::Seldom;

/// How far the reducer that is furthest has come, of all that commit to a database.
///
/// A store does not know which log its reducers follow. One that follows another log and is at higher
/// numbers there passes for having come to the end of this one: appends then wait for no reducer. That
/// costs flushes, and nothing else.
#[derive(Debug, Default)]
pub(crate) struct Furthest {
    reached: Mutex<u64>,
    changed: Condvar,
}

impl Furthest {
    /// A reducer has come so far.
    pub(crate) fn reach(&self, id: u64) {
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        if id > *reached {
            *reached = id;
            self.changed.notify_all();
        }
    }

    /// Whether a reducer has come so far.
    #[cfg(feature = "sqlite")]
    pub(crate) fn has_reached(&self, id: u64) -> bool {
        *self.reached.lock().unwrap_or_else(PoisonError::into_inner) >= id
    }

    /// Waits until a reducer has come so far; false when the time is up.
    fn wait(&self, id: u64, time: Duration) -> bool {
        let reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(reached, time, |reached| *reached < id);
        let (reached, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *reached >= id
    }
}

/// Those who append together and come back: knows who the last group was.
#[derive(Debug)]
pub(crate) struct Crowd {
    /// How long appends are held back for a reducer. Beyond that it does more than to keep up.
    for_reducers: Duration,
    /// How long for those who were served last, at most, and until no more of them come.
    for_crowd: Duration,
    last: Option<Last>,
    /// Whether a group waits for reducers.
    waits: Seldom,
    /// Whether all came back, the last time that they were waited for.
    all_back: bool,
}

/// A group that was written, in which something was appended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    /// How many requests it held.
    pub(crate) requests: usize,
    /// How many others waited already when it was written.
    pub(crate) others: usize,
    /// Its last event.
    pub(crate) id: u64,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    /// How many requests there are once all have come back.
    back: usize,
    id: u64,
    at: Instant,
}

/// How often those who were served last are looked for, and how often in vain: in general, and if all
/// of them came back the last time.
const POLL: Duration = Duration::from_micros(40);
const QUIET: u32 = 3;
const LONGER: u32 = 8;

impl Default for Crowd {
    fn default() -> Self {
        let longest = Duration::from_millis(10);
        Self {
            for_reducers: longest,
            for_crowd: longest,
            last: None,
            waits: Seldom::default(),
            all_back: false,
        }
    }
}

impl Crowd {
    /// A group was written.
    pub(crate) fn wrote(&mut self, Written { requests, others, id }: Written) {
        self.last = Some(Last { back: requests + others, id, at: Instant::now() });
    }

    /// Waits for a moment, perhaps. `waiting` tells how many requests there are for the next group.
    pub(crate) fn wait(&mut self, furthest: &Furthest, waiting: &dyn Fn() -> usize) {
        let Some(last) = self.last.take() else { return };
        if last.at.elapsed() > self.for_reducers || !self.let_reducers_go_first(furthest, last.id) {
            return;
        }
        let quiet = if self.all_back { LONGER } else { QUIET };
        self.all_back = self.until(last.back, quiet, waiting) >= last.back;
    }

    /// The same where appends do not keep reducers from committing: those who come back at once wait for
    /// nobody.
    #[cfg(any(feature = "postgres", test))]
    pub(crate) fn wait_beside(&mut self, furthest: &Furthest, waiting: &dyn Fn() -> usize) {
        let Some(last) = self.last else { return };
        if self.until(last.back, QUIET, waiting) >= last.back {
            self.last = None;
            return;
        }
        self.wait(furthest, waiting);
    }

    /// Waits until there are so many requests, or no more of them come when they are looked for so often:
    /// how many there are.
    fn until(&self, all: usize, longest: u32, waiting: &dyn Fn() -> usize) -> usize {
        let begun = Instant::now();
        let (mut seen, mut quiet) = (waiting(), 0);
        while seen < all && quiet < longest && begun.elapsed() < self.for_crowd {
            thread::sleep(POLL);
            let now = waiting();
            quiet = if now > seen { 0 } else { quiet + 1 };
            seen = now;
        }
        seen
    }

    /// False when there is no reducer that keeps up.
    fn let_reducers_go_first(&mut self, furthest: &Furthest, id: u64) -> bool {
        if !self.waits.is_due() {
            return false;
        }
        let come = furthest.wait(id, self.for_reducers);
        self.waits.tried(come);
        come
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, sync::Arc};

    use super::*;

    fn written(requests: usize, id: u64) -> Written {
        Written { requests, others: 0, id }
    }

    #[test]
    fn without_a_reducer_it_is_waited_ever_more_seldom() {
        let (furthest, mut crowd) = (Furthest::default(), Crowd::default());
        let mut waits = 0;
        for id in 1..200 {
            crowd.wrote(written(1, id));
            let skip = crowd.waits.skip;
            crowd.wait(&furthest, &|| 1);
            waits += u32::from(crowd.waits.skip > skip);
        }
        assert!((1..=7).contains(&waits), "{waits} waits");
    }

    #[test]
    fn reducers_go_first() {
        let (furthest, mut crowd) = (Arc::new(Furthest::default()), Crowd::default());
        crowd.wrote(written(1, 7));
        let reducer = Arc::clone(&furthest);
        let reducer = thread::spawn(move || reducer.reach(7));
        crowd.wait(&furthest, &|| 1);
        reducer.join().expect("no panic");
        // Either it came in time, or the time was up.
        assert_eq!(crowd.waits.misses == 0, crowd.waits.skip == 0);
        furthest.reach(3);
        assert!(furthest.wait(7, Duration::ZERO), "it never goes back");
    }

    #[test]
    fn those_who_were_served_last_may_come_back_and_no_others_are_waited_for() {
        // However slow the machine is.
        let (for_reducers, for_crowd) = (Duration::MAX, Duration::MAX);
        let mut crowd = Crowd { for_reducers, for_crowd, ..Crowd::default() };
        let furthest = Furthest::default();
        furthest.reach(1);
        crowd.wrote(Written { requests: 5, others: 1, id: 1 });
        let come = Cell::new(0);
        crowd.wait(&furthest, &|| {
            come.set(come.get() + 1);
            come.get()
        });
        assert_eq!(come.get(), 6, "one had come meanwhile, and five came back");
        // All are back: nobody is waited for.
        crowd.wrote(written(5, 1));
        let asked = Cell::new(0);
        crowd.wait(&furthest, &|| {
            asked.set(asked.get() + 1);
            5
        });
        assert_eq!(asked.get(), 1);
    }

    #[test]
    fn those_who_come_back_at_once_do_not_wait_for_reducers() {
        let (for_reducers, for_crowd) = (Duration::MAX, Duration::MAX);
        let mut crowd = Crowd { for_reducers, for_crowd, ..Crowd::default() };
        // No reducer ever comes: to wait for one would have no end.
        let furthest = Furthest::default();
        crowd.wrote(written(1, 7));
        crowd.wait_beside(&furthest, &|| 1);
        crowd.wrote(written(3, 8));
        let come = Cell::new(0);
        crowd.wait_beside(&furthest, &|| {
            come.set(come.get() + 1);
            come.get()
        });
        assert_eq!(come.get(), 3);
    }

    #[test]
    fn where_they_do_not_come_back_at_once_reducers_go_first_beside_them_too() {
        let (for_reducers, for_crowd) = (Duration::MAX, Duration::MAX);
        let mut crowd = Crowd { for_reducers, for_crowd, ..Crowd::default() };
        let furthest = Arc::new(Furthest::default());
        crowd.wrote(written(2, 7));
        let asked = Cell::new(0);
        let reducer = Arc::clone(&furthest);
        thread::scope(|scope| {
            crowd.wait_beside(&furthest, &|| {
                asked.set(asked.get() + 1);
                // One has come back, and the other does so once the reducer has come.
                if asked.get() == 1 + QUIET {
                    scope.spawn(|| reducer.reach(7));
                }
                if asked.get() > 1 + QUIET { 3 } else { 1 }
            });
        });
        assert_eq!(asked.get(), 2 + QUIET, "it was looked again once the reducer had come");
    }
}
