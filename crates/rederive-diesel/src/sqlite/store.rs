//! [`SqliteStore`]: derived state in the user's tables, and the progress of reducers beside it.

use std::{sync::PoisonError, time::Duration};

use diesel::{
    QueryResult,
    connection::SimpleConnection,
    result::{DatabaseErrorKind as Kind, Error},
    sqlite::SqliteConnection,
};
use rederive_core::{
    ChangeError, CommitError, Cursor, FailureKind, Op, OpenError, Opened, Opening, Outbox,
    PartitionId, PartitionRecord, PartitionWrite, ReducerWrite, Revision, SkipRecord, StateRecord,
    Store, StoreError, StoreIdentity, StoredReducer, StoredRow, Tentative, Value, Writer,
    effect::has_effects, error::panic_message,
};

use super::{
    SqliteDatabase,
    connections::{Failed, in_doubt},
    execute::{self, StepError},
    fault::Fault,
    foreign_keys,
    introspect::{Catalog, Introspect},
    lease, owned,
    progress::{self, Which},
    silence, skips, states,
};
use crate::plan::{Plan, PlanError, Planner};

/// Keeps derived state in your tables of a [`SqliteDatabase`], and the progress of reducers beside it.
///
/// Everything a reducer emits for some events and the note that these events are done are committed
/// in one transaction. Foreign keys are checked at its end, as if they were all declared
/// `DEFERRABLE INITIALLY DEFERRED`.
///
/// The primary key of a table must be the one that the program declares, and no value of it may be
/// `NULL`. A table is read about when ops first touch it, and again after the schema has changed:
/// ops on tables with triggers, with unique columns beside the key or with foreign keys that have
/// actions run in the order given and are slower for it; `CHECK` constraints see each state of a row.
/// Floats are stored as they are, except `NaN`, which is refused, and `-0.0`, which SQLite stores as
/// `0.0`.
///
/// ```
/// use rederive_core::{Cursor, CursorKind, Opening, Store};
/// use rederive_diesel::SqliteDatabase;
///
/// # let directory = tempfile::tempdir()?;
/// # let file = directory.path().join("bank.db");
/// let store = SqliteDatabase::open(file)?.store();
/// let opened = store.open(&Opening::new("accounts", 1, CursorKind::Integer))?;
/// assert_eq!(opened.watermark, Cursor::Start);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SqliteStore(SqliteDatabase);

impl SqliteStore {
    pub(crate) fn new(database: SqliteDatabase) -> Self {
        Self(database)
    }

    /// The database.
    pub fn database(&self) -> &SqliteDatabase {
        &self.0
    }

    fn take_over(
        &self,
        body: impl FnOnce(&mut SqliteConnection) -> Result<Opened, Refused>,
    ) -> Result<Opened, OpenError> {
        let connections = &self.0.0.connections;
        connections.transaction(body).map_err(|failed| match failed {
            Failed::Body(Refused::Open(error)) => error,
            Failed::Body(Refused::Database(error)) | Failed::Begin(error) => {
                StoreError::new(connections.named(error)).into()
            }
            Failed::Commit(error) => {
                StoreError::new(connections.failed(Failed::Commit(error))).into()
            }
            Failed::Panic(payload) => StoreError::new(panic_message(&*payload)).into(),
        })
    }
}

impl Store for SqliteStore {
    fn identity(&self) -> StoreIdentity {
        StoreIdentity::of(&self.0.0)
    }

    fn open(&self, opening: &Opening<'_>) -> Result<Opened, OpenError> {
        self.take_over(|conn| open(conn, opening))
    }

    fn reset(&self, opening: &Opening<'_>, target: &Cursor) -> Result<Opened, OpenError> {
        self.take_over(|conn| reset(conn, opening, target))
    }

    fn stored(&self, reducer: &str) -> Result<Option<StoredReducer>, StoreError> {
        self.0.read(|conn| stored(conn, reducer)).map_err(StoreError::new)
    }

    fn renew(&self, owned: &[(&str, u64)]) -> Result<Vec<bool>, StoreError> {
        let connections = &self.0.0.connections;
        let done = connections.transaction(|conn| {
            owned.iter().map(|(reducer, epoch)| lease::renew(conn, reducer, *epoch)).collect()
        });
        done.map_err(|failed: Failed<Error>| StoreError::new(connections.failed(failed)))
    }

    fn release(&self, reducer: &str, epoch: u64) -> Result<bool, StoreError> {
        let connections = &self.0.0.connections;
        let done = connections.transaction(|conn| lease::release(conn, reducer, epoch));
        done.map_err(|failed: Failed<Error>| StoreError::new(connections.failed(failed)))
    }

