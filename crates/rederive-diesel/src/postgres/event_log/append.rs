//! [`EventWriter`]: writes groups of appends.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Instant, SystemTime},
};

use diesel::{
    pg::PgConnection,
    prelude::*,
    result::{DatabaseErrorKind, Error},
};
use rederive_core::{Timestamp, error::panic_message};

use super::{
    super::{
        connections::{Connections, Failed, Line, in_doubt, text_of},
        fault::Fault,
        sql::{Bind, Schema, Sql},
        text::escaped,
    },
    doubt::{self, Outcome},
    listen::Listener,
};
use crate::{
    AppendError,
    append::{
        self, Appended, Crowd, Decided, Failure, Followers, Replies, Request, WriteEvents, Written,
    },
};

/// How often a group is tried: once more when a connection was lost before anything was committed, or
/// when ids had to be skipped.
const TRIES: usize = 3;

/// Writes events by a connection of its own.
pub(crate) struct EventWriter {
    connections: Arc<Connections>,
    line: Line,
    /// Begins a transaction and takes the lock, before anything is looked at, and before an id is given:
    /// the trigger would be too late for that.
    begin: String,
    listener: Arc<Listener>,
    crowd: Crowd,
}

/// What a transaction has inserted, should its outcome have to be looked up.
pub(super) struct Sent {
    /// The transaction.
    pub(super) id: i64,
    pub(super) ids: Vec<i64>,
    pub(super) time: Timestamp,
    replies: Vec<Result<Appended, AppendError>>,
}

/// Why a transaction was given up.
enum Stop {
    Error(Error),
    /// Somebody has inserted events with ids that the sequence had not given.
    IdsTaken,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Error(error)
    }
}

impl EventWriter {
    pub(crate) fn new(connections: &Arc<Connections>, listener: &Arc<Listener>) -> Self {
        let (connections, listener) = (Arc::clone(connections), Arc::clone(listener));
        let line = Line::new(&connections.connector);
        let begin = format!("{}; {}", connections.begin, lock(&connections.schema));
        Self { connections, line, begin, listener, crowd: Crowd::default() }
    }

    fn failure(&self, failed: &Failed<Stop>, begun: Instant) -> Failure {
        let (Failed::Begin(error) | Failed::Body(Stop::Error(error)) | Failed::Commit(error)) =
            failed
        else {
            let message = match failed {
                Failed::Panic(payload) => {
                    format!("a panic while appending: {}", panic_message(&**payload))
                }
                _ => "others insert events with ids of their own all the time".to_owned(),
            };
            return Failure { error: AppendError::Rejected { message }, try_alone: false };
        };
        let message = text_of(error);
        if Fault::of(error).is_transient() {
            let message = format!("{}: {message}", self.connections.target.name);
            let error = AppendError::Unavailable { message, waited: begun.elapsed() };
            return Failure { error, try_alone: false };
        }
        Failure { error: AppendError::Rejected { message }, try_alone: true }
    }
}

impl WriteEvents for EventWriter {
    fn write(&mut self, group: &[Request], _: &Followers<'_>) -> Result<Replies, Failure> {
        let begun = Instant::now();
        let mut tries = 1;
        loop {
            let mut sent = None;
            let schema = &self.connections.schema;
            let done = self.line.transaction(&self.begin, |conn| {
                sent = Some(insert(conn, schema, group)?);
                Ok(())
            });
            let failed = match (done, sent) {
                (Ok(()), Some(sent)) => return Ok(sent.replies),
                (Err(Failed::Commit(error)), Some(sent)) if in_doubt(&error) => {
                    let message = text_of(&error);
                    match doubt::look_up(&mut self.line, &self.connections, &sent) {
                        Outcome::Committed => return Ok(sent.replies),
                        Outcome::RolledBack => Failed::Begin(error),
                        Outcome::Unknown => {
                            let error = AppendError::InDoubt { message };
                            return Err(Failure { error, try_alone: false });
                        }
                    }
                }
                (Err(failed), _) => failed,
                // It cannot be done without having been sent.
                (Ok(()), None) => Failed::Begin(Error::NotFound),
            };
            let again = match &failed {
                Failed::Body(Stop::IdsTaken) => {
                    let skip = |conn: &mut PgConnection| skip_taken_ids(conn, schema);
                    self.line.transaction(&self.begin, skip).is_ok()
                }
                Failed::Begin(error) | Failed::Body(Stop::Error(error)) => {
                    Fault::of(error) == Fault::Connection
                }
                Failed::Commit(_) | Failed::Panic(_) => false,
            };
            if !again || tries >= TRIES {
                return Err(self.failure(&failed, begun));
            }
            tries += 1;
        }
    }

    fn await_crowd(&mut self, waiting: &dyn Fn() -> usize) {
        self.crowd.wait_beside(&self.connections.furthest, waiting);
    }

    fn written(&mut self, written: Written) {
        self.crowd.wrote(written);
    }

