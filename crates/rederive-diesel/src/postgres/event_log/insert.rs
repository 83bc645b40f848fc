//! What is asked of the server to append events.

use std::collections::HashMap;

use diesel::{
    QueryResult,
    pg::PgConnection,
    result::{DatabaseErrorKind, Error},
};
use rederive_core::Timestamp;

use super::super::{
    sql::{Bind, Cells, Schema, Sql},
    text::escaped,
};
use crate::append::{Appended, Row};

/// Events that were inserted.
#[derive(Default)]
pub(super) struct Inserted {
    /// The transaction that did it.
    pub(super) transaction: i64,
    pub(super) events: Appended,
}

/// Waits until no other transaction appends, and keeps it so until this one ends.
pub(super) fn lock(schema: &Schema) -> String {
    schema.sql(
        "SELECT pg_catalog.pg_advisory_xact_lock(1919247465,
            ('@rederive_events'::pg_catalog.regclass::pg_catalog.oid::pg_catalog.int8
             - 2147483648)::pg_catalog.int4)",
    )
}

/// The numbers of the last events of these streams, zero for none.
pub(super) fn stream_versions<'s>(
    conn: &mut PgConnection,
    schema: &Schema,
    streams: impl IntoIterator<Item = &'s str>,
) -> QueryResult<HashMap<&'s str, i64>> {
    let mut streams: Vec<&str> = streams.into_iter().collect();
    streams.sort_unstable();
    streams.dedup();
    if streams.is_empty() {
        return Ok(HashMap::new());
    }
    let text = schema.sql(
        "SELECT coalesce((SELECT stream_version FROM @rederive_events AS event
                WHERE event.stream IS NOT NULL AND event.stream = given.stream
                ORDER BY stream_version DESC LIMIT 1), 0)
            FROM pg_catalog.unnest(\0::pg_catalog.text[]) WITH ORDINALITY AS given (stream, nth)
            ORDER BY nth",
    );
    let binds = [Bind::texts(streams.iter().map(|stream| escaped(stream)))];
    let rows = Sql { text: &text, binds: &binds }.rows(conn)?;
    let known = streams.iter().zip(rows).map(|(stream, mut row)| {
        let version = row.integer()?;
        Ok((*stream, version))
    });
    known.collect()
}

/// Inserts the rows, in their order, having waited until no other transaction appends. The first of
/// them gets the id of the append, which no other has.
pub(super) fn insert(
    conn: &mut PgConnection,
    schema: &Schema,
    append_id: i64,
    rows: &[Row<'_>],
) -> QueryResult<Inserted> {
    let text = schema.sql(
        "SELECT pg_catalog.txid_current(), id, time
            FROM @rederive_append(\0, \0, \0, \0, \0, \0)",
    );
    let binds = [
        Bind::integer(append_id),
        Bind::Texts(rows.iter().map(|row| row.event.event_type.as_deref().map(escaped)).collect()),
        Bind::integers(rows.iter().map(|row| row.event.version.into())),
        Bind::Texts(rows.iter().map(|row| row.stream.map(|(stream, _)| escaped(stream))).collect()),
        Bind::BigInts(rows.iter().map(|row| row.stream.map(|(_, version)| version)).collect()),
        Bind::texts(rows.iter().map(|row| row.event.data.as_str())),
    ];
    let mut rows = Sql { text: &text, binds: &binds }.rows(conn)?;
    let mut transaction = 0;
    for row in &mut rows {
        transaction = row.integer()?;
    }
    Ok(Inserted { transaction, events: appended(rows)? })
}

/// Events, of which a row tells the id and the time, which is that of the server's clock.
pub(super) fn appended(rows: Vec<Cells>) -> QueryResult<Appended> {
    let (mut ids, mut time) = (Vec::with_capacity(rows.len()), Timestamp::default());
    for mut row in rows {
        ids.push(row.integer()?);
        time = Timestamp::from_micros(row.integer()?);
    }
    Ok(Appended { ids, time })
}

/// Whether nothing was inserted because somebody has inserted events with ids that the sequence had not
/// given.
pub(super) fn are_ids_taken(error: &Error) -> bool {
    matches!(error, Error::DatabaseError(DatabaseErrorKind::UniqueViolation, told)
        if told.constraint_name() == Some("rederive_events_pkey"))
}

/// Has the sequence go on above all ids there are.
pub(super) fn skip_taken_ids(conn: &mut PgConnection, schema: &Schema) -> QueryResult<()> {
    let text = schema.sql(
        "SELECT pg_catalog.setval(pg_catalog.pg_get_serial_sequence('@rederive_events', 'id')
                ::pg_catalog.regclass, pg_catalog.max(id)) FROM @rederive_events",
    );
    Sql { text: &text, binds: &[] }.rows(conn).map(drop)
}