    fn forget(&self, reducer: &str) -> Result<bool, StoreError> {
        let forgotten = self.0.write(|conn| {
            owned::drop_created(conn, reducer)?;
            progress::forget(conn, reducer)
        });
        forgotten.map_err(StoreError::new)
    }

    fn writer(&self) -> Result<Box<dyn Writer>, StoreError> {
        Ok(Box::new(SqliteWriter(self.0.clone())))
    }

    fn halted(
        &self,
        reducer: &str,
        after: Option<&PartitionId>,
        limit: usize,
    ) -> Result<Vec<PartitionRecord>, StoreError> {
        let page = Which::Halted(after.map(PartitionId::as_str), limit);
        self.0.read(|conn| progress::records(conn, reducer, page)).map_err(StoreError::new)
    }

    fn records(
        &self,
        reducer: &str,
        partitions: &[PartitionId],
    ) -> Result<Vec<PartitionRecord>, StoreError> {
        let found = self.0.read(|conn| progress::records_of(conn, reducer, partitions));
        found.map_err(StoreError::new)
    }

    fn load(&self, rows: &[StoredRow]) -> Result<Vec<Option<Vec<Value>>>, StoreError> {
        self.0.read(|conn| states::load(conn, rows)).map_err(StoreError::new)
    }

    fn states(
        &self,
        reducer: &str,
        after: Option<&PartitionId>,
        limit: usize,
    ) -> Result<Vec<StateRecord>, StoreError> {
        let after = after.map(PartitionId::as_str);
        self.0.read(|conn| states::page(conn, reducer, after, limit)).map_err(StoreError::new)
    }

    fn skips(
        &self,
        reducer: &str,
        after: Option<(&Cursor, Option<&PartitionId>)>,
        limit: usize,
    ) -> Result<Vec<SkipRecord>, StoreError> {
        let page = skips::Which::Page { after, limit };
        self.0.read(|conn| skips::read(conn, reducer, &page)).map_err(StoreError::new)
    }

    fn skips_of(&self, reducer: &str, cursor: &Cursor) -> Result<Vec<SkipRecord>, StoreError> {
        let of = skips::Which::Of(cursor);
        self.0.read(|conn| skips::read(conn, reducer, &of)).map_err(StoreError::new)
    }

    fn pause(&self, reducer: &str, paused: bool) -> Result<(), StoreError> {
        let connections = &self.0.0.connections;
        let done = connections.transaction(|conn| progress::pause(conn, reducer, paused));
        done.map_err(|failed: Failed<Error>| StoreError::new(connections.failed(failed)))
    }

    fn outbox(&self) -> &dyn Outbox {
        self
    }
}

/// Why a reducer is not taken over.
pub(crate) enum Refused {
    Open(OpenError),
    Database(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Refused::Database(error)
    }
}

fn open(conn: &mut SqliteConnection, opening: &Opening<'_>) -> Result<Opened, Refused> {
    let &Opening { reducer: name, version, kind, ref start, ref claim, .. } = opening;
    let mut held = None;
    match progress::reducer(conn, name)? {
        None => progress::create(conn, name, version, start)?,
        Some(row) => {
            if row.version != i64::from(version) {
                return Err(Refused::Open(OpenError::VersionDiffers {
                    reducer: name.to_owned(),
                    stored: row.stored_version(),
                    current: version,
                }));
            }
            progress::take_over(conn, name)?;
            progress::sweep(conn, name, &row.watermark)?;
            held = row.lease;
        }
    }
    let opened = opened(conn, name)?;
    let mut cursors =
        std::iter::once(&opened.watermark).chain(opened.partitions.iter().map(|row| &row.cursor));
    let is_other = |cursor: &&Cursor| cursor.kind().is_some_and(|stored| stored != kind);
    if let Some(other) = cursors.find(is_other) {
        return Err(Refused::Open(OpenError::CursorKindDiffers {
            reducer: name.to_owned(),
            stored: other.clone(),
            current: kind,
        }));
    }
    // Only now, so that whoever is not to have it yet learns what else is wrong.
    claim.check(name, held.as_ref()).map_err(Refused::Open)?;
    lease::take(conn, name, claim)?;
    owned::check_owner(conn, opening)?;
    owned::open(conn, opening)?;
    Ok(Opened { lease: claim.lease, ..opened })
}

