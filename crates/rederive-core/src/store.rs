//! [`Store`] and [`Writer`]: where derived state and progress live.

mod error;

use std::time::Duration;

pub use error::{CommitError, OpenError, StoreError};

use crate::{
    Claim, Cursor, CursorKind, EffectKey, EffectMarks, EffectRecord, EffectsError, Halt, Lease, Op,
    OutboxCounts, OwnedTable, PartitionId, Skip, SkipRecord, StateRecord, StoredRow, Tentative,
    Value,
};

/// Where derived state and the progress of reducers live, side by side, so that one transaction can
/// change both.
///
/// All methods may block. Progress consists of one row per reducer, holding its *low watermark*
/// (every event at or below it is settled) and its [`Revision`], and of one row for each partition
/// that is ahead of the watermark or halted. The cursor of a partition without a row is the
/// watermark.
pub trait Store: Send + Sync + 'static {
    /// Tells whether two handles lead to the same store: commits of reducers that share a store may
    /// share a transaction.
    fn identity(&self) -> StoreIdentity;

    /// Takes the reducer over: creates its progress if there is none, at [`Opening::start`], and
    /// raises its [`Revision::epoch`], so that whoever had it before can commit no more. In the same
    /// transaction, checks the tables that the reducer declares and creates those that are missing.
    ///
    /// A reducer that somebody else has a valid [`Lease`] of is taken only as [`Opening::claim`] says.
    /// What else may be wrong with the opening (its version, the kind of its log) is said first.
    ///
    /// Rows of partitions at or below the watermark that are not halted say nothing and are removed.
    /// A crash before or after leaves nothing to repair: the epoch may have been raised for nobody.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was changed.
    fn open(&self, opening: &Opening<'_>) -> Result<Opened, OpenError>;

    /// Takes the reducer over to build its derived state anew, whatever is stored of it. In one
    /// transaction: drops and creates the tables that it creates itself, empties its others, drops
    /// those that it created once and no longer declares; forgets all that is known of its
    /// partitions; stores the version, the watermark [`Opening::start`] and that the reducer is
    /// rebuilding until the stored watermark reaches `target`; raises the epoch.
    ///
    /// From then on it is opened as [`rebuilding`](Opened::rebuilding), until a [`Writer::commit`]
    /// stores a watermark at or above `target`: with that transaction the rebuild is over. When the
    /// watermark stands there from the beginning, it is over at once.
    ///
    /// # Errors
    /// [`OpenError`], but none for another version or another kind of cursor; nothing was changed.
    fn reset(&self, opening: &Opening<'_>, target: &Cursor) -> Result<Opened, OpenError>;

    /// Has the leases of these reducers last their whole time from now on: each by its name and the
    /// [`Revision::epoch`] that its owner has. In one transaction, and with one answer for each: false
    /// when another epoch is stored, so that somebody else owns the reducer now.
    ///
    /// A lease that has run out is valid again if nobody has taken the reducer over; one that was
    /// released stays released.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be written; nothing was renewed, as far as is known.
    fn renew(&self, owned: &[(&str, u64)]) -> Result<Vec<bool>, StoreError>;

    /// Gives up the lease of a reducer, so that another owner need not wait for its end. False when
    /// another epoch is stored, so that there was nothing to give up.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be written; the lease ends by itself.
    fn release(&self, reducer: &str, epoch: u64) -> Result<bool, StoreError>;

    /// What is stored of a reducer; `None` when the store does not know it. Changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    fn stored(&self, reducer: &str) -> Result<Option<StoredReducer>, StoreError>;

    /// Removes all that is stored of a reducer that is registered no longer, and the tables that it
    /// created itself; those it merely used stay as they are. Its owner, if there is one, can commit
    /// no more. False when the store does not know the reducer.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be written; nothing was changed.
    fn forget(&self, reducer: &str) -> Result<bool, StoreError>;

    /// A writer with a connection of its own, if the store has such.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached.
    fn writer(&self) -> Result<Box<dyn Writer>, StoreError>;

    /// The halted partitions of a reducer in the order of their ids: up to `limit` of those after
    /// `after`.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    fn halted(
        &self,
        reducer: &str,
        after: Option<&PartitionId>,
        limit: usize,
    ) -> Result<Vec<PartitionRecord>, StoreError>;

    /// The rows that are stored of these partitions, in the order of their ids. Those that have none
    /// stand at the watermark, if that was read before.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    fn records(
        &self,
        reducer: &str,
        partitions: &[PartitionId],
    ) -> Result<Vec<PartitionRecord>, StoreError>;

    /// The rows with these keys, in the order given, each with a value per column of its table;
    /// `None` where there is none. They show all that was committed before.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    fn load(&self, rows: &[StoredRow]) -> Result<Vec<Option<Vec<Value>>>, StoreError>;

    /// The states of a reducer that are stored as JSON, in the order of the partitions' ids: up to
    /// `limit` of those after `after`. [`States`](crate::States) reads them by their type.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    fn states(
        &self,
        reducer: &str,
        after: Option<&PartitionId>,
        limit: usize,
    ) -> Result<Vec<StateRecord>, StoreError>;

    /// The skips of a reducer in the order of cursors, then of partitions (those without one come
    /// first): up to `limit` of those after `after`.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    fn skips(
        &self,
        reducer: &str,
        after: Option<(&Cursor, Option<&PartitionId>)>,
        limit: usize,
    ) -> Result<Vec<SkipRecord>, StoreError>;

    /// The skips of the event at `cursor`, one for each partition that has skipped it.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    fn skips_of(&self, reducer: &str, cursor: &Cursor) -> Result<Vec<SkipRecord>, StoreError>;

    /// Notes that the reducer is paused, or not any more: [`Opened::paused`] tells. Does nothing for
    /// a reducer that the store does not know.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be written; it may have been noted all the same.
    fn pause(&self, reducer: &str, paused: bool) -> Result<(), StoreError>;

    /// The effects that are still to be delivered.
    fn outbox(&self) -> &dyn Outbox;
}

