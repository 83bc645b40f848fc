//! [`Appender`]: the thread that writes all appends of a database, many in one transaction.

use std::{
    collections::{HashMap, hash_map::Entry},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Instant, SystemTime},
};

use diesel::{dsl::max, prelude::*, result::Error, sqlite::SqliteConnection};
use rederive_core::{Timestamp, Wakers, error::panic_message};
use tokio::sync::{mpsc, oneshot};

use super::{
    connections::{Connections, Failed, in_doubt},
    rows::{Bind, Rows, chunks},
};
use crate::{AppendError, Expected, codec::Encoded, schema::rederive_events as events};

/// A transaction takes no further appends once it has so many events or bytes.
const MOST_EVENTS: usize = 4096;
const MOST_BYTES: usize = 4 << 20;

/// One call of `append`: all of its events are appended, next to each other, or none.
pub(crate) struct Request {
    pub(crate) stream: Option<(String, Expected)>,
    pub(crate) events: Vec<Encoded>,
    pub(crate) reply: Reply,
}

/// To whoever waits, which may have gone: it has been served all the same.
pub(crate) enum Reply {
    Async(oneshot::Sender<Result<Appended, AppendError>>),
    Blocking(std::sync::mpsc::SyncSender<Result<Appended, AppendError>>),
}

impl Reply {
    fn send(self, result: Result<Appended, AppendError>) {
        match self {
            Reply::Async(reply) => drop(reply.send(result)),
            Reply::Blocking(reply) => drop(reply.send(result)),
        }
    }
}

/// Where the events of a request stand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Appended {
    /// The id of the first; the others follow.
    pub(crate) first: i64,
    pub(crate) time: Timestamp,
}

/// Hands requests to a thread that begins with the first of them and ends, having written all that
/// was accepted, when this is dropped.
pub(crate) struct Appender {
    connections: Arc<Connections>,
    wakers: Arc<Wakers>,
    running: Mutex<Option<Running>>,
}

struct Running {
    queue: mpsc::Sender<Request>,
    thread: JoinHandle<()>,
}

impl Appender {
    pub(crate) fn new(connections: Arc<Connections>, wakers: Arc<Wakers>) -> Self {
        Self { connections, wakers, running: Mutex::new(None) }
    }

    /// The queue of the thread, which is started if it is not running.
    pub(crate) fn queue(&self) -> Result<mpsc::Sender<Request>, AppendError> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Running { queue, thread }) = &*running
            && !thread.is_finished()
        {
            return Ok(queue.clone());
        }
        let (queue, requests) = mpsc::channel(self.connections.options.append_queue);
        let (connections, wakers) = (Arc::clone(&self.connections), Arc::clone(&self.wakers));
        let thread = thread::Builder::new()
            .name("rederive-append".to_owned())
            .spawn(move || serve(&connections, &wakers, requests))
            .map_err(|error| AppendError::Unavailable {
                message: format!("cannot start a thread: {error}"),
                waited: std::time::Duration::ZERO,
            })?;
        *running = Some(Running { queue: queue.clone(), thread });
        Ok(queue)
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        let running = self.running.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Running { queue, thread }) = running {
            drop(queue);
            // A subscriber that is woken may drop the last handle, on that very thread.
            if thread.thread().id() != thread::current().id() {
                // It has caught every panic of its work.
                let _ = thread.join();
            }
        }
    }
}

/// Takes what has arrived while the last transaction ran, and writes it in one. When nothing
/// arrives, it waits for the first.
fn serve(connections: &Connections, wakers: &Wakers, mut requests: mpsc::Receiver<Request>) {
    while let Some(first) = requests.blocking_recv() {
        let size =
            |request: &Request| request.events.iter().map(|event| event.data.len()).sum::<usize>();
        let (mut count, mut bytes) = (first.events.len(), size(&first));
        let mut group = vec![first];
        while count < MOST_EVENTS
            && bytes < MOST_BYTES
            && let Ok(next) = requests.try_recv()
        {
            count += next.events.len();
            bytes += size(&next);
            group.push(next);
        }
        if write(connections, group) {
            // Subscribers are code of others, and this thread has to go on.
            let _ = catch_unwind(AssertUnwindSafe(|| wakers.wake()));
        }
    }
}

