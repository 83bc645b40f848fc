//! [`Read`]: rows of an event log, decoded.

use std::{collections::HashMap, str, sync::Arc};

use diesel::{
    QueryResult,
    deserialize::{self, Queryable},
    sql_types::Text,
};
use rederive_core::{
    Cursor, CursorKind, LogError, Recorded, Slice, Timestamp, Undecodable, log_cursor::other_kind,
};
use serde::{Serialize, de::DeserializeOwned};
use smallvec::SmallVec;

use crate::codec::{Codec, StoredEvent};

/// How many ids one read goes through in search of the types that are wanted, so that it stays short
/// when there are hardly any.
pub(crate) const MOST_SEARCHED: i64 = 1 << 16;

/// Which events to read, in order.
#[derive(Clone, Copy)]
pub(crate) enum Selection<'s> {
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
pub(crate) struct Read<E> {
    events: Vec<Recorded<E>>,
    undecodable: Vec<Undecodable>,
    last: Option<i64>,
}

/// A row whose event was decoded straight from the database's memory: its id, its time, the name of
/// its type.
pub(crate) type DecodedRow<E> = (i64, i64, Option<Name>, Decoded<E>);

/// A row as it is stored.
pub(crate) struct StoredRow {
    pub(crate) id: i64,
    pub(crate) time: i64,
    pub(crate) data: String,
    pub(crate) event_type: Option<String>,
    pub(crate) version: i64,
    pub(crate) stream: Option<String>,
}

impl<E: Serialize + DeserializeOwned + 'static> Read<E> {
    /// Of rows that are decoded already. [`broken`](Self::broken) tells of which of them more should be
    /// known.
    pub(crate) fn of_decoded(
        codec: &Codec<E>,
        rows: impl IntoIterator<Item = QueryResult<DecodedRow<E>>>,
    ) -> QueryResult<Self> {
        let mut read = Self::new();
        for row in rows {
            let (id, time, name, Decoded(data)) = row?;
            let data = data.and_then(|data| {
                let name = name.as_ref().map(Name::as_str);
                codec.agrees(name, &data)?;
                Ok(data)
            });
            let data = data.map_err(|message| {
                let mut undecodable = Undecodable::new(cursor_of(id), message);
                undecodable.time = Some(Timestamp::from_micros(time));
                undecodable.event_type = name.map(|name| name.as_str().into());
                undecodable
            });
            read.push(id, time, data);
        }
        Ok(read)
    }

    /// Of rows in which the types of events have a history: what is stored beside the event decides
    /// how it is decoded.
    pub(crate) fn of_stored(codec: &Codec<E>, rows: impl IntoIterator<Item = StoredRow>) -> Self {
        let mut read = Self::new();
        for StoredRow { id, time, data, event_type, version, stream } in rows {
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
            let decoded = decoded.map_err(|message| {
                let mut undecodable = Undecodable::new(cursor_of(id), message);
                undecodable.time = Some(stored.time);
                undecodable.event_type =
                    stored.event_type.map(|name| Arc::from(codec.name_today(name, version)));
                undecodable.stream = stream.as_deref().map(Arc::from);
                undecodable.raw = Some(data.into());
                undecodable
            });
            read.push(id, time, decoded);
        }
        read
    }
}

impl<E> Read<E> {
    fn new() -> Self {
        Self { events: Vec::new(), undecodable: Vec::new(), last: None }
    }

    fn push(&mut self, id: i64, time: i64, data: Result<E, Undecodable>) {
        self.last = Some(id);
        match data {
            Ok(data) => {
                let (cursor, time) = (cursor_of(id), Timestamp::from_micros(time));
                self.events.push(Recorded { cursor, time, data });
            }
            Err(undecodable) => self.undecodable.push(undecodable),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.events.len() + self.undecodable.len()
    }

    /// The id of the last event.
    pub(crate) fn last(&self) -> Option<i64> {
        self.last
    }

    /// The events that cannot be decoded, by their ids.
    pub(crate) fn broken(&mut self) -> HashMap<i64, &mut Undecodable> {
        let id = |undecodable: &Undecodable| id_of(&undecodable.cursor).unwrap_or(i64::MAX);
        self.undecodable.iter_mut().map(|undecodable| (id(undecodable), undecodable)).collect()
    }

    pub(crate) fn into_slice(self, end: Cursor, at_head: bool) -> Slice<E> {
        let mut slice = Slice::new(self.events, end, at_head);
        slice.undecodable = self.undecodable;
        slice
    }

    /// The events, if all of them can be decoded; else the first one that cannot.
    pub(crate) fn into_events(self) -> Result<Vec<Recorded<E>>, Undecodable> {
        self.undecodable.into_iter().next().map_or(Ok(self.events), Err)
    }
}

/// The name of a type, which is short as a rule: then it is not allocated.
#[derive(Debug)]
pub(crate) struct Name(SmallVec<[u8; 24]>);

impl Name {
    pub(crate) fn new(name: &str) -> Self {
        Self(SmallVec::from_slice(name.as_bytes()))
    }

    pub(crate) fn as_str(&self) -> &str {
        // It was text when it was read.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// An event decoded straight from the database's memory. What the decoder said is data: a row that
/// cannot be decoded must not hide others.
pub(crate) struct Decoded<E>(Result<E, String>);

impl<E: DeserializeOwned> Decoded<E> {
    pub(crate) fn new(json: &str) -> Self {
        Self(serde_json::from_str(json).map_err(|error| error.to_string()))
    }
}

impl<DB> Queryable<Text, DB> for Name
where
    DB: diesel::backend::Backend,
    Self: diesel::deserialize::FromSql<Text, DB>,
{
    type Row = Self;

    fn build(row: Self) -> deserialize::Result<Self> {
        Ok(row)
    }
}

impl<E, DB> Queryable<Text, DB> for Decoded<E>
where
    DB: diesel::backend::Backend,
    Self: diesel::deserialize::FromSql<Text, DB>,
{
    type Row = Self;

    fn build(row: Self) -> deserialize::Result<Self> {
        Ok(row)
    }
}

pub(crate) fn cursor_of(id: i64) -> Cursor {
    Cursor::Integer(id.unsigned_abs())
}

/// The id of a cursor, or the highest one there can be.
pub(crate) fn id_of(cursor: &Cursor) -> Result<i64, LogError> {
    match cursor {
        Cursor::Start => Ok(0),
        Cursor::Integer(id) => Ok(i64::try_from(*id).unwrap_or(i64::MAX)),
        other => Err(other_kind(CursorKind::Integer, other)),
    }
}
