//! The rows that tell which events were skipped.

use diesel::{QueryResult, prelude::*, sqlite::SqliteConnection};
use rederive_core::{
    Cursor, FailureKind, PartitionId, ReducerWrite, Skip, SkipRecord, SkippedBy, Timestamp,
};

use super::{
    progress::decode,
    rows::{Bind, Rows, chunks},
};
use crate::schema::rederive_skips as skips;

/// Which skips to read.
pub(crate) enum Which<'a> {
    /// Those of one event.
    Of(&'a Cursor),
    /// A page of them all.
    Page { after: Option<(&'a Cursor, Option<&'a PartitionId>)>, limit: usize },
}

type Columns = (String, Option<String>, String, String, i64, i64, bool);

/// Reads skips of a reducer in the order of cursors and partitions.
pub(crate) fn read(
    conn: &mut SqliteConnection,
    reducer: &str,
    which: &Which<'_>,
) -> QueryResult<Vec<SkipRecord>> {
    let mut query = skips::table
        .filter(skips::reducer.eq(reducer))
        // `NULL` comes first.
        .order((skips::cursor, skips::partition_id))
        .select((
            skips::cursor,
            skips::partition_id,
            skips::kind,
            skips::message,
            skips::attempts,
            skips::time,
            skips::by_operator,
        ))
        .into_boxed();
    match which {
        Which::Of(cursor) => query = query.filter(skips::cursor.eq(cursor.encode())),
        Which::Page { after, limit } => {
            query = query.limit(i64::try_from(*limit).unwrap_or(i64::MAX));
            if let Some((cursor, partition)) = after {
                let same = skips::cursor.eq(cursor.encode());
                let later = skips::cursor.gt(cursor.encode());
                query = match partition {
                    Some(id) => query.filter(
                        later.or(same.and(skips::partition_id.gt(id.as_str())).assume_not_null()),
                    ),
                    None => query.filter(later.or(same.and(skips::partition_id.is_not_null()))),
                };
            }
        }
    }
    query.load::<Columns>(conn)?.into_iter().map(record).collect()
}

fn record(row: Columns) -> QueryResult<SkipRecord> {
    let (cursor, partition, kind, message, attempts, time, by_operator) = row;
    let skip = Skip {
        cursor: decode(&cursor)?,
        // A kind that a later version has added counts as the most general one.
        kind: FailureKind::parse(&kind).unwrap_or(FailureKind::Rejected),
        message,
        attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        time: Timestamp::from_micros(time),
        by: if by_operator { SkippedBy::Operator } else { SkippedBy::Policy },
    };
    Ok(SkipRecord { partition: partition.map(PartitionId::from), skip })
}

/// Whether the reducer has skipped any event.
pub(crate) fn any(conn: &mut SqliteConnection, reducer: &str) -> QueryResult<bool> {
    let of_reducer = skips::table.filter(skips::reducer.eq(reducer));
    diesel::select(diesel::dsl::exists(of_reducer)).get_result(conn)
}

/// Writes the skips of a commit.
pub(crate) fn record_skips(
    conn: &mut SqliteConnection,
    write: &ReducerWrite<'_>,
) -> QueryResult<()> {
    const HEAD: &str = "INSERT INTO rederive_skips (reducer, cursor, partition_id, kind, message,
        attempts, time, by_operator) VALUES ";
    const WIDTH: usize = 8;
    let of_partitions = write
        .partitions
        .iter()
        .flat_map(|row| row.skips.iter().map(|skip| (Some(row.partition), *skip)));
    let of_none = write.skips.iter().map(|skip| (None, *skip));
    let skipped: Vec<(Option<&PartitionId>, &Skip, String)> = of_partitions
        .chain(of_none)
        .map(|(partition, skip)| (partition, skip, skip.cursor.encode()))
        .collect();
    let mut binds = Vec::new();
    for range in chunks(usize::MAX, skipped.len(), WIDTH) {
        binds.clear();
        for (partition, skip, cursor) in &skipped[range] {
            binds.extend([
                Bind::Text(write.reducer),
                Bind::Text(cursor),
                partition.map_or(Bind::NoText, |id| Bind::Text(id.as_str())),
                Bind::Text(skip.kind.as_str()),
                Bind::Text(&skip.message),
                Bind::Integer(i64::from(skip.attempts)),
                Bind::Integer(skip.time.as_micros()),
                Bind::Integer(i64::from(skip.by == SkippedBy::Operator)),
            ]);
        }
        Rows { head: HEAD, tail: "", width: WIDTH, binds: &binds }.execute(conn)?;
    }
    Ok(())
}
