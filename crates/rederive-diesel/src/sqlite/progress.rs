//! The rows in which reducers and partitions keep their progress.

use std::collections::BTreeSet;

use diesel::{QueryResult, prelude::*, result::Error, sqlite::SqliteConnection};
use rederive_core::{
    Cursor, FailureKind, Halt, Lease, PartitionId, PartitionRecord, PartitionWrite, ReducerWrite,
    Revision, Timestamp,
};

use super::{
    lease,
    rows::{Bind, Rows, chunks},
};
use crate::schema::{
    rederive_outbox as outbox, rederive_partitions as partitions, rederive_reducers as reducers,
    rederive_skips as skips, rederive_states as states,
};

/// The row of a reducer.
pub(crate) struct ReducerRow {
    pub(crate) version: i64,
    pub(crate) revision: Revision,
    pub(crate) watermark: Cursor,
    pub(crate) paused: bool,
    pub(crate) rebuilding: Option<Cursor>,
    pub(crate) lease: Option<Lease>,
}

impl ReducerRow {
    /// The version that built the state.
    pub(crate) fn stored_version(&self) -> u32 {
        u32::try_from(self.version).unwrap_or(u32::MAX)
    }
}

/// Reads the row of a reducer.
pub(crate) fn reducer(conn: &mut SqliteConnection, name: &str) -> QueryResult<Option<ReducerRow>> {
    type Row = (i64, i64, i64, String, bool, Option<String>, (Option<String>, i64, i64));
    let row: Option<Row> = reducers::table
        .filter(reducers::name.eq(name))
        .select((
            reducers::version,
            reducers::epoch,
            reducers::revision,
            reducers::cursor,
            reducers::paused,
            reducers::rebuild_to,
            (reducers::owner, reducers::lease, reducers::lease_until),
        ))
        .first(conn)
        .optional()?;
    row.map(|(version, epoch, number, cursor, paused, rebuild_to, (owner, length, until))| {
        let revision = Revision { epoch: unsigned(epoch)?, number: unsigned(number)? };
        let rebuilding = rebuild_to.as_deref().map(decode).transpose()?;
        let (watermark, lease) = (decode(&cursor)?, lease::held(owner, length, until));
        Ok(ReducerRow { version, revision, watermark, paused, rebuilding, lease })
    })
    .transpose()
}

/// Creates the row of a reducer that begins after `start`.
pub(crate) fn create(
    conn: &mut SqliteConnection,
    name: &str,
    version: u32,
    start: &Cursor,
) -> QueryResult<()> {
    let row = (
        reducers::name.eq(name),
        reducers::version.eq(i64::from(version)),
        reducers::epoch.eq(1),
        reducers::revision.eq(0),
        reducers::cursor.eq(start.encode()),
    );
    diesel::insert_into(reducers::table).values(row).execute(conn).map(drop)
}

/// Has the reducer begin anew after `start`, and be rebuilding until it has come to `target`: nothing
/// stays that was known of it or its partitions but its revision, whose epoch is raised.
pub(crate) fn begin_anew(
    conn: &mut SqliteConnection,
    name: &str,
    version: u32,
    start: &Cursor,
    target: &Cursor,
) -> QueryResult<()> {
    diesel::delete(partitions::table.filter(partitions::reducer.eq(name))).execute(conn)?;
    diesel::delete(states::table.filter(states::reducer.eq(name))).execute(conn)?;
    diesel::delete(skips::table.filter(skips::reducer.eq(name))).execute(conn)?;
    diesel::update(reducers::table.filter(reducers::name.eq(name)))
        .set((
            reducers::version.eq(i64::from(version)),
            reducers::epoch.eq(reducers::epoch + 1),
            reducers::cursor.eq(start.encode()),
            reducers::rebuild_to.eq(Some(target.encode()).filter(|_| target > start)),
        ))
        .execute(conn)
        .map(drop)
}

/// Forgets the reducer and all that belongs to it; false when there is no such reducer.
pub(crate) fn forget(conn: &mut SqliteConnection, name: &str) -> QueryResult<bool> {
    diesel::delete(states::table.filter(states::reducer.eq(name))).execute(conn)?;
    diesel::delete(outbox::table.filter(outbox::reducer.eq(name))).execute(conn)?;
    Ok(diesel::delete(reducers::table.filter(reducers::name.eq(name))).execute(conn)? > 0)
}

/// Raises the epoch of a reducer, so that its former owner can commit no more.
pub(crate) fn take_over(conn: &mut SqliteConnection, name: &str) -> QueryResult<()> {
    diesel::update(reducers::table.filter(reducers::name.eq(name)))
        .set(reducers::epoch.eq(reducers::epoch + 1))
        .execute(conn)
        .map(drop)
}

