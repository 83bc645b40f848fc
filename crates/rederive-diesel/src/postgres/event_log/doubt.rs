//! Finding out whether a transaction was committed whose COMMIT was not answered.

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
    append::Sent,
};

/// How long is waited before it is asked again.
const PAUSE: Duration = Duration::from_millis(50);

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Committed,
    RolledBack,
    Unknown,
}

/// Asks the server until it knows, or cannot be reached for as long as may be waited for a
/// connection.
pub(super) fn look_up(line: &mut Line, connections: &Connections, sent: &Sent) -> Outcome {
    let begun = Instant::now();
    let mut is_lost = false;
    loop {
        let asked = line.transaction(&connections.begin, |conn| {
            if is_lost {
                end(conn, sent)?;
            }
            ask(conn, &connections.schema, sent)
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

/// Ends the transaction if it still waits for our next word, which is never to come. One that has
/// got its COMMIT is left alone, as it may wait for a stand-by.
fn end(conn: &mut PgConnection, sent: &Sent) -> QueryResult<()> {
    let text = "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
        WHERE backend_xid::pg_catalog.text::pg_catalog.int8 = \0 & 4294967295
            AND state = 'idle in transaction'";
    Sql { text, binds: &[Bind::integer(sent.id)] }.rows(conn).map(drop)
}

/// `None` when the server cannot tell yet.
fn ask(conn: &mut PgConnection, schema: &Schema, sent: &Sent) -> QueryResult<Option<Outcome>> {
    if sent.ids.is_empty() {
        return Ok(Some(Outcome::Committed));
    }
    // In this order: once it is said to be over, its events are seen or never will be. What is above
    // all that have ended is under way, or this server has not come to it: asking for that is an error.
    let text = "SELECT CASE
        WHEN \0 >= pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())
        THEN 'in progress'
        ELSE coalesce(pg_catalog.txid_status(\0), 'unknown') END";
    let binds = [Bind::integer(sent.id), Bind::integer(sent.id)];
    let status = Sql { text, binds: &binds }.row(conn)?;
    let status = status.map_or(Ok(String::new()), |mut row| row.text())?;
    let text = schema
        .sql("SELECT pg_catalog.count(*) FROM @rederive_events WHERE id = ANY(\0) AND time = \0");
    let binds = [Bind::integers(sent.ids.iter().copied()), Bind::integer(sent.time.as_micros())];
    let count = Sql { text: &text, binds: &binds }.row(conn)?;
    let count = count.map_or(Ok(0), |mut row| row.integer())?;
    let all = usize::try_from(count) == Ok(sent.ids.len());
    Ok(match status.as_str() {
        _ if all => Some(Outcome::Committed),
        "in progress" => None,
        "aborted" => Some(Outcome::RolledBack),
        // A transaction of that number was committed, or is not known here: this may be another
        // server, which has taken over without having heard of ours.
        _ => Some(Outcome::Unknown),
    })
}