/// Writes one group and answers each request; true when something was appended.
fn write(connections: &Connections, group: Vec<Request>) -> bool {
    let begun = Instant::now();
    let done = connections.transaction(|conn| append(conn, &group));
    let failed = match done {
        Ok(replies) => {
            let appended = replies.iter().any(Result::is_ok);
            for (request, reply) in group.into_iter().zip(replies) {
                request.reply.send(reply);
            }
            return appended;
        }
        Err(failed) => failed,
    };
    // Alone, a request is told its own fault; otherwise each is tried alone.
    if group.len() > 1
        && let Failed::Body(error) = &failed
        && !super::fault::Fault::of(error).is_transient()
    {
        let mut appended = false;
        for request in group {
            appended |= write(connections, vec![request]);
        }
        return appended;
    }
    for request in group {
        request.reply.send(Err(explain(connections, &failed, begun)));
    }
    // In doubt, it may be there.
    matches!(failed, Failed::Commit(_))
}

fn explain(connections: &Connections, failed: &Failed<Error>, begun: Instant) -> AppendError {
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
        _ if super::fault::Fault::of(error).is_transient() => {
            let path = connections.target.path.display();
            AppendError::Unavailable {
                message: format!("{path}: {message}"),
                waited: begun.elapsed(),
            }
        }
        _ => AppendError::Rejected { message },
    }
}

/// Decides on all requests in order, then inserts the events of those that may be appended.
fn append(
    conn: &mut SqliteConnection,
    group: &[Request],
) -> QueryResult<Vec<Result<Appended, AppendError>>> {
    let time = Timestamp::from(SystemTime::now());
    let mut last = last_id(conn)?;
    let mut versions: HashMap<&str, i64> = HashMap::new();
    let mut replies = Vec::with_capacity(group.len());
    let mut rows = Vec::new();
    for request in group {
        let count = i64::try_from(request.events.len()).unwrap_or(i64::MAX);
        let Some(end) = last.checked_add(count) else {
            let message = "the ids of events are used up".to_owned();
            replies.push(Err(AppendError::Rejected { message }));
            continue;
        };
        let version = match &request.stream {
            None => None,
            Some((stream, expected)) => {
                let version = match versions.entry(stream) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(unknown) => unknown.insert(stream_version(conn, stream)?),
                };
                let actual = u64::try_from(*version).unwrap_or(0);
                if !expected.admits(actual) {
                    let (stream, expected) = (stream.clone(), *expected);
                    replies.push(Err(AppendError::Conflict { stream, expected, actual }));
                    continue;
                }
                let before = *version;
                *version += count;
                Some((stream.as_str(), before))
            }
        };
        for (event, nth) in request.events.iter().zip(1..) {
            rows.extend([
                Bind::Integer(last + nth),
                Bind::text(event.event_type.as_deref()),
                Bind::Integer(event.version.into()),
                Bind::text(version.map(|(stream, _)| stream)),
                Bind::integer(version.map(|(_, before)| before + nth)),
                Bind::Integer(time.as_micros()),
                Bind::Text(&event.data),
            ]);
        }
        replies.push(Ok(Appended { first: last + 1, time }));
        last = end;
    }
    const HEAD: &str = "INSERT INTO rederive_events
        (id, event_type, event_version, stream, stream_version, time, data) VALUES ";
    const WIDTH: usize = 7;
    for range in chunks(usize::MAX, rows.len() / WIDTH, WIDTH) {
        let binds = &rows[range.start * WIDTH..range.end * WIDTH];
        Rows { head: HEAD, tail: "", width: WIDTH, binds }.execute(conn)?;
    }
    Ok(replies)
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
        .first::<i64>(conn)
        .optional()?;
    Ok(given.unwrap_or(0))
}

/// The number of the stream's last event, zero for none.
pub(super) fn stream_version(conn: &mut SqliteConnection, stream: &str) -> QueryResult<i64> {
    let version = events::table
        .filter(events::stream.eq(stream))
        .select(max(events::stream_version))
        .first::<Option<i64>>(conn)?;
    Ok(version.unwrap_or(0))
}