/// Notes whether a reducer is paused.
pub(crate) fn pause(conn: &mut SqliteConnection, name: &str, paused: bool) -> QueryResult<()> {
    diesel::update(reducers::table.filter(reducers::name.eq(name)))
        .set(reducers::paused.eq(paused))
        .execute(conn)
        .map(drop)
}

/// Removes the rows of partitions that say no more than the watermark does.
pub(crate) fn sweep(
    conn: &mut SqliteConnection,
    reducer: &str,
    watermark: &Cursor,
) -> QueryResult<()> {
    let covered = partitions::table
        .filter(partitions::reducer.eq(reducer))
        .filter(partitions::cursor.le(watermark.encode()))
        .filter(partitions::halt_cursor.is_null());
    diesel::delete(covered).execute(conn).map(drop)
}

type Columns =
    (String, String, Option<String>, Option<String>, Option<String>, Option<i64>, Option<i64>);

/// Which rows of partitions to read.
#[derive(Clone, Copy)]
pub(crate) enum Which<'a> {
    All,
    /// Of the halted ones, so many after this one.
    Halted(Option<&'a str>, usize),
    /// Of these partitions.
    Of(&'a [&'a str]),
}

/// Rows of partitions of a reducer in the order of their ids.
pub(crate) fn records(
    conn: &mut SqliteConnection,
    reducer: &str,
    which: Which<'_>,
) -> QueryResult<Vec<PartitionRecord>> {
    let mut query = partitions::table
        .filter(partitions::reducer.eq(reducer))
        .order(partitions::id)
        .select((
            partitions::id,
            partitions::cursor,
            partitions::halt_cursor,
            partitions::halt_kind,
            partitions::halt_message,
            partitions::halt_attempts,
            partitions::halt_time,
        ))
        .into_boxed();
    match which {
        Which::All => {}
        Which::Halted(after, limit) => {
            query = query
                .filter(partitions::halt_cursor.is_not_null())
                .limit(i64::try_from(limit).unwrap_or(i64::MAX));
            if let Some(after) = after {
                query = query.filter(partitions::id.gt(after));
            }
        }
        Which::Of(ids) => query = query.filter(partitions::id.eq_any(ids)),
    }
    query.load::<Columns>(conn)?.into_iter().map(record).collect()
}

/// The rows of these partitions in the order of their ids, however many they are.
pub(crate) fn records_of(
    conn: &mut SqliteConnection,
    reducer: &str,
    wanted: &[PartitionId],
) -> QueryResult<Vec<PartitionRecord>> {
    let wanted: BTreeSet<_> = wanted.iter().map(PartitionId::as_str).collect();
    let wanted: Vec<_> = wanted.into_iter().collect();
    let mut found = Vec::new();
    for range in chunks(usize::MAX, wanted.len(), 1) {
        found.extend(records(conn, reducer, Which::Of(&wanted[range]))?);
    }
    Ok(found)
}

fn record(row: Columns) -> QueryResult<PartitionRecord> {
    let (id, cursor, halt_cursor, kind, message, attempts, time) = row;
    let halt = match halt_cursor {
        None => None,
        Some(cursor) => Some(Halt {
            cursor: decode(&cursor)?,
            // A kind that a later version has added counts as the most general one.
            kind: kind.and_then(|kind| FailureKind::parse(&kind)).unwrap_or(FailureKind::Rejected),
            message: message.unwrap_or_default(),
            attempts: attempts.and_then(|count| u32::try_from(count).ok()).unwrap_or(1),
            time: Timestamp::from_micros(time.unwrap_or(0)),
        }),
    };
    Ok(PartitionRecord { partition: PartitionId::from(id), cursor: decode(&cursor)?, halt })
}

/// Stores the watermark and raises the revision; `false` when somebody else owns the reducer.
pub(crate) fn advance(conn: &mut SqliteConnection, write: &ReducerWrite<'_>) -> QueryResult<bool> {
    let (Ok(epoch), Ok(number)) =
        (i64::try_from(write.revision.epoch), i64::try_from(write.revision.number))
    else {
        return Ok(false);
    };
    // A commit renews the lease. Diesel would prepare its own update anew each time.
    const ADVANCE: &str = "UPDATE rederive_reducers SET cursor = ?1, revision = revision + 1,
        rebuild_to = CASE WHEN rebuild_to > ?1 THEN rebuild_to END, lease_until = lease + ?2
        WHERE name = ?3 AND epoch = ?4 AND revision = ?5 -- ";
    let watermark = write.watermark.encode();
    let binds = [
        Bind::Text(&watermark),
        Bind::Integer(lease::now()),
        Bind::Text(write.reducer),
        Bind::Integer(epoch),
        Bind::Integer(number),
    ];
    let changed = Rows { head: ADVANCE, tail: "", width: 5, binds: &binds }.execute(conn)?;
    Ok(changed == 1)
}

