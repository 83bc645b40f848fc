//! [`FaultyStore`]: a store that fails where a test says, or at random.

mod chaos;
mod faults;
mod outbox;
mod writer;

use std::sync::Arc;

use rederive_core::{
    Cursor, OpenError, Opened, Opening, Outbox, PartitionId, PartitionRecord, SkipRecord,
    StateRecord, Store, StoreError, StoreIdentity, StoredReducer, StoredRow, Value, Writer,
};

pub use chaos::StoreChaos;
pub use faults::{CommitFault, StoreCounts, StoreFaults};
use writer::FaultyWriter;

/// A store with faults. Clones are the same store with the same faults.
///
/// ```
/// use rederive_core::{CursorKind, MemoryStore, Opening, Store};
/// use rederive_testkit::{CommitFault, FaultyStore};
///
/// let store = FaultyStore::new(MemoryStore::new());
/// let faults = store.faults();
/// faults.on_commit(CommitFault::InDoubtDone);
/// store.open(&Opening::new("accounts", 1, CursorKind::Integer))?;
/// assert_eq!(faults.counts().opens, 1);
/// # Ok::<(), rederive_core::OpenError>(())
/// ```
pub struct FaultyStore<S> {
    inner: Arc<S>,
    faults: StoreFaults,
}

impl<S: Store> FaultyStore<S> {
    /// The store, without faults so far.
    pub fn new(inner: S) -> Self {
        Self { inner: Arc::new(inner), faults: StoreFaults::default() }
    }

    /// The store within, which has no faults.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// Where a test scripts the faults and reads the counts; it keeps it when the store is handed on.
    pub fn faults(&self) -> StoreFaults {
        self.faults.clone()
    }
}

impl<S: Store> Store for FaultyStore<S> {
    fn identity(&self) -> StoreIdentity {
        self.inner.identity()
    }

    fn open(&self, opening: &Opening<'_>) -> Result<Opened, OpenError> {
        self.faults.at_open(|| self.inner.open(opening))
    }

    fn reset(&self, opening: &Opening<'_>, target: &Cursor) -> Result<Opened, OpenError> {
        self.faults.at_reset(|| self.inner.reset(opening, target))
    }

    fn renew(&self, owned: &[(&str, u64)]) -> Result<Vec<bool>, StoreError> {
        self.faults.at_renew()?;
        self.inner.renew(owned)
    }

    fn release(&self, reducer: &str, epoch: u64) -> Result<bool, StoreError> {
        self.faults.at_other()?;
        self.inner.release(reducer, epoch)
    }

    fn stored(&self, reducer: &str) -> Result<Option<StoredReducer>, StoreError> {
        self.inner.stored(reducer)
    }

    fn forget(&self, reducer: &str) -> Result<bool, StoreError> {
        self.inner.forget(reducer)
    }

    fn writer(&self) -> Result<Box<dyn Writer>, StoreError> {
        self.faults.at_writer()?;
        let inner = self.inner.writer()?;
        Ok(Box::new(FaultyWriter { inner, faults: self.faults.clone() }))
    }

    fn halted(
        &self,
        reducer: &str,
        after: Option<&PartitionId>,
        limit: usize,
    ) -> Result<Vec<PartitionRecord>, StoreError> {
        self.inner.halted(reducer, after, limit)
    }

    fn records(
        &self,
        reducer: &str,
        partitions: &[PartitionId],
    ) -> Result<Vec<PartitionRecord>, StoreError> {
        self.faults.at_other()?;
        self.inner.records(reducer, partitions)
    }

    fn load(&self, rows: &[StoredRow]) -> Result<Vec<Option<Vec<Value>>>, StoreError> {
        self.faults.at_load()?;
        self.inner.load(rows)
    }

    fn states(
        &self,
        reducer: &str,
        after: Option<&PartitionId>,
        limit: usize,
    ) -> Result<Vec<StateRecord>, StoreError> {
        self.inner.states(reducer, after, limit)
    }

    fn skips(
        &self,
        reducer: &str,
        after: Option<(&Cursor, Option<&PartitionId>)>,
        limit: usize,
    ) -> Result<Vec<SkipRecord>, StoreError> {
        self.faults.at_other()?;
        self.inner.skips(reducer, after, limit)
    }

    fn skips_of(&self, reducer: &str, cursor: &Cursor) -> Result<Vec<SkipRecord>, StoreError> {
        self.faults.at_other()?;
        self.inner.skips_of(reducer, cursor)
    }

    fn pause(&self, reducer: &str, paused: bool) -> Result<(), StoreError> {
        self.faults.at_other()?;
        self.inner.pause(reducer, paused)
    }

    fn outbox(&self) -> &dyn Outbox {
        self
    }
}

impl<S> Clone for FaultyStore<S> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), faults: self.faults.clone() }
    }
}

#[cfg(test)]
mod tests;
