//! Up to where effects are not emitted again.

use diesel::{QueryResult, prelude::*, sqlite::SqliteConnection};
use rederive_core::{CursorKind, PartitionId, ReducerWrite, effect::Silence};

use super::progress::{self, Which, decode};
use crate::schema::rederive_silences as silences;

/// The silence of a reducer.
pub(crate) fn load(conn: &mut SqliteConnection, reducer: &str) -> QueryResult<Silence> {
    let rows: Vec<(Option<String>, String)> = silences::table
        .filter(silences::reducer.eq(reducer))
        .select((silences::id, silences::cursor))
        .load(conn)?;
    let mut silence = Silence::default();
    for (id, cursor) in rows {
        match id {
            None => silence.through = decode(&cursor)?,
            Some(id) => {
                silence.partitions.insert(PartitionId::from(id), decode(&cursor)?);
            }
        }
    }
    Ok(silence)
}

fn store(conn: &mut SqliteConnection, reducer: &str, silence: &Silence) -> QueryResult<()> {
    diesel::delete(silences::table.filter(silences::reducer.eq(reducer))).execute(conn)?;
    let all = std::iter::once((None, &silence.through));
    let each = silence.partitions.iter().map(|(id, until)| (Some(id.as_str()), until));
    for (id, until) in all.chain(each) {
        let row = (
            silences::reducer.eq(reducer),
            silences::id.eq(id),
            silences::cursor.eq(until.encode()),
        );
        diesel::insert_into(silences::table).values(row).execute(conn)?;
    }
    Ok(())
}

/// The reducer is about to be reset.
pub(crate) fn before_reset(
    conn: &mut SqliteConnection,
    reducer: &str,
    kind: CursorKind,
) -> QueryResult<()> {
    let Some(row) = progress::reducer(conn, reducer)? else { return Ok(()) };
    let records = progress::records(conn, reducer, Which::All)?;
    let silence = load(conn, reducer)?.after_reset(&row.watermark, &records, kind);
    store(conn, reducer, &silence)
}

/// The partitions that the write resets are about to be.
pub(crate) fn before_resets(
    conn: &mut SqliteConnection,
    write: &ReducerWrite<'_>,
) -> QueryResult<()> {
    if !write.partitions.iter().any(|partition| partition.reset) {
        return Ok(());
    }
    let Some(row) = progress::reducer(conn, write.reducer)? else { return Ok(()) };
    let records = progress::records(conn, write.reducer, Which::All)?;
    let mut silence = load(conn, write.reducer)?;
    for partition in write.partitions.iter().filter(|partition| partition.reset) {
        let id = partition.partition;
        let record = records.iter().find(|record| record.partition == *id);
        silence = silence.after_reset_of(id, &row.watermark, record);
    }
    store(conn, write.reducer, &silence)
}