/// The effects that reducers have emitted and that are still to be delivered: the rows of
/// [`OUTBOX`](crate::effect::OUTBOX), which commits write like any others.
///
/// All methods may block. They show all that was committed before.
pub trait Outbox: Send + Sync {
    /// The effects of partitions after `after`, in the order of their keys, parked ones included:
    /// the first `limit` of them.
    ///
    /// # Errors
    /// [`EffectsError::Fenced`] when the stored [`Revision::epoch`] of the reducer is not `epoch`.
    fn effects(
        &self,
        reducer: &str,
        epoch: u64,
        after: Option<&PartitionId>,
        limit: usize,
    ) -> Result<Vec<EffectRecord>, EffectsError>;

    /// Writes what became of effects, in one transaction. Those that are not there any more are
    /// passed over.
    ///
    /// # Errors
    /// [`EffectsError::Fenced`] as for [`effects`](Self::effects); nothing was changed.
    fn mark(&self, reducer: &str, epoch: u64, marks: &EffectMarks) -> Result<(), EffectsError>;

    /// The parked effects in the order of their keys: up to `limit` of those after `after`.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    fn parked(
        &self,
        reducer: &str,
        after: Option<&EffectKey>,
        limit: usize,
    ) -> Result<Vec<EffectRecord>, StoreError>;

    /// Has a parked effect delivered again; `false` when there is no parked effect of that key.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be written; it may have been done all the same.
    fn redeliver(&self, reducer: &str, key: &EffectKey) -> Result<bool, StoreError>;

    /// Deletes a parked effect without delivering it; `false` when there is no parked effect of that
    /// key.
    ///
    /// # Errors
    /// As for [`redeliver`](Self::redeliver).
    fn drop_effect(&self, reducer: &str, key: &EffectKey) -> Result<bool, StoreError>;

    /// How many effects of the reducer there are, each number up to `at_most`: what is beyond is not
    /// counted, so that a small `at_most` takes no time.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    fn counts(&self, reducer: &str, at_most: u64) -> Result<OutboxCounts, StoreError>;
}

