//! [`States`]: what a view holds.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound,
    sync::{Arc, Weak},
};

use rederive_core::PartitionId;
use tokio::sync::watch;

use super::ViewChange;

/// The states by partition, and the order of their last changes.
///
/// What somebody who follows has not seen is found by that order. It holds each partition once, so
/// it costs nothing to follow slowly.
pub(super) struct States<S> {
    /// The fold that keeps them.
    pub(super) owner: Option<String>,
    entries: BTreeMap<PartitionId, Entry<S>>,
    /// The partitions by the number of their last change.
    changed: BTreeMap<u64, PartitionId>,
    /// Those of the last changes that are removals: remembered while somebody follows.
    removed: BTreeSet<u64>,
    /// The number of the last change.
    last: u64,
    /// Removals up to this change were forgotten.
    forgotten: u64,
    /// Alive while somebody follows.
    followed: Weak<()>,
    watched: HashMap<PartitionId, watch::Sender<Option<Arc<S>>>>,
    purge_at: usize,
}

/// What somebody who follows has seen.
pub(super) struct Seen {
    upto: u64,
    _follows: Arc<()>,
}

struct Entry<S> {
    /// `None` when it was removed.
    state: Option<Arc<S>>,
    change: u64,
}

impl<S> Default for States<S> {
    fn default() -> Self {
        Self {
            owner: None,
            entries: BTreeMap::new(),
            changed: BTreeMap::new(),
            removed: BTreeSet::new(),
            last: 0,
            forgotten: 0,
            followed: Weak::new(),
            watched: HashMap::new(),
            purge_at: 64,
        }
    }
}

impl<S> States<S> {
    /// How many removals are remembered for those who have not seen them.
    const MOST_REMOVED: usize = 65_536;

    pub(super) fn get(&self, partition: &str) -> Option<Arc<S>> {
        self.entries.get(partition)?.state.clone()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len() - self.removed.len()
    }

    pub(super) fn page(
        &self,
        after: Option<&PartitionId>,
        limit: usize,
    ) -> Vec<(PartitionId, Arc<S>)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let later = self.entries.range::<PartitionId, _>((from, Bound::Unbounded));
        let states = later.filter_map(|(id, entry)| Some((id.clone(), entry.state.clone()?)));
        states.take(limit).collect()
    }

    pub(super) fn watch(&mut self, partition: PartitionId) -> watch::Receiver<Option<Arc<S>>> {
        if self.watched.len() >= self.purge_at {
            self.watched.retain(|_, sender| sender.receiver_count() > 0);
            self.purge_at = 2 * self.watched.len() + 64;
        }
        let now = self.get(partition.as_str());
        self.watched.entry(partition).or_insert_with(|| watch::Sender::new(now)).subscribe()
    }

    /// Sets or removes a state. Returns what is there no more, to be dropped without the lock.
    pub(super) fn set(
        &mut self,
        partition: &PartitionId,
        state: Option<Arc<S>>,
    ) -> [Option<Arc<S>>; 2] {
        self.last += 1;
        let mut unwatched = None;
        if let Some(sender) = self.watched.get(partition) {
            unwatched = sender.send_replace(state.clone());
        }
        if state.is_none() {
            self.removed.insert(self.last);
        }
        self.changed.insert(self.last, partition.clone());
        let entry = Entry { state, change: self.last };
        let old = self.entries.insert(partition.clone(), entry);
        if let Some(old) = &old {
            self.changed.remove(&old.change);
            self.removed.remove(&old.change);
        }
        self.forget();
        [old.and_then(|old| old.state), unwatched]
    }

    /// Removes every state. Returns them, to be dropped without the lock.
    pub(super) fn clear(&mut self) -> Vec<Option<Arc<S>>> {
        let all = self.page(None, usize::MAX);
        all.iter().flat_map(|(partition, _)| self.set(partition, None)).collect()
    }

    /// Forgets the removals that nobody wants to know, and those that are too many.
    fn forget(&mut self) {
        let most = if self.followed.strong_count() == 0 { 0 } else { Self::MOST_REMOVED };
        while self.removed.len() > most
            && let Some(change) = self.removed.pop_first()
        {
            self.forgotten = change;
            if let Some(partition) = self.changed.remove(&change) {
                self.entries.remove(&partition);
            }
        }
    }

    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Somebody follows from now on.
    pub(super) fn follow(&mut self) -> Seen {
        let follows = self.followed.upgrade().unwrap_or_default();
        self.followed = Arc::downgrade(&follows);
        Seen { upto: self.last, _follows: follows }
    }

    /// The oldest change that has not been seen: of each partition only the last one counts.
    pub(super) fn next(&self, seen: &mut Seen) -> Option<ViewChange<S>> {
        if seen.upto < self.forgotten {
            seen.upto = self.last;
            return Some(ViewChange::Missed);
        }
        let (change, partition) =
            self.changed.range((Bound::Excluded(seen.upto), Bound::Unbounded)).next()?;
        seen.upto = *change;
        Some(match self.get(partition.as_str()) {
            Some(state) => ViewChange::State(partition.clone(), state),
            None => ViewChange::Removed(partition.clone()),
        })
    }
}

#[cfg(test)]
mod tests;