/// Checks that no partition of the write stands at or above its guard: `false` when one does. It
/// stands below them all when the reducer has no rows of partitions, as during a rebuild.
pub(crate) fn unapplied(
    conn: &mut SqliteConnection,
    write: &ReducerWrite<'_>,
) -> QueryResult<bool> {
    if write.partitions.is_empty() {
        return Ok(true);
    }
    let any = partitions::table.filter(partitions::reducer.eq(write.reducer));
    if !diesel::select(diesel::dsl::exists(any)).get_result::<bool>(conn)? {
        return Ok(true);
    }
    // `CROSS JOIN` keeps SQLite from going through the table and looking up the values instead.
    const HEAD: &str = "SELECT count(*) FROM (VALUES ";
    const TAIL: &str = ") AS v CROSS JOIN rederive_partitions AS p WHERE p.reducer = v.column1
        AND p.id = v.column2 AND p.cursor >= v.column3";
    let guarded: Vec<_> = write.partitions.iter().filter(|partition| !partition.reset).collect();
    let bounds: Vec<String> = guarded.iter().map(|partition| bound(partition)).collect();
    let mut binds = Vec::new();
    for range in chunks(usize::MAX, guarded.len(), 3) {
        binds.clear();
        for (partition, bound) in guarded[range.clone()].iter().zip(&bounds[range]) {
            binds.extend([
                Bind::Text(write.reducer),
                Bind::Text(partition.partition.as_str()),
                Bind::Text(bound),
            ]);
        }
        if (Rows { head: HEAD, tail: TAIL, width: 3, binds: &binds }).count(conn)? > 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The lowest stored cursor that says that the write has been done before.
fn bound(partition: &PartitionWrite<'_>) -> String {
    match partition.guard {
        Some(guard) => guard.encode(),
        // Only a halt is written, and the cursor may stay where it is: NUL follows it directly.
        None => partition.cursor.encode() + "\0",
    }
}

/// Writes the rows of the partitions that need one.
pub(crate) fn record_partitions(
    conn: &mut SqliteConnection,
    write: &ReducerWrite<'_>,
) -> QueryResult<()> {
    const HEAD: &str = "INSERT INTO rederive_partitions (reducer, id, cursor) VALUES ";
    const TAIL: &str = " ON CONFLICT (reducer, id) DO UPDATE SET cursor = excluded.cursor,
        halt_cursor = NULL, halt_kind = NULL, halt_message = NULL, halt_attempts = NULL,
        halt_time = NULL";
    let recorded = write.partitions.iter().filter(|partition| partition.record);
    let (halted, going): (Vec<_>, Vec<_>) = recorded.partition(|row| row.halt.is_some());
    let cursors: Vec<String> = going.iter().map(|row| row.cursor.encode()).collect();
    let mut binds = Vec::new();
    for range in chunks(usize::MAX, going.len(), 3) {
        binds.clear();
        for (row, cursor) in going[range.clone()].iter().zip(&cursors[range]) {
            binds.extend([
                Bind::Text(write.reducer),
                Bind::Text(row.partition.as_str()),
                Bind::Text(cursor),
            ]);
        }
        Rows { head: HEAD, tail: TAIL, width: 3, binds: &binds }.execute(conn)?;
    }
    halted.into_iter().try_for_each(|row| record_halted(conn, write.reducer, row))
}

/// One by one: few partitions halt.
fn record_halted(
    conn: &mut SqliteConnection,
    reducer: &str,
    write: &PartitionWrite<'_>,
) -> QueryResult<()> {
    let Some(halt) = write.halt else { return Ok(()) };
    let row = (
        partitions::reducer.eq(reducer),
        partitions::id.eq(write.partition.as_str()),
        partitions::cursor.eq(write.cursor.encode()),
        partitions::halt_cursor.eq(halt.cursor.encode()),
        partitions::halt_kind.eq(halt.kind.as_str()),
        partitions::halt_message.eq(halt.message.as_str()),
        partitions::halt_attempts.eq(i64::from(halt.attempts)),
        partitions::halt_time.eq(halt.time.as_micros()),
    );
    diesel::replace_into(partitions::table).values(row).execute(conn).map(drop)
}

pub(super) fn decode(stored: &str) -> QueryResult<Cursor> {
    Cursor::decode(stored).map_err(|error| Error::DeserializationError(Box::new(error)))
}

fn unsigned(stored: i64) -> QueryResult<u64> {
    u64::try_from(stored).map_err(|error| Error::DeserializationError(Box::new(error)))
}