/// Brings commits into a store; used by one thread.
pub trait Writer: Send {
    /// Applies all writes in one transaction, or none of them.
    ///
    /// For each reducer: its stored revision must equal [`ReducerWrite::revision`] and is raised by
    /// one, its lease lasts its whole time again, the watermark is stored, the ops of each partition
    /// are applied in order, the rows of
    /// partitions are written where [`PartitionWrite::record`] asks for it, and skips are recorded. A
    /// rebuild whose target the watermark has reached is over. Partitions are
    /// independent of each other, so a store is free to interleave and merge their ops.
    ///
    /// A crash (of the process or the machine) before the transaction is durable leaves nothing of
    /// it; after that, all of it.
    ///
    /// # Errors
    /// [`CommitError`]: each variant says whether the work was done.
    fn commit(&mut self, writes: &[ReducerWrite<'_>]) -> Result<(), CommitError>;

    /// Commits as [`commit`](Self::commit) does what follows from events that may not be in the log yet:
    /// in the transaction that brings them there, if this writer can, or after it.
    ///
    /// The default waits until they have come, and commits.
    ///
    /// # Errors
    /// [`CommitError`]; [`CommitError::Lost`] when the events have not come into the log: nothing was
    /// committed then.
    fn commit_with(
        &mut self,
        writes: &[ReducerWrite<'_>],
        events: &[Tentative],
    ) -> Result<(), CommitError> {
        match events.iter().all(Tentative::wait) {
            true => self.commit(writes),
            false => Err(CommitError::Lost),
        }
    }

    /// The stored revision of a reducer: asked after [`CommitError::InDoubt`].
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    fn revision(&mut self, reducer: &str) -> Result<Option<Revision>, StoreError>;

    /// Makes ready what the first commit needs and takes time to be had, such as a connection: called on
    /// the thread that commits, when a reducer has been opened. What goes wrong shows at the commit.
    fn prepare(&mut self) {}
}

/// What [`Writer::commit`] writes for one reducer.
#[derive(Debug)]
pub struct ReducerWrite<'g> {
    /// The reducer.
    pub reducer: &'g str,
    /// The revision that must be stored; the transaction raises its number by one.
    pub revision: Revision,
    /// The low watermark to store.
    pub watermark: &'g Cursor,
    /// The partitions to change.
    pub partitions: Vec<PartitionWrite<'g>>,
    /// The events that the reducer passes by with this write and of which no partition is known, to
    /// be recorded.
    pub skips: Vec<&'g Skip>,
}

/// What [`Writer::commit`] writes for one partition.
#[derive(Debug)]
pub struct PartitionWrite<'g> {
    /// The partition.
    pub partition: &'g PartitionId,
    /// The changes to derived state, in order.
    pub ops: &'g [Op],
    /// Where the partition stands afterwards.
    pub cursor: &'g Cursor,
    /// A stored row of this partition must stand below this cursor, else the write is
    /// [`CommitError::Fenced`]: it would apply an event twice.
    pub guard: Option<&'g Cursor>,
    /// Whether the partition halts.
    pub halt: Option<&'g Halt>,
    /// The events that the partition passes by with this write, to be recorded.
    pub skips: Vec<&'g Skip>,
    /// Whether the partition's row must be written. When false, the watermark of the same
    /// transaction says as much, and a row of the partition, if there is one, may stay behind.
    pub record: bool,
    /// Whether the partition begins anew: before its ops, the rows that the reducer's tables hold of
    /// it are deleted (see [`OwnedTable::partitioned_by`]), and no `guard` is looked at.
    pub reset: bool,
}

/// The fence that keeps a stale owner out: two numbers stored with each reducer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Revision {
    /// Raised by each [`Store::open`].
    pub epoch: u64,
    /// Raised by each transaction.
    pub number: u64,
}

impl Revision {
    /// The revision after one transaction more.
    pub fn next(self) -> Self {
        Self { number: self.number + 1, ..self }
    }
}

/// What [`Store::open`] is told of the reducer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening<'a> {
    /// The reducer.
    pub reducer: &'a str,
    /// The version of its code.
    pub version: u32,
    /// The kind of the log's cursors.
    pub kind: CursorKind,
    /// Where a reducer that the store does not know yet begins: every event up to here counts as
    /// settled.
    pub start: Cursor,
    /// The tables that the reducer declares.
    pub tables: &'a [OwnedTable],
    /// Who opens it, and what becomes of it if somebody else has it.
    pub claim: Claim<'a>,
}

impl<'a> Opening<'a> {
    /// For a reducer that begins with the first event of its log, and whoever opens it wants no lease.
    pub fn new(reducer: &'a str, version: u32, kind: CursorKind) -> Self {
        let (start, claim) = (Cursor::Start, Claim::default());
        Self { reducer, version, kind, start, tables: &[], claim }
    }
}

/// The progress of a reducer that [`Store::open`] took over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// The low watermark.
    pub watermark: Cursor,
    /// The revision to write with.
    pub revision: Revision,
    /// The partitions ahead of the watermark and those that are halted.
    pub partitions: Vec<PartitionRecord>,
    /// Whether any event was skipped.
    pub skips: bool,
    /// Whether the reducer was paused.
    pub paused: bool,
    /// Set while the derived state is being built anew: it is complete once the watermark has
    /// reached this cursor.
    pub rebuilding: Option<Cursor>,
    /// How long the lease lasts if it is not renewed; zero where there is none to be renewed.
    pub lease: Duration,
}

/// What [`Store::stored`] tells of a reducer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredReducer {
    /// The version that built its derived state, or is building it.
    pub version: u32,
    /// The low watermark.
    pub watermark: Cursor,
    /// As [`Opened::rebuilding`].
    pub rebuilding: Option<Cursor>,
    /// As [`Opened::skips`].
    pub skips: bool,
    /// The lease that was taken last, unless it was released.
    pub lease: Option<Lease>,
}

impl StoredReducer {
    /// For stores: without skips and without a lease.
    pub fn new(version: u32, watermark: Cursor, rebuilding: Option<Cursor>) -> Self {
        Self { version, watermark, rebuilding, skips: false, lease: None }
    }
}

/// The stored row of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionRecord {
    /// The partition.
    pub partition: PartitionId,
    /// Where it stands.
    pub cursor: Cursor,
    /// Why it is halted, if it is.
    pub halt: Option<Halt>,
}

/// Compares equal for handles of one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StoreIdentity(usize);

impl StoreIdentity {
    /// The identity of what this pointer points to, which must live as long as the store.
    pub fn of<T>(shared: &std::sync::Arc<T>) -> Self {
        Self(std::sync::Arc::as_ptr(shared).addr())
    }
}
