//! [`Read`]: rows of the event log, decoded.

use std::{collections::HashMap, str, sync::Arc};

use diesel::{
    backend::Backend,
    deserialize::{self, FromSql, Queryable},
    prelude::*,
    sql_types::Text,
    sqlite::{Sqlite, SqliteConnection},
};
use rederive_core::{
    Cursor, CursorKind, LogError, Recorded, Slice, Timestamp, Undecodable, log_cursor::other_kind,
};
use serde::{Serialize, de::DeserializeOwned};
use smallvec::SmallVec;

use crate::{
    codec::{Codec, StoredEvent},
    schema::rederive_events as events,
};

/// Which events to read, in order.
#[derive(Clone, Copy)]
pub(super) enum Selection<'s> {
    After(i64),
    /// Of these types, or of none, within these ids.
    Types {
        after: i64,
        upto: i64,
        types: &'s [String],
    },
    Stream {
        stream: &'s str,
        after: i64,
    },
    At(i64),
}

/// What a query has read.
pub(super) struct Read<E>(Vec<Row<E>>);

/// One event.
pub(super) enum Row<E> {
    Decoded(i64, i64, E),
    Undecodable(i64, Undecodable),
}

impl<E> Row<E> {
    pub(super) fn id(&self) -> i64 {
        match self {
            Row::Decoded(id, ..) | Row::Undecodable(id, _) => *id,
        }
    }

    fn into_result(self) -> Result<Recorded<E>, Undecodable> {
        match self {
            Row::Decoded(id, time, data) => {
                let (cursor, time) = (cursor_of(id), Timestamp::from_micros(time));
                Ok(Recorded { cursor, time, data })
            }
            Row::Undecodable(_, undecodable) => Err(undecodable),
        }
    }
}

impl<E: Serialize + DeserializeOwned + 'static> Read<E> {
    /// Reads up to `limit` events.
    pub(super) fn load(
        conn: &mut SqliteConnection,
        codec: &Codec<E>,
        selection: Selection<'_>,
        limit: usize,
    ) -> QueryResult<Self> {
        if codec.upcasts() {
            return Self::load_stored(conn, codec, selection, limit);
        }
        let columns = (events::id, events::time, events::event_type, events::data);
        let query = selected(selection, limit).select(columns);
        let rows: Vec<(i64, i64, Option<Name>, Decoded<E>)> = query.load(conn)?;
        let rows = rows.into_iter().map(|(id, time, name, Decoded(data))| {
            let data = data.and_then(|data| {
                let name = name.as_ref().map(Name::as_str);
                codec.agrees(name, &data)?;
                Ok(data)
            });
            match data {
                Ok(data) => Row::Decoded(id, time, data),
                Err(message) => {
                    let mut undecodable = Undecodable::new(cursor_of(id), message);
                    undecodable.time = Some(Timestamp::from_micros(time));
                    undecodable.event_type = name.map(|name| name.as_str().into());
                    Row::Undecodable(id, undecodable)
                }
            }
        });
        let mut read = Self(rows.collect());
        add_details(conn, &mut read.0)?;
        Ok(read)
    }

    /// The same where the types of events have a history: what is stored beside the event decides
    /// how it is decoded.
    fn load_stored(
        conn: &mut SqliteConnection,
        codec: &Codec<E>,
        selection: Selection<'_>,
        limit: usize,
    ) -> QueryResult<Self> {
        let columns = (
            events::id,
            events::time,
            events::data,
            events::event_type,
            events::event_version,
            events::stream,
        );
        type Columns = (i64, i64, String, Option<String>, i64, Option<String>);
        let rows = selected(selection, limit).select(columns).load::<Columns>(conn)?;
        let rows = rows.into_iter().map(|(id, time, data, event_type, version, stream)| {
            let version = u32::try_from(version).unwrap_or(u32::MAX);
            let stored = StoredEvent {
                cursor: cursor_of(id),
                time: Timestamp::from_micros(time),
                stream: stream.as_deref(),
                event_type: event_type.as_deref(),
                version,
            };
            let decoded = codec.decode(&stored, &data).and_then(|event| {
                let name = stored.event_type.map(|name| codec.name_today(name, version));
                codec.agrees(name, &event)?;
                Ok(event)
            });
            match decoded {
                Ok(data) => Row::Decoded(id, time, data),
                Err(message) => {
                    let mut undecodable = Undecodable::new(cursor_of(id), message);
                    undecodable.time = Some(stored.time);
                    undecodable.event_type =
                        stored.event_type.map(|name| Arc::from(codec.name_today(name, version)));
                    undecodable.stream = stream.map(Arc::from);
                    undecodable.raw = Some(data.into());
                    Row::Undecodable(id, undecodable)
                }
            }
        });
        Ok(Self(rows.collect()))
    }
}

