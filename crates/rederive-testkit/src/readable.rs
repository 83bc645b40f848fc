//! [`ReadableStore`]: a store whose derived state a test can read.

use rederive_core::{
    Cursor, MemoryStore, OpenError, Opened, Opening, Outbox, PartitionId, PartitionRecord,
    SkipRecord, StateRecord, Store, StoreError, StoreIdentity, StoredReducer, StoredRow, Table,
    Value, Writer,
};

use crate::FaultyStore;

/// A store whose derived state a test can read. [`MemoryStore`] is one; any other becomes one by
/// [`readable`].
pub trait ReadableStore: Store {
    /// All rows of the table, in any order: a value per column, of the column's kind.
    fn rows(&self, table: &'static Table) -> Vec<Vec<Value>>;

    /// Whether the store can run [`CustomOp`](rederive_core::CustomOp)s. A test of a reducer that
    /// emits such ops on a store that cannot fails and says so.
    fn runs_custom_ops(&self) -> bool {
        true
    }

    /// Tables that only custom ops change: tests see by themselves which tables other ops change.
    fn further_tables(&self) -> Vec<&'static Table> {
        Vec::new()
    }
}

impl ReadableStore for MemoryStore {
    fn rows(&self, table: &'static Table) -> Vec<Vec<Value>> {
        MemoryStore::rows(self, table)
    }

    fn runs_custom_ops(&self) -> bool {
        false
    }
}

impl<S: ReadableStore> ReadableStore for FaultyStore<S> {
    fn rows(&self, table: &'static Table) -> Vec<Vec<Value>> {
        self.inner().rows(table)
    }

    fn runs_custom_ops(&self) -> bool {
        self.inner().runs_custom_ops()
    }

    fn further_tables(&self) -> Vec<&'static Table> {
        self.inner().further_tables()
    }
}

/// The store together with how its rows are read.
///
/// ```
/// use rederive_core::MemoryStore;
/// use rederive_testkit::readable;
///
/// let store = readable(MemoryStore::new(), |store, table| store.rows(table));
/// # let _: &dyn rederive_testkit::ReadableStore = &store;
/// ```
pub fn readable<S, F>(store: S, rows: F) -> Readable<S, F>
where
    S: Store,
    F: Fn(&S, &'static Table) -> Vec<Vec<Value>> + Send + Sync + 'static,
{
    Readable { store, rows, further: Vec::new() }
}

/// A store together with how its rows are read; made by [`readable`].
pub struct Readable<S, F> {
    store: S,
    rows: F,
    further: Vec<&'static Table>,
}

impl<S, F> Readable<S, F> {
    /// Names tables that only custom ops change; see [`ReadableStore::further_tables`].
    #[must_use]
    pub fn and_tables(mut self, tables: impl IntoIterator<Item = &'static Table>) -> Self {
        self.further.extend(tables);
        self
    }
}

impl<S, F> ReadableStore for Readable<S, F>
where
    S: Store,
    F: Fn(&S, &'static Table) -> Vec<Vec<Value>> + Send + Sync + 'static,
{
    fn rows(&self, table: &'static Table) -> Vec<Vec<Value>> {
        (self.rows)(&self.store, table)
    }

    fn further_tables(&self) -> Vec<&'static Table> {
        self.further.clone()
    }
}

impl<S, F> Store for Readable<S, F>
where
    S: Store,
    F: Send + Sync + 'static,
{
    fn identity(&self) -> StoreIdentity {
        self.store.identity()
    }

    fn open(&self, opening: &Opening<'_>) -> Result<Opened, OpenError> {
        self.store.open(opening)
    }

    fn reset(&self, opening: &Opening<'_>, target: &Cursor) -> Result<Opened, OpenError> {
        self.store.reset(opening, target)
    }

    fn renew(&self, owned: &[(&str, u64)]) -> Result<Vec<bool>, StoreError> {
        self.store.renew(owned)
    }

    fn release(&self, reducer: &str, epoch: u64) -> Result<bool, StoreError> {
        self.store.release(reducer, epoch)
    }

    fn stored(&self, reducer: &str) -> Result<Option<StoredReducer>, StoreError> {
        self.store.stored(reducer)
    }

    fn forget(&self, reducer: &str) -> Result<bool, StoreError> {
        self.store.forget(reducer)
    }

    fn writer(&self) -> Result<Box<dyn Writer>, StoreError> {
        self.store.writer()
    }

    fn halted(
        &self,
        reducer: &str,
        after: Option<&PartitionId>,
        limit: usize,
    ) -> Result<Vec<PartitionRecord>, StoreError> {
        self.store.halted(reducer, after, limit)
    }

    fn records(
        &self,
        reducer: &str,
        partitions: &[PartitionId],
    ) -> Result<Vec<PartitionRecord>, StoreError> {
        self.store.records(reducer, partitions)
    }

    fn load(&self, rows: &[StoredRow]) -> Result<Vec<Option<Vec<Value>>>, StoreError> {
        self.store.load(rows)
    }

    fn states(
        &self,
        reducer: &str,
        after: Option<&PartitionId>,
        limit: usize,
    ) -> Result<Vec<StateRecord>, StoreError> {
        self.store.states(reducer, after, limit)
    }

    fn skips(
        &self,
        reducer: &str,
        after: Option<(&Cursor, Option<&PartitionId>)>,
        limit: usize,
    ) -> Result<Vec<SkipRecord>, StoreError> {
        self.store.skips(reducer, after, limit)
    }

    fn skips_of(&self, reducer: &str, cursor: &Cursor) -> Result<Vec<SkipRecord>, StoreError> {
        self.store.skips_of(reducer, cursor)
    }

    fn pause(&self, reducer: &str, paused: bool) -> Result<(), StoreError> {
        self.store.pause(reducer, paused)
    }

    fn outbox(&self) -> &dyn Outbox {
        self.store.outbox()
    }
}
