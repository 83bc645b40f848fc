//! The rows in which reducers and partitions keep their progress.

use std::borrow::Cow;

use diesel::{QueryResult, result::Error};
use rederive_core::{
    Cursor, FailureKind, Halt, Lease, PartitionId, PartitionRecord, Revision, Timestamp,
};

use super::{
    ids,
    lease::{self, NOW},
    sql::{Bind, Cells, Session},
    text::{escaped, unescaped},
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
pub(crate) fn reducer(session: &mut Session<'_>, name: &str) -> QueryResult<Option<ReducerRow>> {
    read_reducer(session, name, "")
}

/// Reads the row of a reducer, and has all others wait who would change it until the transaction ends.
pub(crate) fn locked(session: &mut Session<'_>, name: &str) -> QueryResult<Option<ReducerRow>> {
    read_reducer(session, name, " FOR UPDATE")
}

fn read_reducer(
    session: &mut Session<'_>,
    name: &str,
    lock: &str,
) -> QueryResult<Option<ReducerRow>> {
    let text = format!(
        "SELECT version, epoch, revision, cursor, paused, rebuild_to, owner, lease,
            lease_until - {NOW}
        FROM @rederive_reducers WHERE name = \0{lock}"
    );
    let row = session.row(&text, &[Bind::text(escaped(name))])?;
    row.map(|mut row| {
        let version = row.integer()?;
        let revision =
            Revision { epoch: unsigned(row.integer()?)?, number: unsigned(row.integer()?)? };
        let (watermark, paused) = (decode(row.text()?)?, row.bool()?);
        let rebuilding = row.nullable_text()?.map(decode).transpose()?;
        let lease = lease::held(row.nullable_text()?, row.integer()?, row.integer()?);
        Ok(ReducerRow { version, revision, watermark, paused, rebuilding, lease })
    })
    .transpose()
}

/// Creates the row of a reducer that begins after `start`, unless there is one: then false.
pub(crate) fn create(
    session: &mut Session<'_>,
    name: &str,
    version: u32,
    start: &Cursor,
) -> QueryResult<bool> {
    let text = "INSERT INTO @rederive_reducers (name, version, epoch, revision, cursor)
        VALUES (\0, \0, 1, 0, \0) ON CONFLICT (name) DO NOTHING";
    let binds =
        [Bind::text(escaped(name)), Bind::integer(i64::from(version)), Bind::text(encode(start))];
    session.execute(text, &binds).map(|created| created == 1)
}

/// Has the reducer begin anew after `start`, and be rebuilding until it has come to `target`: nothing
/// stays that was known of it or its partitions but its revision, whose epoch is raised.
pub(crate) fn begin_anew(
    session: &mut Session<'_>,
    name: &str,
    version: u32,
    start: &Cursor,
    target: &Cursor,
) -> QueryResult<()> {
    delete_from(session, name, &["partitions", "states", "skips"])?;
    let text = "UPDATE @rederive_reducers SET version = \0, epoch = epoch + 1, cursor = \0,
        rebuild_to = \0 WHERE name = \0";
    let rebuild_to = Some(encode(target)).filter(|_| target > start);
    let binds = [
        Bind::integer(i64::from(version)),
        Bind::text(encode(start)),
        Bind::Text(rebuild_to.map(Cow::Owned)),
        Bind::text(escaped(name)),
    ];
    session.execute(text, &binds).map(drop)
}

/// Forgets the reducer and all that belongs to it; false when there is no such reducer.
pub(crate) fn forget(session: &mut Session<'_>, name: &str) -> QueryResult<bool> {
    let all = ["partitions", "states", "skips", "silences", "outbox", "tables"];
    delete_from(session, name, &all)?;
    let text = "DELETE FROM @rederive_reducers WHERE name = \0";
    session.execute(text, &[Bind::text(escaped(name))]).map(|deleted| deleted > 0)
}

fn delete_from(session: &mut Session<'_>, name: &str, tables: &[&str]) -> QueryResult<()> {
    for table in tables {
        let text = format!("DELETE FROM @rederive_{table} WHERE reducer = \0");
        session.execute(&text, &[Bind::text(escaped(name))])?;
    }
    Ok(())
}

/// Raises the epoch of a reducer, so that its former owner can commit no more, and removes the rows of its
/// partitions that say no more than the watermark does.
pub(crate) fn take_over(
    session: &mut Session<'_>,
    name: &str,
    watermark: &Cursor,
) -> QueryResult<()> {
    let text = "WITH swept AS (
            DELETE FROM @rederive_partitions
            WHERE reducer = \0 AND cursor <= \0 AND halt_cursor IS NULL
        ) UPDATE @rederive_reducers SET epoch = epoch + 1 WHERE name = \0";
    let name = Bind::text(escaped(name));
    let binds = [name.clone(), Bind::text(encode(watermark)), name];
    session.execute(text, &binds).map(drop)
}