fn reset(
    conn: &mut SqliteConnection,
    opening: &Opening<'_>,
    target: &Cursor,
) -> Result<Opened, Refused> {
    let &Opening { reducer: name, version, ref start, ref claim, .. } = opening;
    match progress::reducer(conn, name)? {
        None => progress::create(conn, name, version, start)?,
        Some(row) => claim.check(name, row.lease.as_ref()).map_err(Refused::Open)?,
    }
    owned::check_owner(conn, opening)?;
    owned::reset(conn, opening)?;
    silence::before_reset(conn, name, opening.kind)?;
    progress::begin_anew(conn, name, version, start, target)?;
    lease::take(conn, name, claim)?;
    Ok(Opened { lease: claim.lease, ..opened(conn, name)? })
}

fn stored(conn: &mut SqliteConnection, name: &str) -> QueryResult<Option<StoredReducer>> {
    let Some(row) = progress::reducer(conn, name)? else { return Ok(None) };
    let version = row.stored_version();
    let mut stored = StoredReducer::new(version, row.watermark, row.rebuilding);
    (stored.skips, stored.lease) = (skips::any(conn, name)?, row.lease);
    Ok(Some(stored))
}

/// The progress of a reducer; what is known of its lease comes from the claim.
fn opened(conn: &mut SqliteConnection, name: &str) -> QueryResult<Opened> {
    let row = progress::reducer(conn, name)?.ok_or(Error::NotFound)?;
    Ok(Opened {
        watermark: row.watermark,
        revision: row.revision,
        partitions: progress::records(conn, name, Which::All)?,
        skips: skips::any(conn, name)?,
        paused: row.paused,
        rebuilding: row.rebuilding,
        lease: Duration::ZERO,
    })
}

/// Commits on the database's writer connection, which all writers and appends of a process share.
struct SqliteWriter(SqliteDatabase);

/// Why a transaction was rolled back.
enum Rejected {
    Fenced(String),
    Step(StepError),
    /// It needs a transaction of its own.
    Apart,
}

impl<E: Into<StepError>> From<E> for Rejected {
    fn from(error: E) -> Self {
        Rejected::Step(error.into())
    }
}

