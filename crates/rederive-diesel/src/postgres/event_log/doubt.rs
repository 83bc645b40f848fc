//! Finding out whether events were appended, when that was not answered.

use std::{
    thread,
    time::{Duration, Instant},
};

use diesel::{QueryResult, pg::PgConnection};

use super::{
    super::{
        connections::{Connections, Failed, Line},
        sql::{Bind, Schema, Sql},
    },
    backend::{Backend, Fate},
    insert::{Inserted, appended},
};
use crate::append::Appended;

/// How long is waited before it is asked again.
const PAUSE: Duration = Duration::from_millis(50);

/// What became of an append.
#[derive(Debug)]
pub(super) enum Outcome {
    Committed(Appended),
    RolledBack,
    Unknown,
}

/// What is known of an append that was not answered.
pub(super) enum Trace<'a> {
    /// What a transaction has inserted whose COMMIT was sent.
    Inserted(&'a Inserted),
    /// A statement was sent.
    Sent { to: &'a Backend, append_id: i64, count: usize },
}

impl Trace<'_> {
    /// Asks the server until it knows, or cannot be reached for as long as may be waited for a
    /// connection.
    pub(super) fn look_up(&self, line: &mut Line, connections: &Connections) -> Outcome {
        let begun = Instant::now();
        let mut is_lost = false;
        loop {
            let asked = line.transaction(&connections.begin, |conn| {
                if is_lost {
                    self.end(conn)?;
                }
                self.ask(conn, &connections.schema)
            });
            match asked {
                Ok(Some(outcome)) => return outcome,
                // It is being committed, or the server has not noticed yet that we are gone: then all
                // who append wait for it.
                Ok(None) => is_lost = true,
                Err(Failed::Begin(_) | Failed::Body(_) | Failed::Commit(_)) => {}
                Err(Failed::Panic(_)) => return Outcome::Unknown,
            }
            if begun.elapsed() > connections.options.connect_timeout {
                return Outcome::Unknown;
            }
            thread::sleep(PAUSE);
        }
    }

    /// Ends what still waits for our next word, which is never to come, or for others. What has got its
    /// COMMIT is left alone, as it may wait for a stand-by.
    fn end(&self, conn: &mut PgConnection) -> QueryResult<()> {
        match self {
            Trace::Inserted(inserted) => {
                let text = "SELECT pg_catalog.pg_terminate_backend(pid)
                    FROM pg_catalog.pg_stat_activity
                    WHERE backend_xid::pg_catalog.text::pg_catalog.int8 = \0 & 4294967295
                        AND state = 'idle in transaction'";
                let binds = [Bind::integer(inserted.transaction)];
                Sql { text, binds: &binds }.rows(conn).map(drop)
            }
            Trace::Sent { to, .. } => to.end(conn),
        }
    }

    /// `None` when the server cannot tell yet. In this order: once it is said to be over, its events are
    /// seen or never will be.
    fn ask(&self, conn: &mut PgConnection, schema: &Schema) -> QueryResult<Option<Outcome>> {
        match self {
            Trace::Inserted(inserted) => {
                let status = status(conn, inserted.transaction)?;
                let all = count(conn, schema, inserted)? == inserted.events.ids.len();
                Ok(match status.as_str() {
                    _ if all => Some(Outcome::Committed(inserted.events.clone())),
                    "in progress" => None,
                    "aborted" => Some(Outcome::RolledBack),
                    // A transaction of that number was committed, or is not known here: this may be
                    // another server, which has taken over without having heard of ours.
                    _ => Some(Outcome::Unknown),
                })
            }
            Trace::Sent { to, append_id, count } => {
                let fate = to.fate(conn)?;
                if matches!(fate, Fate::Lives) {
                    return Ok(None);
                }
                let found = find(conn, schema, to.newest, *append_id, *count)?;
                Ok(Some(match fate {
                    _ if found.ids.len() == *count => Outcome::Committed(found),
                    Fate::Gone if found.ids.is_empty() => Outcome::RolledBack,
                    _ => Outcome::Unknown,
                }))
            }
        }
    }
}

/// What the server says of a transaction. One above all that have ended is under way, or this server has
/// not come to it: asking for that is an error.
fn status(conn: &mut PgConnection, transaction: i64) -> QueryResult<String> {
    let text = "SELECT CASE
        WHEN \0 >= pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())
        THEN 'in progress'
        ELSE coalesce(pg_catalog.txid_status(\0), 'unknown') END";
    let binds = [Bind::integer(transaction), Bind::integer(transaction)];
    let status = Sql { text, binds: &binds }.row(conn)?;
    status.map_or(Ok(String::new()), |mut row| row.text())
}

/// How many of these events are there.
fn count(conn: &mut PgConnection, schema: &Schema, inserted: &Inserted) -> QueryResult<usize> {
    let text = schema
        .sql("SELECT pg_catalog.count(*) FROM @rederive_events WHERE id = ANY(\0) AND time = \0");
    let ids = inserted.events.ids.iter().copied();
    let binds = [Bind::integers(ids), Bind::integer(inserted.events.time.as_micros())];
    let count = Sql { text: &text, binds: &binds }.row(conn)?;
    let count = count.map_or(Ok(0), |mut row| row.integer())?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// The events of an append, whose ids are above this one: the transaction of the first of them has
/// inserted all.
fn find(
    conn: &mut PgConnection,
    schema: &Schema,
    after: i64,
    append_id: i64,
    count: usize,
) -> QueryResult<Appended> {
    let text = schema.sql(
        "SELECT event.id, event.time FROM @rederive_events AS event,
            (SELECT id, xmin FROM @rederive_events WHERE id > \0 AND append_id = \0
                ORDER BY id LIMIT 1) AS first
            WHERE event.id >= first.id AND event.xmin = first.xmin
            ORDER BY event.id LIMIT \0",
    );
    let binds = [Bind::integer(after), Bind::integer(append_id), Bind::limit(count)];
    appended(Sql { text: &text, binds: &binds }.rows(conn)?)
}
