//! [`Waiters`]: who waits for which cursor.

use std::collections::BTreeMap;

use crate::Cursor;

/// Those who wait, by the cursor they wait for. What a waiter is and how it is told is up to the
/// caller.
#[derive(Debug)]
pub struct Waiters<T> {
    by_cursor: BTreeMap<Cursor, Vec<T>>,
    len: usize,
    /// Purge when so many wait: twice what was left by the last purge.
    purge_at: usize,
}

impl<T> Default for Waiters<T> {
    fn default() -> Self {
        Self { by_cursor: BTreeMap::new(), len: 0, purge_at: Self::PURGE_FROM }
    }
}

impl<T> Waiters<T> {
    const PURGE_FROM: usize = 64;

    /// How many wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds one who waits for `cursor`. Those who have gone meanwhile, as `gone` tells, are
    /// forgotten from time to time, so that waits that time out do not pile up.
    pub fn add(&mut self, cursor: Cursor, waiter: T, gone: impl Fn(&T) -> bool) {
        if self.len >= self.purge_at {
            self.by_cursor.retain(|_, waiters| {
                waiters.retain(|waiter| !gone(waiter));
                !waiters.is_empty()
            });
            self.len = self.by_cursor.values().map(Vec::len).sum();
            self.purge_at = (2 * self.len).max(Self::PURGE_FROM);
        }
        self.by_cursor.entry(cursor).or_default().push(waiter);
        self.len += 1;
    }

    /// Takes those who wait for `cursor` or an earlier one, earliest first.
    pub fn release(&mut self, cursor: &Cursor) -> Vec<(Cursor, T)> {
        let mut released = Vec::new();
        while let Some(entry) = self.by_cursor.first_entry()
            && entry.key() <= cursor
        {
            let (cursor, waiters) = entry.remove_entry();
            self.len -= waiters.len();
            released.extend(waiters.into_iter().map(|waiter| (cursor.clone(), waiter)));
        }
        released
    }

    /// Takes everybody, earliest first.
    pub fn release_all(&mut self) -> Vec<(Cursor, T)> {
        self.len = 0;
        std::mem::take(&mut self.by_cursor)
            .into_iter()
            .flat_map(|(cursor, waiters)| {
                waiters.into_iter().map(move |waiter| (cursor.clone(), waiter))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_up_to_the_cursor_are_released_in_order() {
        let mut waiters = Waiters::default();
        for (cursor, name) in [(3, "c"), (1, "a"), (2, "b"), (1, "a2")] {
            waiters.add(Cursor::from(cursor), name, |_| false);
        }
        let released: Vec<_> =
            waiters.release(&Cursor::from(2)).into_iter().map(|(_, name)| name).collect();
        assert_eq!(released, ["a", "a2", "b"]);
        assert_eq!(waiters.len(), 1);
        assert_eq!(waiters.release_all(), [(Cursor::from(3), "c")]);
        assert!(waiters.is_empty());
    }

    #[test]
    fn waits_that_were_given_up_do_not_pile_up() {
        let mut waiters = Waiters::default();
        for cursor in 0..10_000 {
            waiters.add(Cursor::from(cursor), (), |()| true);
            assert!(waiters.len() <= Waiters::<()>::PURGE_FROM);
        }
    }
}