    fn appended(&mut self) {
        self.listener.announce();
    }
}

/// Decides on all requests in order, then inserts the events of those that may be appended. Nobody else
/// appends until the transaction ends.
fn insert(conn: &mut PgConnection, schema: &Schema, group: &[Request]) -> Result<Sent, Stop> {
    let time = Timestamp::from(SystemTime::now());
    let versions = stream_versions(conn, schema, group.iter().filter_map(Request::stream))?;
    let version = |stream: &str| Ok::<_, Error>(versions.get(stream).copied().unwrap_or(0));
    let Decided { replies, rows } = append::decide(group, i64::MAX, version)?;
    let (id, ids) = insert_rows(conn, schema, &rows, time)?;
    let appended = |range: std::ops::Range<usize>| Appended { ids: ids[range].to_vec(), time };
    let replies = replies.into_iter().map(|reply| reply.map(appended)).collect();
    Ok(Sent { id, ids, time, replies })
}

/// Waits until no other transaction appends, and keeps it so until this one ends.
fn lock(schema: &Schema) -> String {
    schema.sql(
        "SELECT pg_catalog.pg_advisory_xact_lock(1919247465,
            ('@rederive_events'::pg_catalog.regclass::pg_catalog.oid::pg_catalog.int8
             - 2147483648)::pg_catalog.int4)",
    )
}

/// Has the sequence go on above all ids there are.
fn skip_taken_ids(conn: &mut PgConnection, schema: &Schema) -> Result<(), Stop> {
    let text = schema.sql(
        "SELECT pg_catalog.setval(pg_catalog.pg_get_serial_sequence('@rederive_events', 'id')
                ::pg_catalog.regclass, pg_catalog.max(id)) FROM @rederive_events",
    );
    Sql { text: &text, binds: &[] }.rows(conn)?;
    Ok(())
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

/// Inserts the rows, in their order: the transaction, and the ids.
fn insert_rows(
    conn: &mut PgConnection,
    schema: &Schema,
    rows: &[append::Row<'_>],
    time: Timestamp,
) -> Result<(i64, Vec<i64>), Stop> {
    if rows.is_empty() {
        return Ok((0, Vec::new()));
    }
    // Each row is given its id before it is inserted, so that it is known which is whose.
    let text = schema.sql(
        "WITH given AS MATERIALIZED (
            SELECT pg_catalog.nextval((SELECT pg_catalog.pg_get_serial_sequence(
                '@rederive_events', 'id')::pg_catalog.regclass)) AS id, one.*
            FROM (SELECT * FROM ROWS FROM (pg_catalog.unnest(\0::pg_catalog.text[]),
                pg_catalog.unnest(\0::pg_catalog.int8[]), pg_catalog.unnest(\0::pg_catalog.text[]),
                pg_catalog.unnest(\0::pg_catalog.int8[]), pg_catalog.unnest(\0::pg_catalog.text[])
                ) WITH ORDINALITY AS one (event_type, event_version, stream, stream_version, data, nth)
                ORDER BY nth) AS one
        ), inserted AS (
            INSERT INTO @rederive_events
                (id, event_type, event_version, stream, stream_version, time, data)
            SELECT id, event_type, event_version, stream, stream_version, \0, data::pg_catalog.json
            FROM given
        )
        SELECT id, (SELECT pg_catalog.max(id) FROM @rederive_events), pg_catalog.txid_current()
        FROM given ORDER BY nth",
    );
    let binds = [
        Bind::Texts(rows.iter().map(|row| row.event.event_type.as_deref().map(escaped)).collect()),
        Bind::integers(rows.iter().map(|row| row.event.version.into())),
        Bind::Texts(rows.iter().map(|row| row.stream.map(|(stream, _)| escaped(stream))).collect()),
        Bind::BigInts(rows.iter().map(|row| row.stream.map(|(_, version)| version)).collect()),
        Bind::texts(rows.iter().map(|row| row.event.data.as_str())),
        Bind::integer(time.as_micros()),
    ];
    let (mut ids, mut transaction, mut newest) = (Vec::with_capacity(rows.len()), 0, 0);
    let given = Sql { text: &text, binds: &binds }.rows(conn).map_err(|error| match error {
        Error::DatabaseError(DatabaseErrorKind::UniqueViolation, told)
            if told.constraint_name() == Some("rederive_events_pkey") =>
        {
            Stop::IdsTaken
        }
        other => Stop::Error(other),
    })?;
    for mut row in given {
        ids.push(row.integer()?);
        newest = row.nullable_integer()?.unwrap_or(0);
        transaction = row.integer()?;
    }
    if ids.first().is_some_and(|first| *first <= newest) {
        return Err(Stop::IdsTaken);
    }
    if ids.len() != rows.len() || !ids.is_sorted_by(|a, b| a < b) {
        let text = "the server did not number the events in the order in which they were given";
        return Err(Error::DeserializationError(text.into()).into());
    }
    Ok((transaction, ids))
}
