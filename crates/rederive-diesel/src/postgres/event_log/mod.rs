//! [`PostgresEventLog`]: the events of a database, to append to and to follow.

mod append;
mod backend;
mod doubt;
pub(super) mod holders;
mod insert;
pub(super) mod listen;
mod read;

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, Weak},
};

use diesel::{QueryResult, pg::PgConnection};
use rederive_core::{
    Cursor, CursorKind, EventLog, EventTypes, Holder, LogError, ReadError, Recorded, Slice, Wake,
};
use serde::{Serialize, de::DeserializeOwned};

use super::PostgresDatabase;
use crate::{
    append::append_methods,
    codec::{Codec, Upcasts},
    read::{MOST_SEARCHED, Read, Selection, cursor_of, id_of},
};

pub(super) use append::EventWriter;

/// The event log in a [`PostgresDatabase`]: events of type `E`, stored as JSON and numbered in the
/// order of their commits. Numbers may be left out where an append was rolled back.
///
/// Whoever inserts events holds a lock until its transaction ends, which a trigger of the table sees
/// to. So a follower that reads what is above its cursor misses nothing, whoever else appends. Appends
/// of the whole process are written by one thread, those that arrive meanwhile together in the next
/// transaction; where those who were served last do not come back at once, the next group waits for
/// reducers of this database, and for them, 30 ms at most. Appending wakes the followers in this
/// process, and by `NOTIFY` those in others (see
/// [`PostgresOptions::notifications`](crate::PostgresOptions::notifications)).
///
/// Beside each event stands the name of its type: the variant, if the events are an enum as serde
/// writes it by default, or what [`typed_by`](Self::typed_by) says. So reducers that want some types
/// only ([`Reducer::event_types`](rederive_core::Reducer::event_types)) are spared the others, and
/// events of an old form can be brought up to date: [`upcast`](Self::upcast).
///
/// When the connection is lost while an append is being done, it is found out whether it was; only when
/// that cannot be had within some seconds, or another server has taken over that does not have the events,
/// the append is [in doubt](crate::AppendError::InDoubt). The time of an event is the server's.
///
/// ```no_run
/// use rederive_core::EventLog;
/// use rederive_diesel::{AppendError, Expected, PostgresDatabase};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, Serialize, Deserialize)]
/// enum AccountEvent {
///     Opened { id: String },
///     Deposited { id: String, amount: i64 },
/// }
///
/// let db = PostgresDatabase::connect("postgres://bank:secret@localhost/bank")?;
/// let log = db.event_log::<AccountEvent>();
/// let opened = AccountEvent::Opened { id: "alice".into() };
/// let recorded = log.append_to_blocking("account-alice", Expected::NoStream, vec![opened])?;
/// assert_eq!(log.head()?, recorded[0].cursor);
///
/// let deposited = AccountEvent::Deposited { id: "alice".into(), amount: 5 };
/// let late = log.append_to_blocking("account-alice", Expected::Version(7), vec![deposited]);
/// assert!(matches!(late, Err(AppendError::Conflict { actual: 1, .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct PostgresEventLog<E> {
    pub(super) database: PostgresDatabase,
    pub(super) codec: Arc<Codec<E>>,
}

append_methods!(PostgresEventLog);

impl<E> PostgresEventLog<E>
where
    E: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    pub(crate) fn new(database: PostgresDatabase) -> Self {
        Self { database, codec: Arc::default() }
    }

    /// The same log, in which the types of events are named by this function: for events that are
    /// not an enum, or one that serde writes in another way than by default.
    ///
    /// The name of an event must not depend on the handle that appends it: use one function for all
    /// of a log.
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
    pub fn database(&self) -> &PostgresDatabase {
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
        let read = self.load(Selection::Stream { stream, after }, limit)?;
        Ok(read.into_events()?)
    }

    fn stream_version(&self, stream: &str) -> Result<i64, LogError> {
        let schema = &self.database.0.connections.schema;
        let versions = self.query(|conn| insert::stream_versions(conn, schema, [stream]))?;
        Ok(versions.get(stream).copied().unwrap_or(0))
    }

    fn load(&self, selection: Selection<'_>, limit: usize) -> Result<Read<E>, LogError> {
        let schema = &self.database.0.connections.schema;
        // What cannot be decoded is asked for by its number once more, and events do not change.
        self.query(|conn| read::load(conn, schema, &self.codec, selection, limit))
    }
}

impl<E> PostgresEventLog<E> {
    fn query<T>(
        &self,
        query: impl FnMut(&mut PgConnection) -> QueryResult<T>,
    ) -> Result<T, LogError> {
        self.database.0.connections.query(query).map_err(LogError::new)
    }
}

impl<E> EventLog for PostgresEventLog<E>
where
    E: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    type Event = E;

    fn cursor_kind(&self) -> CursorKind {
        CursorKind::Integer
    }

    fn fetch(&self, after: &Cursor, limit: usize) -> Result<Slice<E>, LogError> {
        let limit = limit.max(1);
        let read = self.load(Selection::After(id_of(after)?), limit)?;
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
        let schema = &self.database.0.connections.schema;
        // No number up to the head comes to be taken later, so this need not be one transaction.
        let (read, upto, head) = self.query(|conn| {
            let head = read::ends(conn, schema)?.map_or(0, |(_, last)| last);
            let upto = from.saturating_add(MOST_SEARCHED).min(head);
            let selection = Selection::Types { after: from, upto, types: &types };
            Ok((read::load(conn, schema, &self.codec, selection, limit)?, upto, head))
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
        let read = self.load(Selection::At(id), 1)?;
        Ok(read.into_events()?.into_iter().next())
    }

    fn head(&self) -> Result<Cursor, LogError> {
        let schema = &self.database.0.connections.schema;
        let ends = self.query(|conn| read::ends(conn, schema))?;
        Ok(ends.map_or(Cursor::Start, |(_, last)| cursor_of(last)))
    }

    fn count(&self, after: &Cursor) -> Result<u64, LogError> {
        let after = id_of(after)?;
        let schema = &self.database.0.connections.schema;
        // From the ids, which have gaps only where events were deleted or an append failed: counting
        // the rows would read them all.
        let Some((first, last)) = self.query(|conn| read::ends(conn, schema))? else {
            return Ok(0);
        };
        Ok(u64::try_from(last.saturating_sub(after.max(first.saturating_sub(1)))).unwrap_or(0))
    }

    fn subscribe(&self, wake: Weak<Wake>) {
        let shared = &self.database.0;
        shared.wakers.add(wake);
        shared.listener.start();
    }

    fn held_back(&self) -> Result<Vec<Holder>, LogError> {
        let connections = &self.database.0.connections;
        let least = connections.options.held_back_after;
        let table = connections.schema.sql("@rederive_events");
        self.query(|conn| holders::of_lock(conn, &table, least))
    }
}

impl<E> Clone for PostgresEventLog<E> {
    fn clone(&self) -> Self {
        Self { database: self.database.clone(), codec: Arc::clone(&self.codec) }
    }
}

impl<E> fmt::Debug for PostgresEventLog<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresEventLog").field(&self.database).finish()
    }
}
