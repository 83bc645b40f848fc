//! [`EventWriter`]: writes groups of appends.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use diesel::{dsl::max, prelude::*, result::Error, sqlite::SqliteConnection};
use rederive_core::{Tentative, Timestamp, error::panic_message};

use super::{
    connections::{Connections, Done, Failed, Joined, Offer, Unjoined, in_doubt},
    fault::Fault,
    rows::{Bind, Rows, chunks},
};
use crate::{
    AppendError,
    append::{
        self, Appended, Crowd, Decided, Failure, Followers, Replies, Request, Seldom, WriteEvents,
        Written,
    },
    schema::rederive_events as events,
};

/// Writes events by the connection that all writers of a database share.
pub(crate) struct EventWriter {
    connections: Arc<Connections>,
    crowd: Crowd,
    /// Whether reducers are let to join a transaction.
    joining: Seldom,
    /// The last event that was appended.
    last: Option<u64>,
}

impl EventWriter {
    pub(crate) fn new(connections: Arc<Connections>) -> Self {
        Self { connections, crowd: Crowd::default(), joining: Seldom::default(), last: None }
    }

    /// Has the group written by a transaction that reducers may join, if they are likely to.
    fn write_jointly(
        &mut self,
        group: &[Request],
        followers: &Followers<'_>,
    ) -> Option<Result<Replies, Failed<Error>>> {
        let patience = self.connections.options.join_time;
        // One that has kept up is likely to be there.
        let keeps_up = |last: u64| self.connections.furthest.has_reached(last);
        if patience.is_zero() || !self.last.is_some_and(keeps_up) || !self.joining.is_due() {
            return None;
        }
        let joint = Arc::clone(&self.connections.joint);
        let (events, confirm) = Tentative::new(move || joint.hurry());
        let offer = |replies: &Replies| {
            let tell = followers.ahead(group, replies, &events)?;
            Some(Offer { events: events.clone(), confirm, patience, tell })
        };
        match self.connections.joint_transaction(|conn| insert(conn, group), offer) {
            Ok(Done { value, joined }) => {
                if let Some(Joined { joined, missed }) = joined {
                    self.joining.tried(joined);
                    if missed {
                        followers.wake();
                    }
                }
                Some(Ok(value))
            }
            Err(Unjoined::Failed(failed)) => Some(Err(failed)),
            Err(Unjoined::Broken) => {
                // What reducers do must not keep anybody from appending.
                self.joining.harmed();
                followers.take_back();
                None
            }
        }
    }
}

impl WriteEvents for EventWriter {
    fn write(&mut self, group: &[Request], followers: &Followers<'_>) -> Result<Replies, Failure> {
        let begun = Instant::now();
        let written = match self.write_jointly(group, followers) {
            Some(written) => written,
            None => self.connections.transaction(|conn| insert(conn, group)),
        };
        written.map_err(|failed| {
            let blames = |error| !Fault::of(error).is_transient();
            let try_alone = matches!(&failed, Failed::Body(error) if blames(error));
            Failure { error: self.explain(&failed, begun), try_alone }
        })
    }

    fn written(&mut self, written: Written) {
        self.last = Some(written.id);
        self.crowd.wrote(written);
    }

    fn await_crowd(&mut self, waiting: &dyn Fn() -> usize) {
        self.crowd.wait(&self.connections.furthest, waiting);
    }
}

impl EventWriter {
    fn explain(&self, failed: &Failed<Error>, begun: Instant) -> AppendError {
        let (Failed::Begin(error) | Failed::Body(error) | Failed::Commit(error)) = failed else {
            let text = match failed {
                Failed::Panic(payload) => panic_message(&**payload),
                _ => String::new(),
            };
            return AppendError::Rejected { message: format!("a panic while appending: {text}") };
        };
        let message = error.to_string();
        match failed {
            Failed::Commit(error) if in_doubt(error) => AppendError::InDoubt { message },
            Failed::Begin(_) => AppendError::Unavailable { message, waited: begun.elapsed() },
            _ if Fault::of(error).is_transient() => {
                let path = self.connections.target.path.display();
                AppendError::Unavailable {
                    message: format!("{path}: {message}"),
                    waited: begun.elapsed(),
                }
            }
            _ => AppendError::Rejected { message },
        }
    }
}

/// Decides on all requests in order, then inserts the events of those that may be appended.
fn insert(
    conn: &mut SqliteConnection,
    group: &[Request],
) -> QueryResult<Vec<Result<Appended, AppendError>>> {
    let time = Timestamp::from(SystemTime::now());
    let last = last_id(conn)?;
    let Decided { replies, rows } =
        append::decide(group, i64::MAX - last, |stream| stream_version(conn, stream))?;
    let mut binds = Vec::new();
    for (append::Row { event, stream }, nth) in rows.iter().zip(1..) {
        binds.extend([
            Bind::Integer(last + nth),
            Bind::text(event.event_type.as_deref()),
            Bind::Integer(event.version.into()),
            Bind::text(stream.map(|(stream, _)| stream)),
            Bind::integer(stream.map(|(_, version)| version)),
            Bind::Integer(time.as_micros()),
            Bind::Text(&event.data),
        ]);
    }
    const HEAD: &str = "INSERT INTO rederive_events
        (id, event_type, event_version, stream, stream_version, time, data) VALUES ";
    const WIDTH: usize = 7;
    for range in chunks(usize::MAX, rows.len(), WIDTH) {
        let binds = &binds[range.start * WIDTH..range.end * WIDTH];
        Rows { head: HEAD, tail: "", width: WIDTH, binds }.execute(conn)?;
    }
    let ids: Vec<i64> = rows.iter().zip(1..).map(|(_, nth)| last + nth).collect();
    let appended = |range: std::ops::Range<usize>| Appended { ids: ids[range].to_vec(), time };
    Ok(replies.into_iter().map(|reply| reply.map(appended)).collect())
}

/// The highest id that was ever given, even if its event has been deleted.
fn last_id(conn: &mut SqliteConnection) -> QueryResult<i64> {
    diesel::table! {
        sqlite_sequence (name) {
            name -> Text,
            seq -> BigInt,
        }
    }
    let given = sqlite_sequence::table
        .filter(sqlite_sequence::name.eq("rederive_events"))
        .select(sqlite_sequence::seq)
        // Not `first`: SQLite prepares a statement anew each time its `LIMIT` is bound.
        .get_result::<i64>(conn)
        .optional()?;
    Ok(given.unwrap_or(0))
}

/// The number of the stream's last event, zero for none.
pub(super) fn stream_version(conn: &mut SqliteConnection, stream: &str) -> QueryResult<i64> {
    let version = events::table
        .filter(events::stream.eq(stream))
        .select(max(events::stream_version))
        .get_result::<Option<i64>>(conn)?;
    Ok(version.unwrap_or(0))
}
