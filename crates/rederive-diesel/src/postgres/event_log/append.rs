//! [`EventWriter`]: writes groups of appends.

use std::{
    hash::{BuildHasher, RandomState},
    ops::Range,
    sync::Arc,
    time::Instant,
};

use diesel::{pg::PgConnection, prelude::*, result::Error};
use rederive_core::error::panic_message;

use super::{
    super::{
        connections::{Connections, Failed, Line, in_doubt, text_of},
        fault::Fault,
        sql::Schema,
    },
    backend::Backend,
    doubt::{Outcome, Trace},
    insert::{self, Inserted},
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
    backend: Option<Known>,
    /// Begins a transaction and takes the lock, before anything is looked at, and before an id is given:
    /// the trigger would be too late for that.
    begin: String,
    listener: Arc<Listener>,
    crowd: Crowd,
}

/// What is known of who serves a connection: nothing where the server does not tell.
struct Known {
    connection: u64,
    backend: Option<Backend>,
}

/// Which events of a group are whose.
type Shares = Vec<Result<Range<usize>, AppendError>>;

/// What a transaction has inserted, should its outcome have to be looked up.
struct Sent {
    inserted: Inserted,
    shares: Shares,
}

impl EventWriter {
    pub(crate) fn new(connections: &Arc<Connections>, listener: &Arc<Listener>) -> Self {
        let (connections, listener) = (Arc::clone(connections), Arc::clone(listener));
        let line = Line::new(&connections.committing);
        let begin = format!("{}; {}", connections.begin, insert::lock(&connections.schema));
        let crowd = Crowd::default();
        Self { connections, line, backend: None, begin, listener, crowd }
    }

    /// Appends by one statement, which is a transaction by itself. `None` if nothing was appended, and
    /// why shows when it is done step by step.
    ///
    /// Where streams stand is read before nobody else can append. If that changes meanwhile, the version
    /// of an event is there already.
    fn at_once(&mut self, group: &[Request]) -> Option<Result<Replies, Failure>> {
        if !self.connections.is_direct {
            return None;
        }
        let begun = Instant::now();
        let append_id = random_id();
        let Self { connections, line, backend, .. } = self;
        let schema = &connections.schema;
        let backend = known(backend, line, schema)?;
        let decided = line.statement(|conn| decide(conn, schema, group)).ok()?;
        let Decided { replies: shares, rows } = decided;
        if rows.is_empty() {
            return Some(Ok(replies(shares, &Appended::default())));
        }
        let done = line.statement(|conn| insert::insert(conn, schema, append_id, &rows));
        let events = match done {
            Ok(inserted) => inserted.events,
            Err(Failed::Commit(error)) => {
                let trace = Trace::Sent { to: backend, append_id, count: rows.len() };
                match trace.look_up(line, connections) {
                    Outcome::Committed(events) => events,
                    Outcome::RolledBack => return None,
                    Outcome::Unknown => return Some(Err(in_doubt_by(&error))),
                }
            }
            Err(Failed::Body(error)) if Fault::of(&error).is_transient() => {
                return Some(Err(unavailable(connections, &error, begun)));
            }
            Err(Failed::Begin(_) | Failed::Body(_) | Failed::Panic(_)) => return None,
        };
        backend.newest = events.ids.last().copied().unwrap_or(backend.newest);
        Some(Ok(replies(shares, &events)))
    }

    /// Appends in a transaction in which nobody else does from its beginning.
    fn by_steps(&mut self, group: &[Request]) -> Result<Replies, Failure> {
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
                (Ok(()), Some(Sent { inserted, shares })) => {
                    return Ok(replies(shares, &inserted.events));
                }
                (Err(Failed::Commit(error)), Some(Sent { inserted, shares }))
                    if in_doubt(&error) =>
                {
                    let trace = Trace::Inserted(&inserted);
                    match trace.look_up(&mut self.line, &self.connections) {
                        Outcome::Committed(events) => return Ok(replies(shares, &events)),
                        Outcome::RolledBack => Failed::Begin(error),
                        Outcome::Unknown => return Err(in_doubt_by(&error)),
                    }
                }
                (Err(failed), _) => failed,
                // It cannot be done without having been sent.
                (Ok(()), None) => Failed::Begin(Error::NotFound),
            };
            let again = match &failed {
                Failed::Body(error) if insert::are_ids_taken(error) => {
                    let skip = |conn: &mut PgConnection| insert::skip_taken_ids(conn, schema);
                    self.line.transaction(&self.begin, skip).is_ok()
                }
                Failed::Begin(error) | Failed::Body(error) => Fault::of(error) == Fault::Connection,
                Failed::Commit(_) | Failed::Panic(_) => false,
            };
            if !again || tries >= TRIES {
                return Err(failure(&self.connections, &failed, begun));
            }
            tries += 1;
        }
    }
}

