//! [`PostgresStore`]: derived state in the user's tables, and the progress of reducers beside it.

use diesel::{QueryResult, connection::SimpleConnection, pg::PgConnection, result::Error};
use rederive_core::{
    Cursor, Lease, OpenError, Opened, Opening, Outbox, PartitionId, PartitionRecord, SkipRecord,
    StateRecord, Store, StoreError, StoreIdentity, StoredReducer, StoredRow, TakeFrom, Value,
    Writer, error::panic_message,
};

use super::{
    PostgresDatabase,
    connections::Failed,
    ddl,
    fault::Fault,
    lease,
    opening::{self, Refused},
    owned,
    progress::{self, Which},
    skips,
    sql::Session,
    states,
    writer::PostgresWriter,
};

/// Keeps derived state in your tables of a [`PostgresDatabase`], and the progress of reducers beside
/// it.
///
/// Everything a reducer emits for some events and the note that these events are done are committed
/// in one transaction. Each writer has a connection of its own: reducers commit side by side.
///
/// Tables are found as the server finds them for this user, by its `search_path`, unless `table!`
/// names their schema. The names of tables and columns are told apart by every letter. The primary key
/// of a table must be the one that the program declares, and the types of its columns too. A table is
/// read about when ops first touch it, and again after it was changed: ops on tables with triggers,
/// with unique columns beside the key, with foreign keys that have actions, or with keys that compare
/// unlike their bytes, run in the order given and are slower for it; `CHECK` constraints see each
/// state of a row. Foreign keys that are `DEFERRABLE` are checked at the end of the transaction; of the
/// others, the rows of parents are written first and deleted last, and if that is not enough, the ops
/// run in the order given.
///
/// Floats are stored as they are, except `NaN`, which is refused. So is text with NUL in it.
///
/// ```no_run
/// use rederive_core::{Cursor, CursorKind, Opening, Store};
/// use rederive_diesel::PostgresDatabase;
///
/// let store = PostgresDatabase::connect("postgres://bank:secret@localhost/bank")?.store();
/// let opened = store.open(&Opening::new("accounts", 1, CursorKind::Integer))?;
/// assert_eq!(opened.watermark, Cursor::Start);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct PostgresStore(PostgresDatabase);

impl PostgresStore {
    pub(crate) fn new(database: PostgresDatabase) -> Self {
        Self(database)
    }

    /// The database.
    pub fn database(&self) -> &PostgresDatabase {
        &self.0
    }

