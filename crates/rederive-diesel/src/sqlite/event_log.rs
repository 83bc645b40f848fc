//! [`SqliteEventLog`]: the events of a database, to append to and to follow.

use std::{
    fmt, future::Future, marker::PhantomData, pin::pin, sync::Arc, task, thread, time::Duration,
};

use diesel::{
    backend::Backend,
    deserialize::{self, FromSql, Queryable},
    dsl::{max, min},
    prelude::*,
    sql_types::Text,
    sqlite::Sqlite,
};
use rederive_core::{
    Cursor, CursorKind, EventLog, LogError, ReadError, Recorded, Slice, Timestamp, Undecodable,
    Wake,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::oneshot;

use super::{Database, appender::Request};
use crate::{AppendError, schema::rederive_events as events};

/// The event log in a [`Database`]: events of type `E`, stored as JSON and numbered 1, 2, 3, …
///
/// Ids grow in the order of commits and are never given twice, so a follower that reads what is
/// above its cursor misses nothing. Appends of the whole process are written by one thread, those
/// that arrive meanwhile together in the next transaction. Appending wakes the followers in this
/// process; those in another one find new events when they poll.
///
/// ```
/// use rederive_core::{Cursor, EventLog};
/// use rederive_diesel::{AppendError, Database, Expected};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, Serialize, Deserialize)]
/// enum AccountEvent {
///     Opened { id: String },
///     Deposited { id: String, amount: i64 },
/// }
///
/// # let directory = tempfile::tempdir()?;
/// # let file = directory.path().join("bank.db");
/// let db = Database::open(file)?;
/// let log = db.event_log::<AccountEvent>();
/// let opened = AccountEvent::Opened { id: "alice".into() };
/// let recorded = log.append_to_blocking("account-alice", Expected::NoStream, vec![opened])?;
/// assert_eq!(recorded[0].cursor, Cursor::from(1));
///
/// let deposited = || AccountEvent::Deposited { id: "alice".into(), amount: 5 };
/// log.append_to_blocking("account-alice", Expected::Version(1), vec![deposited()])?;
/// let late = log.append_to_blocking("account-alice", Expected::Version(1), vec![deposited()]);
/// assert!(matches!(late, Err(AppendError::Conflict { actual: 2, .. })));
/// assert_eq!(log.head()?, Cursor::from(2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SqliteEventLog<E> {
    database: Database,
    events: PhantomData<fn(E) -> E>,
}

/// Where a stream must stand for an append to go through.
///
/// The version of a stream is the number of its last event, counted from one; zero for a stream
/// without events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Expected {
    /// Anywhere.
    Any,
    /// The stream has no events yet.
    NoStream,
    /// The stream's last event has this number.
    Version(u64),
}

impl Expected {
    pub(crate) fn admits(self, actual: u64) -> bool {
        match self {
            Expected::Any => true,
            Expected::NoStream => actual == 0,
            Expected::Version(version) => actual == version,
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expected::Any => f.write_str("any version"),
            Expected::NoStream => f.write_str("version 0"),
            Expected::Version(version) => write!(f, "version {version}"),
        }
    }
}