impl WriteEvents for EventWriter {
    fn write(&mut self, group: &[Request], _: &Followers<'_>) -> Result<Replies, Failure> {
        match self.at_once(group) {
            Some(done) => done,
            None => self.by_steps(group),
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

/// Who serves the connection, asked once for each.
fn known<'k>(
    known: &'k mut Option<Known>,
    line: &mut Line,
    schema: &Schema,
) -> Option<&'k mut Backend> {
    let connection = line.connect()?;
    if known.as_ref().is_none_or(|known| known.connection != connection) {
        let backend = match line.statement(|conn| Backend::of(conn, schema)) {
            Ok(backend) => Some(backend),
            // There is no use in asking again.
            Err(Failed::Body(error)) if Fault::of(&error) == Fault::Statement => None,
            Err(_) => return None,
        };
        *known = Some(Known { connection, backend });
    }
    known.as_mut()?.backend.as_mut()
}

/// Decides on all requests in order, by where streams stand.
fn decide<'g>(
    conn: &mut PgConnection,
    schema: &Schema,
    group: &'g [Request],
) -> QueryResult<Decided<'g>> {
    let streams = group.iter().filter_map(Request::stream);
    let versions = insert::stream_versions(conn, schema, streams)?;
    append::decide(group, i64::MAX, |stream| Ok(versions.get(stream).copied().unwrap_or(0)))
}

/// Decides on all requests, then inserts the events of those that may be appended. Nobody else appends
/// until the transaction ends.
fn insert(conn: &mut PgConnection, schema: &Schema, group: &[Request]) -> QueryResult<Sent> {
    let Decided { replies: shares, rows } = decide(conn, schema, group)?;
    let inserted = match rows.is_empty() {
        true => Inserted::default(),
        false => insert::insert(conn, schema, random_id(), &rows)?,
    };
    Ok(Sent { inserted, shares })
}

/// An id that no other append has, in this process or elsewhere.
fn random_id() -> i64 {
    RandomState::new().hash_one(std::process::id()).cast_signed()
}

fn replies(shares: Shares, events: &Appended) -> Replies {
    let share = |range: Range<usize>| Appended {
        // All that was to be inserted was.
        ids: events.ids.get(range).unwrap_or_default().to_vec(),
        time: events.time,
    };
    shares.into_iter().map(|reply| reply.map(share)).collect()
}

fn failure(connections: &Connections, failed: &Failed<Error>, begun: Instant) -> Failure {
    let error = match failed {
        Failed::Begin(error) | Failed::Body(error) | Failed::Commit(error) => error,
        Failed::Panic(payload) => {
            let message = format!("a panic while appending: {}", panic_message(&**payload));
            return Failure { error: AppendError::Rejected { message }, try_alone: false };
        }
    };
    if insert::are_ids_taken(error) {
        let message = "others insert events with ids of their own all the time".to_owned();
        return Failure { error: AppendError::Rejected { message }, try_alone: false };
    }
    if Fault::of(error).is_transient() {
        return unavailable(connections, error, begun);
    }
    Failure { error: AppendError::Rejected { message: text_of(error) }, try_alone: true }
}

fn unavailable(connections: &Connections, error: &Error, begun: Instant) -> Failure {
    let message = format!("{}: {}", connections.target.name, text_of(error));
    let error = AppendError::Unavailable { message, waited: begun.elapsed() };
    Failure { error, try_alone: false }
}

fn in_doubt_by(error: &Error) -> Failure {
    Failure { error: AppendError::InDoubt { message: text_of(error) }, try_alone: false }
}