impl<E> Read<E> {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn last(&self) -> Option<&Row<E>> {
        self.0.last()
    }

    pub(super) fn into_slice(self, end: Cursor, at_head: bool) -> Slice<E> {
        let mut slice = Slice::new(Vec::with_capacity(self.0.len()), end, at_head);
        for event in self {
            match event {
                Ok(event) => slice.events.push(event),
                Err(undecodable) => slice.undecodable.push(undecodable),
            }
        }
        slice
    }
}

impl<E> IntoIterator for Read<E> {
    type Item = Result<Recorded<E>, Undecodable>;
    type IntoIter =
        std::iter::Map<std::vec::IntoIter<Row<E>>, fn(Row<E>) -> Result<Recorded<E>, Undecodable>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter().map(Row::into_result)
    }
}

fn selected(selection: Selection<'_>, limit: usize) -> events::BoxedQuery<'_, Sqlite> {
    let query = events::table.limit(i64::try_from(limit).unwrap_or(i64::MAX)).into_boxed();
    match selection {
        Selection::After(id) => query.filter(events::id.gt(id)).order(events::id),
        Selection::Types { after, upto, types } => query
            .filter(events::id.gt(after))
            .filter(events::id.le(upto))
            .filter(events::event_type.is_null().or(events::event_type.eq_any(types)))
            .order(events::id),
        Selection::Stream { stream, after } => query
            .filter(events::stream.eq(stream))
            .filter(events::stream_version.gt(after))
            .order(events::stream_version),
        Selection::At(id) => query.filter(events::id.eq(id)),
    }
}

/// Adds what is known of the events that cannot be decoded: asked for those only.
fn add_details<E>(conn: &mut SqliteConnection, rows: &mut [Row<E>]) -> QueryResult<()> {
    const AT_ONCE: usize = 1000;
    let mut broken: HashMap<i64, &mut Undecodable> = HashMap::new();
    for row in rows {
        if let Row::Undecodable(id, undecodable) = row {
            broken.insert(*id, undecodable);
        }
    }
    let ids: Vec<i64> = broken.keys().copied().collect();
    for ids in ids.chunks(AT_ONCE) {
        let rows = events::table
            .filter(events::id.eq_any(ids))
            .select((events::id, events::stream, events::data))
            .load::<(i64, Option<String>, String)>(conn)?;
        for (id, stream, data) in rows {
            if let Some(undecodable) = broken.get_mut(&id) {
                undecodable.stream = stream.map(Arc::from);
                undecodable.raw = Some(data.into());
            }
        }
    }
    Ok(())
}

/// The name of a type, which is short as a rule: then it is not allocated.
#[derive(Debug)]
struct Name(SmallVec<[u8; 24]>);

impl Name {
    fn as_str(&self) -> &str {
        // It was text when it was read.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromSql<Text, Sqlite> for Name {
    fn from_sql(mut text: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(SmallVec::from_slice(text.read_text().as_bytes())))
    }
}

impl Queryable<Text, Sqlite> for Name {
    type Row = Self;

    fn build(row: Self) -> deserialize::Result<Self> {
        Ok(row)
    }
}

/// An event decoded straight from SQLite's memory. What the decoder said is data: a row that cannot
/// be decoded must not hide others.
struct Decoded<E>(Result<E, String>);

impl<E: DeserializeOwned> FromSql<Text, Sqlite> for Decoded<E> {
    fn from_sql(mut text: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(serde_json::from_str(text.read_text()).map_err(|error| error.to_string())))
    }
}

impl<E: DeserializeOwned> Queryable<Text, Sqlite> for Decoded<E> {
    type Row = Self;

    fn build(row: Self) -> deserialize::Result<Self> {
        Ok(row)
    }
}

pub(super) fn cursor_of(id: i64) -> Cursor {
    Cursor::Integer(id.unsigned_abs())
}

/// The id of a cursor, or the highest one there can be.
pub(super) fn id_of(cursor: &Cursor) -> Result<i64, LogError> {
    match cursor {
        Cursor::Start => Ok(0),
        Cursor::Integer(id) => Ok(i64::try_from(*id).unwrap_or(i64::MAX)),
        other => Err(other_kind(CursorKind::Integer, other)),
    }
}