impl<E> SqliteEventLog<E>
where
    E: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    pub(crate) fn new(database: Database) -> Self {
        Self { database, events: PhantomData }
    }

    /// The database.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Appends events, all of them next to each other, or none. Returns them with their cursors once
    /// they are durable. Works on any async runtime, and without one.
    ///
    /// Waits while the queue of appends is full. Dropping the future does not take back what has
    /// been queued: it may be appended all the same.
    ///
    /// # Errors
    /// [`AppendError`]: each variant says whether the events were appended.
    pub async fn append(&self, events: Vec<E>) -> Result<Vec<Recorded<E>>, AppendError> {
        self.request(None, events).await
    }

    /// Appends events to a stream, if it stands where it is expected to: optimistic concurrency for
    /// code that has decided on these events from the stream's earlier ones.
    ///
    /// # Errors
    /// [`AppendError::Conflict`] when the stream stands elsewhere: nothing was appended. Others as
    /// for [`append`](Self::append).
    pub async fn append_to(
        &self,
        stream: impl Into<String>,
        expected: Expected,
        events: Vec<E>,
    ) -> Result<Vec<Recorded<E>>, AppendError> {
        self.request(Some((stream.into(), expected)), events).await
    }

    /// [`append`](Self::append) for threads that may block; never call it in async code.
    ///
    /// # Errors
    /// As for [`append`](Self::append).
    pub fn append_blocking(&self, events: Vec<E>) -> Result<Vec<Recorded<E>>, AppendError> {
        block_on(self.append(events))
    }

    /// [`append_to`](Self::append_to) for threads that may block; never call it in async code.
    ///
    /// # Errors
    /// As for [`append_to`](Self::append_to).
    pub fn append_to_blocking(
        &self,
        stream: impl Into<String>,
        expected: Expected,
        events: Vec<E>,
    ) -> Result<Vec<Recorded<E>>, AppendError> {
        block_on(self.append_to(stream, expected, events))
    }

    /// The events of a stream above a version (zero for all), in order, up to `limit` of them. The
    /// last one's version is `after` plus their number.
    ///
    /// # Errors
    /// [`LogError`] when the database cannot be read or an event cannot be decoded.
    pub fn read_stream(
        &self,
        stream: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Recorded<E>>, LogError> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let rows = self.database.read(|conn| {
            events::table
                .filter(events::stream.eq(stream))
                .filter(events::stream_version.gt(after))
                .order(events::stream_version)
                .limit(as_i64(limit))
                .select((events::id, events::stream, events::time, events::data))
                .load::<Stored<E>>(conn)
        });
        let rows = rows.map_err(LogError::new)?;
        rows.into_iter().map(|row| recorded(row).map_err(LogError::new)).collect()
    }

    async fn request(
        &self,
        stream: Option<(String, Expected)>,
        events: Vec<E>,
    ) -> Result<Vec<Recorded<E>>, AppendError> {
        let encoded = events.iter().enumerate().map(|(index, event)| {
            serde_json::to_string(event)
                .map_err(|error| AppendError::Encode { index, message: error.to_string() })
        });
        let encoded = encoded.collect::<Result<Vec<_>, _>>()?;
        if events.is_empty() && stream.is_none() {
            return Ok(Vec::new());
        }
        // The thread does not hold a handle, so that it can end with the last one: this one, until
        // the answer has come.
        let database = self.database.clone();
        let (reply, answer) = oneshot::channel();
        let queue = database.0.appender.queue()?;
        let ended = || "the thread that appends has ended unexpectedly".to_owned();
        queue
            .send(Request { stream, events: encoded, reply })
            .await
            .map_err(|_| AppendError::Unavailable { message: ended(), waited: Duration::ZERO })?;
        drop(queue);
        let appended = answer.await.map_err(|_| AppendError::InDoubt { message: ended() })??;
        let recorded = events.into_iter().zip(0..).map(|(data, nth)| Recorded {
            cursor: cursor_of(appended.first + nth),
            time: appended.time,
            data,
        });
        Ok(recorded.collect())
    }
}

