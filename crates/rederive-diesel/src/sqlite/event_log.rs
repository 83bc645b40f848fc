//! [`SqliteEventLog`]: the events of a database, to append to and to follow.

use std::{borrow::Cow, fmt, sync::Arc};

use diesel::{
    dsl::{max, min},
    prelude::*,
};
use rederive_core::{
    Cursor, CursorKind, EventLog, EventTypes, LogError, ReadError, Recorded, Slice, Wake,
};
use serde::{Serialize, de::DeserializeOwned};

use super::{SqliteDatabase, event_writer::stream_version, read};
use crate::{
    append::append_methods,
    codec::{Codec, Upcasts},
    read::{MOST_SEARCHED, Selection, cursor_of, id_of},
    schema::rederive_events as events,
};

/// The event log in a [`SqliteDatabase`]: events of type `E`, stored as JSON and numbered 1, 2, 3, …
///
/// Ids grow in the order of commits and are never given twice, so a follower that reads what is
/// above its cursor misses nothing. Appends of the whole process are written by one thread, those
/// that arrive meanwhile together in the next transaction; for at most 20 ms it lets reducers of the
/// same database go first, and those come back who append again once their events have taken effect.
/// Appending wakes the followers in this process; those in another one find new events when they poll.
///
/// Beside each event stands the name of its type: the variant, if the events are an enum as serde
/// writes it by default, or what [`typed_by`](Self::typed_by) says. So reducers that want some types
/// only ([`Reducer::event_types`](rederive_core::Reducer::event_types)) are spared the others, and
/// events of an old form can be brought up to date: [`upcast`](Self::upcast).
///
/// ```
/// use rederive_core::{Cursor, EventLog};
/// use rederive_diesel::{AppendError, SqliteDatabase, Expected};
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
/// let db = SqliteDatabase::open(file)?;
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
    pub(super) database: SqliteDatabase,
    pub(super) codec: Arc<Codec<E>>,
}

append_methods!(SqliteEventLog);

impl<E> SqliteEventLog<E>
where
    E: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    pub(crate) fn new(database: SqliteDatabase) -> Self {
        Self { database, codec: Arc::default() }
    }

    /// The same log, in which the types of events are named by this function: for events that are
    /// not an enum, or one that serde writes in another way than by default.
    ///
    /// The name of an event must not depend on the handle that appends it: use one function for all
    /// of a log.
    ///
    /// ```
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Event { kind: String, text: String }
    ///
    /// # let directory = tempfile::tempdir()?;
    /// # let db = rederive_diesel::SqliteDatabase::open(directory.path().join("x.db"))?;
    /// let log = db.event_log::<Event>().typed_by(|event| event.kind.as_str());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn typed_by(
        &self,
        type_of: impl for<'e> Fn(&'e E) -> &'e str + Send + Sync + 'static,
    ) -> Self {
        let codec = Arc::new(self.codec.with_type_of(Arc::new(type_of)));
        Self { database: self.database.clone(), codec }
    }

    /// The same log, which knows the history of its event types: what was stored in an old form is
    /// read as an event of today. Append to it by this handle, too; see [`Upcasts`].
    #[must_use]
    pub fn upcast(&self, history: Upcasts) -> Self {
        let codec = Arc::new(self.codec.with_upcasts(history));
        Self { database: self.database.clone(), codec }
    }

    /// The database.
    pub fn database(&self) -> &SqliteDatabase {
        &self.database
    }

    /// The events of a stream above a version (zero for all), in order, up to `limit` of them. The
    /// last one's version is `after` plus their number.
    ///
    /// # Errors
    /// [`ReadError`] when the database cannot be read or an event cannot be decoded.
    pub fn read_stream(
        &self,
        stream: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Recorded<E>>, ReadError> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let selection = Selection::Stream { stream, after };
        let read = self.read(|conn| read::load(conn, &self.codec, selection, limit))?;
        Ok(read.into_events()?)
    }

    fn stream_version(&self, stream: &str) -> Result<i64, LogError> {
        self.read(|conn| stream_version(conn, stream))
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&mut diesel::SqliteConnection) -> QueryResult<T>,
    ) -> Result<T, LogError> {
        self.database.0.connections.joint.reads();
        self.database.read(read).map_err(LogError::new)
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
        let (limit, from) = (limit.max(1), id_of(after)?);
        let selection = Selection::After(from);
        let read = self.read(|conn| read::load(conn, &self.codec, selection, limit))?;
        let all = read.len() < limit;
        let end = read.last().map_or_else(|| after.clone(), cursor_of);
        Ok(read.into_slice(end, all))
    }

    fn fetch_types(
        &self,
        after: &Cursor,
        limit: usize,
        types: &EventTypes,
    ) -> Result<Slice<E>, LogError> {
        let Some(types) = self.codec.stored_names(types) else { return self.fetch(after, limit) };
        let (limit, from) = (limit.max(1), id_of(after)?);
        let (read, upto, head) = self.read(|conn| {
            let head = events::table.select(max(events::id)).first::<Option<i64>>(conn)?;
            let head = head.unwrap_or(0);
            let upto = from.saturating_add(MOST_SEARCHED).min(head);
            let selection = Selection::Types { after: from, upto, types: &types };
            Ok((read::load(conn, &self.codec, selection, limit)?, upto, head))
        })?;
        let full = read.len() >= limit;
        let end = match read.last() {
            Some(last) if full => cursor_of(last),
            _ if upto > from => cursor_of(upto),
            _ => after.clone(),
        };
        Ok(read.into_slice(end, !full && upto >= head))
    }

    fn recent(&self, after: &Cursor, limit: usize) -> Option<Slice<E>> {
        self.database.0.appender.tail().slice(&self.codec, after, limit)
    }

    fn event_type<'e>(&self, event: &'e E) -> Option<Cow<'e, str>> {
        self.codec.type_of(event).map(Cow::Borrowed)
    }

    fn find(&self, cursor: &Cursor) -> Result<Option<Recorded<E>>, ReadError> {
        let id = id_of(cursor)?;
        if cursor_of(id) != *cursor {
            return Ok(None);
        }
        let read = self.read(|conn| read::load(conn, &self.codec, Selection::At(id), 1))?;
        Ok(read.into_events()?.into_iter().next())
    }

    fn head(&self) -> Result<Cursor, LogError> {
        let head =
            self.read(|conn| events::table.select(max(events::id)).first::<Option<i64>>(conn))?;
        Ok(head.map_or(Cursor::Start, cursor_of))
    }

    fn count(&self, after: &Cursor) -> Result<u64, LogError> {
        let after = id_of(after)?;
        // From the ids, which have gaps only where events were deleted: counting the rows would
        // read them all.
        let ends = self.read(|conn| {
            let first = events::table.select(min(events::id)).first::<Option<i64>>(conn)?;
            let last = events::table.select(max(events::id)).first::<Option<i64>>(conn)?;
            Ok(first.zip(last))
        })?;
        let Some((first, last)) = ends else { return Ok(0) };
        Ok(u64::try_from(last.saturating_sub(after.max(first.saturating_sub(1)))).unwrap_or(0))
    }

    fn subscribe(&self, wake: std::sync::Weak<Wake>) {
        self.database.0.wakers.add(wake);
    }
}

impl<E> Clone for SqliteEventLog<E> {
    fn clone(&self) -> Self {
        Self { database: self.database.clone(), codec: Arc::clone(&self.codec) }
    }
}

impl<E> fmt::Debug for SqliteEventLog<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SqliteEventLog").field(&self.database).finish()
    }
}
