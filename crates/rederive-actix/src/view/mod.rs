//! [`View`]: states that live in the process only.

mod changes;
mod states;
mod store;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rederive_core::{Fold, Folded, MemoryStore, PartitionId};
use tokio::sync::watch;

pub use changes::{Changes, ViewChange};
use states::States;
use store::InView;

/// The states of a fold in memory: rebuilt from the beginning of the log at each start of the
/// process, read without a query, watched without polling.
///
/// Clones are handles of the same view. A view belongs to one fold, which is registered with it and
/// may follow the same log as reducers that write to a database. When an awaited event is done, the
/// view shows it.
///
/// Reading never waits for the user's code, and readers share what is there: a state is handed out
/// as an [`Arc`], and changed as a copy.
pub struct View<S>(Arc<Shared<S>>);

struct Shared<S> {
    /// The progress of the fold; the states are kept beside it.
    progress: MemoryStore,
    states: RwLock<States<S>>,
    /// The number of the last change.
    news: watch::Sender<u64>,
}

impl<S: Send + Sync + 'static> View<S> {
    /// An empty view.
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            progress: MemoryStore::new(),
            states: RwLock::default(),
            news: watch::Sender::new(0),
        }))
    }

    /// The state of a partition as it is now; `None` when it has none.
    pub fn get(&self, partition: impl AsRef<str>) -> Option<Arc<S>> {
        self.0.read().get(partition.as_ref())
    }

    /// How many partitions have a state.
    pub fn len(&self) -> usize {
        self.0.read().len()
    }

    /// True when no partition has a state.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All states at one moment, in the order of the partitions' ids. Commits wait meanwhile: for
    /// large views, [`page`](Self::page) is kinder.
    pub fn all(&self) -> Vec<(PartitionId, Arc<S>)> {
        self.page(None, usize::MAX)
    }

    /// Up to `limit` states in the order of the partitions' ids: of those after `after`.
    pub fn page(&self, after: Option<&PartitionId>, limit: usize) -> Vec<(PartitionId, Arc<S>)> {
        self.0.read().page(after, limit)
    }

    /// Follows the state of one partition, which may have none so far. The receiver holds the newest
    /// state; those between two looks are skipped, so a slow receiver costs nothing.
    pub fn watch(&self, partition: impl Into<PartitionId>) -> watch::Receiver<Option<Arc<S>>> {
        self.0.write().watch(partition.into())
    }

    /// Follows the states of all partitions, from now on. See [`Changes`].
    pub fn changes(&self) -> Changes<S> {
        Changes::new(Arc::clone(&self.0))
    }

    /// The fold with its states in this view; to be registered with this view as its store.
    pub fn keep<F: Fold<State = S>>(&self, fold: F) -> Folded<F> {
        Folded::with(fold, InView(self.clone()))
    }
}

impl<S> Shared<S> {
    fn read(&self) -> RwLockReadGuard<'_, States<S>> {
        // Nothing of the user's runs under the lock.
        self.states.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, States<S>> {
        self.states.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Clone for View<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: Send + Sync + 'static> Default for View<S> {
    fn default() -> Self {
        Self::new()
    }
}