impl Writer for SqliteWriter {
    fn commit(&mut self, writes: &[ReducerWrite<'_>]) -> Result<(), CommitError> {
        let connections = &self.0.0.connections;
        let done = connections.transaction(|conn| {
            // Only one transaction runs at a time: nobody waits here.
            let mut catalog = connections.catalog.lock().unwrap_or_else(PoisonError::into_inner);
            commit(conn, &mut catalog, writes)
        });
        self.ended(writes, done)
    }

    fn commit_with(
        &mut self,
        writes: &[ReducerWrite<'_>],
        events: &[Tentative],
    ) -> Result<(), CommitError> {
        if let Some(done) = self.join(writes, events) {
            return self.ended(writes, done);
        }
        match events.iter().all(Tentative::wait) {
            true => self.commit(writes),
            false => Err(CommitError::Lost),
        }
    }

    fn revision(&mut self, reducer: &str) -> Result<Option<Revision>, StoreError> {
        // On the writer's connection: it is the one that knows what became of its transaction.
        let connections = &self.0.0.connections;
        let row = connections.transaction(|conn| progress::reducer(conn, reducer));
        let row = row.map_err(|failed| StoreError::new(connections.failed(failed)))?;
        Ok(row.map(|row| row.revision))
    }
}

impl SqliteWriter {
    /// Commits in the transaction that appends the events, if that is to be had and nothing in it can
    /// harm them: code of the user's could end it, and foreign keys are checked at its end.
    fn join(
        &self,
        writes: &[ReducerWrite<'_>],
        events: &[Tentative],
    ) -> Option<Result<(), Failed<Rejected>>> {
        let ops = || writes.iter().flat_map(|write| &write.partitions).flat_map(|part| part.ops);
        if events.len() > 1 || ops().any(|op| matches!(op, Op::Custom(_))) {
            return None;
        }
        let connections = &self.0.0.connections;
        let done = connections.joint.join(events, |conn| {
            let mut catalog = connections.catalog.lock().unwrap_or_else(PoisonError::into_inner);
            catalog.refresh(conn)?;
            if catalog.foreign_keys {
                return Err(Rejected::Apart);
            }
            commit(conn, &mut catalog, writes)
        })?;
        match done {
            Err(Failed::Body(Rejected::Apart)) => None,
            done => Some(done),
        }
    }

    /// What became of a transaction.
    fn ended(
        &self,
        writes: &[ReducerWrite<'_>],
        done: Result<(), Failed<Rejected>>,
    ) -> Result<(), CommitError> {
        let connections = &self.0.0.connections;
        if done.is_ok() {
            for write in writes {
                if let Cursor::Integer(id) = write.watermark {
                    connections.furthest.reach(*id);
                }
            }
        }
        let database = |error: &Error, message: String| match Fault::of(error).is_transient() {
            true => CommitError::Transient(message),
            false => CommitError::Rejected { kind: FailureKind::Rejected, message },
        };
        done.map_err(|failed| match failed {
            Failed::Begin(error) => CommitError::Transient(connections.named(error).to_string()),
            Failed::Body(Rejected::Fenced(reducer)) => CommitError::Fenced { reducer },
            Failed::Body(Rejected::Apart) => {
                CommitError::Transient("it was not to be joined".to_owned())
            }
            Failed::Body(Rejected::Step(error)) => {
                let message = error.message();
                match error {
                    StepError::Database(error, _) => database(&error, message),
                    StepError::Rule(ChangeError { kind, message }) => {
                        CommitError::Rejected { kind, message }
                    }
                }
            }
            Failed::Panic(payload) => CommitError::Rejected {
                kind: FailureKind::Panic,
                message: panic_message(&*payload),
            },
            Failed::Commit(error) if in_doubt(&error) => CommitError::InDoubt(error.to_string()),
            Failed::Commit(error @ Error::DatabaseError(Kind::ForeignKeyViolation, _)) => {
                let found = self.foreign_key_violation(writes);
                database(&error, found.unwrap_or_else(|| error.to_string()))
            }
            Failed::Commit(error) => database(&error, error.to_string()),
        })
    }

    /// Says which row kept a transaction from being committed for the lack of another. SQLite finds
    /// that out at the end and tells no names, so the changes are made once more, to be looked at and
    /// taken back.
    fn foreign_key_violation(&self, writes: &[ReducerWrite<'_>]) -> Option<String> {
        let connections = &self.0.0.connections;
        let mut message = None;
        let looked = connections.transaction(|conn| {
            let mut catalog = connections.catalog.lock().unwrap_or_else(PoisonError::into_inner);
            let plan = apply(conn, &mut catalog, writes)?;
            // Of several partitions, each is going to be tried by itself.
            let is_alone = writes.iter().map(|write| write.partitions.len()).sum::<usize>() == 1;
            let found = foreign_keys::violation(conn, &plan, is_alone)?;
            message = found.map(|violation| violation.message());
            Err::<(), _>(StepError::rule("it was only a try"))
        });
        debug_assert!(looked.is_err(), "it must not be committed");
        message
    }
}

fn commit(
    conn: &mut SqliteConnection,
    catalog: &mut Catalog,
    writes: &[ReducerWrite<'_>],
) -> Result<(), Rejected> {
    for write in writes {
        silence::before_resets(conn, write)?;
        if !progress::advance(conn, write)? || !progress::unapplied(conn, write)? {
            return Err(Rejected::Fenced(write.reducer.to_owned()));
        }
    }
    apply(conn, catalog, writes)?;
    for write in writes {
        progress::record_partitions(conn, write)?;
        skips::record_skips(conn, write)?;
    }
    Ok(())
}

/// Makes the changes of derived state.
fn apply<'w>(
    conn: &mut SqliteConnection,
    catalog: &mut Catalog,
    writes: &'w [ReducerWrite<'_>],
) -> Result<Plan<'w>, StepError> {
    for write in writes {
        for partition in write.partitions.iter().filter(|partition| partition.reset) {
            owned::delete_partition(conn, write.reducer, partition.partition.as_str())?;
        }
    }
    catalog.refresh(conn)?;
    let foreign_keys = catalog.foreign_keys;
    let mut silences = Vec::with_capacity(writes.len());
    for write in writes {
        let emits = write.partitions.iter().any(|partition| has_effects(partition.ops));
        silences.push(if emits { Some(silence::load(conn, write.reducer)?) } else { None });
    }
    let mut planner = Planner::new(Introspect { catalog, conn });
    planner.reserve(writes.iter().map(|write| write.partitions.len()).sum());
    for (write, silence) in writes.iter().zip(&silences) {
        for PartitionWrite { partition, ops, .. } in &write.partitions {
            let silent = |op: &&Op| silence.as_ref().is_some_and(|it| it.covers(partition, op));
            let heard = ops.iter().filter(|op| !silent(op));
            planner.add(partition, heard).map_err(|error| match error {
                PlanError::Misfit(message) => StepError::Rule(ChangeError::rejected(message)),
                PlanError::Facts(error) => StepError::Database(error, None),
            })?;
        }
    }
    let plan = planner.finish();
    // The plan changes tables in another order than the reducers did. The setting ends with the
    // transaction. It makes SQLite prepare every kept statement anew, so it is not made in vain.
    if foreign_keys {
        conn.batch_execute("PRAGMA defer_foreign_keys = ON")?;
    }
    execute::run(conn, &plan)?;
    Ok(plan)
}
