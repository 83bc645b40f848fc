//! The queries that read the events.

use std::sync::Arc;

use diesel::{
    backend::Backend,
    connection::DefaultLoadingMode,
    deserialize::{self, FromSql},
    prelude::*,
    sql_types::Text,
    sqlite::{Sqlite, SqliteConnection},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    codec::Codec,
    read::{Decoded, DecodedRow, Name, Read, Selection, StoredRow},
    schema::rederive_events as events,
};

/// Reads up to `limit` events.
pub(super) fn load<E: Serialize + DeserializeOwned + 'static>(
    conn: &mut SqliteConnection,
    codec: &Codec<E>,
    selection: Selection<'_>,
    limit: usize,
) -> QueryResult<Read<E>> {
    if codec.upcasts() {
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
            StoredRow { id, time, data, event_type, version, stream }
        });
        return Ok(Read::of_stored(codec, rows));
    }
    let columns = (events::id, events::time, events::event_type, events::data);
    let rows = selected(selection, limit)
        .select(columns)
        .load_iter::<DecodedRow<E>, DefaultLoadingMode>(conn)?;
    let mut read = Read::of_decoded(codec, rows)?;
    add_details(conn, &mut read)?;
    Ok(read)
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
fn add_details<E>(conn: &mut SqliteConnection, read: &mut Read<E>) -> QueryResult<()> {
    const AT_ONCE: usize = 1000;
    let mut broken = read.broken();
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

impl FromSql<Text, Sqlite> for Name {
    fn from_sql(mut text: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(Self::new(text.read_text()))
    }
}

impl<E: DeserializeOwned> FromSql<Text, Sqlite> for Decoded<E> {
    fn from_sql(mut text: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(Self::new(text.read_text()))
    }
}
