//! The rows that tell which events were skipped.

use diesel::QueryResult;
use rederive_core::{
    Cursor, FailureKind, PartitionId, ReducerWrite, Skip, SkipRecord, SkippedBy, Timestamp,
};

use super::{
    execute::StepError,
    ids,
    lengths::check_cursor,
    progress::{decode, encode},
    sql::{Bind, Session},
    text::{escaped, unescaped},
};

/// Which skips to read.
pub(crate) enum Which<'a> {
    /// Those of one event.
    Of(&'a Cursor),
    /// A page of them all.
    Page { after: Option<(&'a Cursor, Option<&'a PartitionId>)>, limit: usize },
}

/// Reads skips of a reducer in the order of cursors and partitions.
pub(crate) fn read(
    session: &mut Session<'_>,
    reducer: &str,
    which: &Which<'_>,
) -> QueryResult<Vec<SkipRecord>> {
    const SELECT: &str = "SELECT partition_id, cursor, kind, message, attempts, time, by_operator
        FROM @rederive_skips WHERE reducer = \0";
    let mut binds = vec![Bind::text(escaped(reducer))];
    let (filter, limit) = match which {
        Which::Of(cursor) => {
            binds.push(Bind::text(encode(cursor)));
            (" AND cursor = \0", "")
        }
        Which::Page { after: None, limit } => {
            binds.push(Bind::limit(*limit));
            ("", " LIMIT \0")
        }
        Which::Page { after: Some((cursor, partition)), limit } => {
            let cursor = Bind::text(encode(cursor));
            let partition = Bind::Text(partition.map(|id| ids::key(id.as_str())));
            binds.extend([cursor.clone(), cursor, partition.clone(), partition]);
            binds.push(Bind::limit(*limit));
            (
                " AND (cursor > \0 OR cursor = \0 AND (partition_id > \0
                    OR partition_id IS NOT NULL AND \0 IS NULL))",
                " LIMIT \0",
            )
        }
    };
    let order = " ORDER BY cursor, partition_id NULLS FIRST";
    let rows = session.rows(&format!("{SELECT}{filter}{order}{limit}"), &binds)?;
    let mut keys = Vec::new();
    let mut skips = Vec::with_capacity(rows.len());
    for mut row in rows {
        let key = row.nullable_text()?;
        let has_partition = key.is_some();
        keys.extend(key);
        let skip = Skip {
            cursor: decode(row.text()?)?,
            // A kind that a later version has added counts as the most general one.
            kind: FailureKind::parse(&row.text()?).unwrap_or(FailureKind::Rejected),
            message: unescaped(row.text()?),
            attempts: u32::try_from(row.integer()?).unwrap_or(u32::MAX),
            time: Timestamp::from_micros(row.integer()?),
            by: if row.bool()? { SkippedBy::Operator } else { SkippedBy::Policy },
        };
        skips.push((has_partition, skip));
    }
    let mut ids = ids::of(session, keys)?.into_iter();
    let record = |(has_partition, skip)| {
        let partition = if has_partition { ids.next() } else { None };
        SkipRecord { partition, skip }
    };
    Ok(skips.into_iter().map(record).collect())
}

/// Whether the reducer has skipped any event.
pub(crate) fn any(session: &mut Session<'_>, reducer: &str) -> QueryResult<bool> {
    let text = "SELECT EXISTS (SELECT FROM @rederive_skips WHERE reducer = \0)";
    let row = session.row(text, &[Bind::text(escaped(reducer))])?;
    row.map_or(Ok(false), |mut row| row.bool())
}

/// Writes the skips of a commit.
pub(crate) fn record_skips(
    session: &mut Session<'_>,
    write: &ReducerWrite<'_>,
) -> Result<(), StepError> {
    let of_partitions = write
        .partitions
        .iter()
        .flat_map(|row| row.skips.iter().map(|skip| (Some(row.partition), *skip)));
    let of_none = write.skips.iter().map(|skip| (None, *skip));
    let skipped: Vec<(Option<&PartitionId>, &Skip)> = of_partitions.chain(of_none).collect();
    if skipped.is_empty() {
        return Ok(());
    }
    let text =
        "INSERT INTO @rederive_skips (reducer, cursor, partition_id, kind, message, attempts,
            time, by_operator)
        SELECT \0, v.* FROM unnest(\0, \0, \0, \0, \0, \0, \0) AS v";
    let skips = || skipped.iter().map(|(_, skip)| skip);
    let cursors: Vec<_> = skips().map(|skip| encode(&skip.cursor)).collect();
    cursors.iter().try_for_each(|cursor| check_cursor(cursor))?;
    let binds = [
        Bind::text(escaped(write.reducer)),
        Bind::texts(cursors),
        Bind::Texts(skipped.iter().map(|(id, _)| id.map(|id| ids::key(id.as_str()))).collect()),
        Bind::texts(skips().map(|skip| skip.kind.as_str())),
        Bind::texts(skips().map(|skip| escaped(&skip.message))),
        Bind::integers(skips().map(|skip| i64::from(skip.attempts))),
        Bind::integers(skips().map(|skip| skip.time.as_micros())),
        Bind::Bools(skips().map(|skip| Some(skip.by == SkippedBy::Operator)).collect()),
    ];
    session.execute(text, &binds)?;
    Ok(())
}