/// Notes whether a reducer is paused.
pub(crate) fn pause(session: &mut Session<'_>, name: &str, paused: bool) -> QueryResult<()> {
    let text = "UPDATE @rederive_reducers SET paused = \0 WHERE name = \0";
    session.execute(text, &[Bind::Bool(paused), Bind::text(escaped(name))]).map(drop)
}

/// Which rows of partitions to read.
#[derive(Clone, Copy)]
pub(crate) enum Which<'a> {
    All,
    /// Of the halted ones, so many after this one.
    Halted(Option<&'a PartitionId>, usize),
    /// Of these partitions.
    Of(&'a [PartitionId]),
}

/// Rows of partitions of a reducer in the order of their ids.
pub(crate) fn records(
    session: &mut Session<'_>,
    reducer: &str,
    which: Which<'_>,
) -> QueryResult<Vec<PartitionRecord>> {
    const SELECT: &str = "SELECT id, cursor, halt_cursor, halt_kind, halt_message, halt_attempts,
        halt_time FROM @rederive_partitions WHERE reducer = \0";
    let mut binds = vec![Bind::text(escaped(reducer))];
    let filter = match which {
        Which::All => "",
        Which::Halted(after, limit) => {
            let after = Bind::Text(after.map(|after| ids::key(after.as_str())));
            binds.extend([after.clone(), after, Bind::limit(limit)]);
            " AND halt_cursor IS NOT NULL AND (\0 IS NULL OR id > \0)"
        }
        Which::Of(wanted) => {
            binds.push(Bind::texts(wanted.iter().map(|id| ids::key(id.as_str()))));
            " AND id = ANY(\0)"
        }
    };
    let limit = if matches!(which, Which::Halted(..)) { " LIMIT \0" } else { "" };
    let rows = session.rows(&format!("{SELECT}{filter} ORDER BY id{limit}"), &binds)?;
    let mut keys = Vec::with_capacity(rows.len());
    let mut places = Vec::with_capacity(rows.len());
    for mut row in rows {
        keys.push(row.text()?);
        places.push((decode(row.text()?)?, halt(&mut row)?));
    }
    let ids = ids::of(session, keys)?;
    let records = ids.into_iter().zip(places);
    let mut records: Vec<_> = records
        .map(|(partition, (cursor, halt))| PartitionRecord { partition, cursor, halt })
        .collect();
    // Long ids may have been read in another order.
    records.sort_by(|a, b| a.partition.cmp(&b.partition));
    Ok(records)
}

fn halt(row: &mut Cells) -> QueryResult<Option<Halt>> {
    let Some(cursor) = row.nullable_text()? else { return Ok(None) };
    let kind = row.nullable_text()?;
    let message = row.nullable_text()?.map(unescaped);
    Ok(Some(Halt {
        cursor: decode(cursor)?,
        // A kind that a later version has added counts as the most general one.
        kind: kind.and_then(|kind| FailureKind::parse(&kind)).unwrap_or(FailureKind::Rejected),
        message: message.unwrap_or_default(),
        attempts: row.nullable_integer()?.and_then(|count| u32::try_from(count).ok()).unwrap_or(1),
        time: Timestamp::from_micros(row.nullable_integer()?.unwrap_or(0)),
    }))
}

/// The cursor as it is stored; the order of these texts is that of the cursors.
pub(super) fn encode(cursor: &Cursor) -> String {
    match escaped(&cursor.encode()) {
        Cow::Owned(text) => text,
        Cow::Borrowed(text) => text.to_owned(),
    }
}

pub(super) fn decode(stored: String) -> QueryResult<Cursor> {
    Cursor::decode(&unescaped(stored)).map_err(|error| Error::DeserializationError(Box::new(error)))
}

fn unsigned(stored: i64) -> QueryResult<u64> {
    u64::try_from(stored).map_err(|error| Error::DeserializationError(Box::new(error)))
}