    /// Reads in one snapshot.
    pub(super) fn reading<T>(
        &self,
        read: impl FnOnce(&mut Session<'_>) -> QueryResult<T>,
    ) -> Result<T, StoreError> {
        let connections = &self.0.0.connections;
        let schema = &connections.schema;
        let read = |conn: &mut PgConnection| read(&mut Session { conn, schema });
        connections.read(read).map_err(StoreError::new)
    }

    /// Writes in a transaction of its own.
    pub(super) fn writing<T>(
        &self,
        write: impl FnOnce(&mut Session<'_>) -> QueryResult<T>,
    ) -> Result<T, StoreError> {
        let connections = &self.0.0.connections;
        let schema = &connections.schema;
        let done: Result<T, Failed<Error>> =
            connections.transaction(|conn| write(&mut Session { conn, schema }));
        done.map_err(|failed| match failed {
            Failed::Panic(payload) => StoreError::new(panic_message(&*payload)),
            other => StoreError::new(connections.failed(other)),
        })
    }

    fn take_over(
        &self,
        opening: &Opening<'_>,
        body: impl FnOnce(&mut Session<'_>) -> Result<Opened, Refused>,
    ) -> Result<Opened, OpenError> {
        let connections = &self.0.0.connections;
        let schema = &connections.schema;
        let done = connections.transaction(|conn| body(&mut Session { conn, schema }));
        done.map_err(|failed| match failed {
            Failed::Body(Refused::Open(error)) => error,
            Failed::Body(Refused::Database(error)) if Fault::of(&error) == Fault::Busy => {
                let owned = self.at_work(opening);
                owned.unwrap_or_else(|| StoreError::new(connections.named(error)).into())
            }
            Failed::Body(Refused::Database(error)) | Failed::Begin(error) => {
                StoreError::new(connections.named(error)).into()
            }
            Failed::Commit(error) => {
                StoreError::new(connections.failed(Failed::Commit(error))).into()
            }
            Failed::Panic(payload) => StoreError::new(panic_message(&*payload)).into(),
        })
    }

    /// Whoever has the reducer's row locked for so long is in the midst of a transaction, and perhaps
    /// frozen there: it still owns the reducer, whatever its lease says.
    fn at_work(&self, opening: &Opening<'_>) -> Option<OpenError> {
        let row = self.reading(|session| progress::reducer(session, opening.reducer));
        let Lease { owner, remaining } = row.ok()??.lease?;
        let may_wait = opening.claim.from != TakeFrom::Anybody && owner != opening.claim.owner;
        let reducer = opening.reducer.to_owned();
        may_wait.then_some(OpenError::Owned { reducer, by: owner, remaining })
    }
}

impl Store for PostgresStore {
    fn identity(&self) -> StoreIdentity {
        StoreIdentity::of(&self.0.0)
    }

    fn open(&self, opening: &Opening<'_>) -> Result<Opened, OpenError> {
        self.take_over(opening, |session| opening::open(session, opening))
    }

    fn reset(&self, opening: &Opening<'_>, target: &Cursor) -> Result<Opened, OpenError> {
        self.take_over(opening, |session| opening::reset(session, opening, target))
    }

    fn stored(&self, reducer: &str) -> Result<Option<StoredReducer>, StoreError> {
        self.reading(|session| opening::stored(session, reducer))
    }

    fn renew(&self, owned: &[(&str, u64)]) -> Result<Vec<bool>, StoreError> {
        // Whoever locks several reducers does so in the order of their names.
        let mut order: Vec<usize> = (0..owned.len()).collect();
        order.sort_by_key(|index| owned[*index].0);
        self.writing(|session| {
            let mut renewed = vec![false; owned.len()];
            for index in order {
                let (reducer, epoch) = owned[index];
                renewed[index] = lease::renew(session, reducer, epoch)?;
            }
            Ok(renewed)
        })
    }

    fn release(&self, reducer: &str, epoch: u64) -> Result<bool, StoreError> {
        self.writing(|session| lease::release(session, reducer, epoch))
    }

    fn forget(&self, reducer: &str) -> Result<bool, StoreError> {
        self.writing(|session| {
            ddl::lock(session.conn)?;
            session.conn.batch_execute("SET LOCAL statement_timeout = 0")?;
            // Its owner is not to commit in the meantime.
            progress::locked(session, reducer)?;
            owned::drop_created(session, reducer)?;
            progress::forget(session, reducer)
        })
    }

    fn writer(&self) -> Result<Box<dyn Writer>, StoreError> {
        Ok(Box::new(PostgresWriter::new(self.0.clone())))
    }

    fn halted(
        &self,
        reducer: &str,
        after: Option<&PartitionId>,
        limit: usize,
    ) -> Result<Vec<PartitionRecord>, StoreError> {
        let page = Which::Halted(after, limit);
        self.reading(|session| progress::records(session, reducer, page))
    }

    fn records(
        &self,
        reducer: &str,
        partitions: &[PartitionId],
    ) -> Result<Vec<PartitionRecord>, StoreError> {
        self.reading(|session| progress::records(session, reducer, Which::Of(partitions)))
    }

    fn load(&self, rows: &[StoredRow]) -> Result<Vec<Option<Vec<Value>>>, StoreError> {
        self.reading(|session| states::load(session, rows))
    }

    fn states(
        &self,
        reducer: &str,
        after: Option<&PartitionId>,
        limit: usize,
    ) -> Result<Vec<StateRecord>, StoreError> {
        self.reading(|session| states::page(session, reducer, after, limit))
    }

    fn skips(
        &self,
        reducer: &str,
        after: Option<(&Cursor, Option<&PartitionId>)>,
        limit: usize,
    ) -> Result<Vec<SkipRecord>, StoreError> {
        let page = skips::Which::Page { after, limit };
        self.reading(|session| skips::read(session, reducer, &page))
    }

    fn skips_of(&self, reducer: &str, cursor: &Cursor) -> Result<Vec<SkipRecord>, StoreError> {
        self.reading(|session| skips::read(session, reducer, &skips::Which::Of(cursor)))
    }

    fn pause(&self, reducer: &str, paused: bool) -> Result<(), StoreError> {
        self.writing(|session| progress::pause(session, reducer, paused))
    }

    fn outbox(&self) -> &dyn Outbox {
        self
    }
}