impl<E> EventLog for SqliteEventLog<E>
where
    E: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    type Event = E;

    fn cursor_kind(&self) -> CursorKind {
        CursorKind::Integer
    }

    fn fetch(&self, after: &Cursor, limit: usize) -> Result<Slice<E>, LogError> {
        let limit = limit.max(1);
        let from = id_of(after)?;
        let rows = self.database.read(|conn| {
            events::table
                .filter(events::id.gt(from))
                .order(events::id)
                .limit(as_i64(limit))
                .select((events::id, events::stream, events::time, events::data))
                .load::<Stored<E>>(conn)
        });
        let rows = rows.map_err(LogError::new)?;
        let all = rows.len() < limit;
        let end = rows.last().map_or_else(|| after.clone(), |(id, ..)| cursor_of(*id));
        let mut slice = Slice::new(Vec::with_capacity(rows.len()), end, all);
        for row in rows {
            match recorded(row) {
                Ok(event) => slice.events.push(event),
                Err(undecodable) => slice.undecodable.push(undecodable),
            }
        }
        Ok(slice)
    }

    fn find(&self, cursor: &Cursor) -> Result<Option<Recorded<E>>, ReadError> {
        let id = id_of(cursor)?;
        if cursor_of(id) != *cursor {
            return Ok(None);
        }
        let row = self.database.read(|conn| {
            events::table
                .find(id)
                .select((events::id, events::stream, events::time, events::data))
                .first::<Stored<E>>(conn)
                .optional()
        });
        let row = row.map_err(LogError::new)?;
        Ok(row.map(recorded).transpose()?)
    }

    fn head(&self) -> Result<Cursor, LogError> {
        let head = self
            .database
            .read(|conn| events::table.select(max(events::id)).first::<Option<i64>>(conn));
        Ok(head.map_err(LogError::new)?.map_or(Cursor::Start, cursor_of))
    }

    fn count(&self, after: &Cursor) -> Result<u64, LogError> {
        let after = id_of(after)?;
        // From the ids, which have gaps only where events were deleted: counting the rows would
        // read them all.
        let ends = self.database.read(|conn| {
            let first = events::table.select(min(events::id)).first::<Option<i64>>(conn)?;
            let last = events::table.select(max(events::id)).first::<Option<i64>>(conn)?;
            Ok(first.zip(last))
        });
        let Some((first, last)) = ends.map_err(LogError::new)? else { return Ok(0) };
        Ok(u64::try_from(last.saturating_sub(after.max(first.saturating_sub(1)))).unwrap_or(0))
    }

    fn subscribe(&self, wake: std::sync::Weak<Wake>) {
        self.database.0.wakers.add(wake);
    }
}

impl<E> Clone for SqliteEventLog<E> {
    fn clone(&self) -> Self {
        Self { database: self.database.clone(), events: PhantomData }
    }
}

impl<E> fmt::Debug for SqliteEventLog<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SqliteEventLog").field(&self.database).finish()
    }
}

type Stored<E> = (i64, Option<String>, i64, Decoded<E>);

/// An event decoded straight from SQLite's memory. What the decoder said is data, with the text that
/// it was said of: a row that cannot be decoded must not hide others.
struct Decoded<E>(Result<E, (String, Arc<str>)>);

impl<E: DeserializeOwned> FromSql<Text, Sqlite> for Decoded<E> {
    fn from_sql(mut text: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        let text = text.read_text();
        Ok(Self(serde_json::from_str(text).map_err(|error| (error.to_string(), text.into()))))
    }
}

impl<E: DeserializeOwned> Queryable<Text, Sqlite> for Decoded<E> {
    type Row = Self;

    fn build(row: Self) -> deserialize::Result<Self> {
        Ok(row)
    }
}

fn recorded<E>((id, stream, time, Decoded(data)): Stored<E>) -> Result<Recorded<E>, Undecodable> {
    let (cursor, time) = (cursor_of(id), Timestamp::from_micros(time));
    data.map_or_else(
        |(message, raw)| {
            let mut undecodable = Undecodable::new(cursor.clone(), message);
            undecodable.time = Some(time);
            undecodable.stream = stream.map(Arc::from);
            undecodable.raw = Some(raw);
            Err(undecodable)
        },
        |data| Ok(Recorded { cursor: cursor.clone(), time, data }),
    )
}

fn cursor_of(id: i64) -> Cursor {
    Cursor::Integer(id.unsigned_abs())
}

/// The id of a cursor, or the highest one there can be.
fn id_of(cursor: &Cursor) -> Result<i64, LogError> {
    match cursor {
        Cursor::Start => Ok(0),
        Cursor::Integer(id) => Ok(i64::try_from(*id).unwrap_or(i64::MAX)),
        Cursor::Text(text) => {
            Err(LogError::new(format!("its cursors are integers, but {text:?} is text")))
        }
    }
}

fn as_i64(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Runs a future on this thread, which sleeps while it waits.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(thread::Thread);

    impl task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Arc::new(Unpark(thread::current())).into();
    let mut context = task::Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            task::Poll::Ready(output) => return output,
            task::Poll::Pending => thread::park(),
        }
    }
}
