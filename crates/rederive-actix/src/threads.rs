//! [`Threads`]: where the dispatchers run.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use actix::{Arbiter, ArbiterHandle};

/// The supervisor's own thread, and as many others as there are reducers for, up to a limit.
///
/// A dispatcher and its partition dispatchers share a thread: between them go most of the messages,
/// and none of those has to wake another thread.
pub(crate) struct Threads {
    limit: usize,
    others: Vec<Arbiter>,
    /// The thread of each reducer: 0 is our own, those that follow are `others`.
    reducers: HashMap<Arc<str>, usize>,
}

impl Threads {
    /// At most so many, of which our own is one.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, others: Vec::new(), reducers: HashMap::new() }
    }

    /// The thread of a reducer, the same one each time: at first one with the fewest reducers.
    pub(crate) fn of(&mut self, reducer: &Arc<str>) -> ArbiterHandle {
        let number = match self.reducers.get(reducer) {
            Some(number) => *number,
            None => {
                let number = self.emptiest();
                self.reducers.insert(Arc::clone(reducer), number);
                number
            }
        };
        let other = number.checked_sub(1).and_then(|number| self.others.get(number));
        other.map_or_else(Arbiter::current, Arbiter::handle)
    }

    pub(crate) fn forget(&mut self, reducer: &str) {
        self.reducers.remove(reducer);
    }

    /// Ends the other threads, once nothing runs there that is needed.
    pub(crate) fn join(&mut self) {
        self.stop();
        for thread in self.others.drain(..) {
            if thread.join().is_err() {
                log::error!(target: "rederive", "a thread for reducers panicked");
            }
        }
    }

    fn emptiest(&mut self) -> usize {
        let mut reducers = vec![0_usize; 1 + self.others.len()];
        for number in self.reducers.values() {
            if let Some(count) = reducers.get_mut(*number) {
                *count += 1;
            }
        }
        let emptiest = reducers.iter().enumerate().min_by_key(|(_, count)| **count);
        match emptiest {
            Some((_, count)) if *count > 0 && reducers.len() < self.limit && self.add() => {
                self.others.len()
            }
            Some((number, _)) => number,
            None => 0,
        }
    }

    /// Another thread; false if there is none to be had, which actix says by a panic.
    fn add(&mut self) -> bool {
        let thread = catch_unwind(AssertUnwindSafe(Arbiter::new));
        let is_there = thread.is_ok();
        self.others.extend(thread);
        is_there
    }

    fn stop(&self) {
        for thread in &self.others {
            thread.stop();
        }
    }
}

impl Drop for Threads {
    /// The supervisor has died: its dispatchers must not outlive it.
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use actix::System;

    use super::*;

    fn places(limit: usize, reducers: usize) -> Vec<usize> {
        let mut threads = Threads::new(limit);
        (0..reducers)
            .map(|number| {
                let name: Arc<str> = number.to_string().into();
                threads.of(&name);
                threads.of(&name);
                threads.reducers[&name]
            })
            .collect()
    }

    #[test]
    fn reducers_are_spread_over_the_threads_there_may_be() {
        System::new().block_on(async {
            assert_eq!(places(1, 3), [0, 0, 0]);
            assert_eq!(places(2, 4), [0, 1, 0, 1]);
            assert_eq!(places(8, 3), [0, 1, 2]);
        });
    }

    #[test]
    fn the_place_of_a_reducer_that_was_refused_is_given_to_the_next() {
        System::new().block_on(async {
            let mut threads = Threads::new(2);
            for name in ["a", "b"] {
                threads.of(&name.into());
            }
            threads.forget("a");
            threads.of(&"c".into());
            assert_eq!(threads.reducers["c"], 0);
            assert_eq!(threads.others.len(), 1);
            threads.join();
        });
    }
}
