//! The queries that read the events.

use std::{str, sync::Arc};

use diesel::{
    deserialize::{self, FromSqlRow},
    pg::{Pg, PgConnection},
    prelude::*,
    row::{Field, Row},
    sql_types::{BigInt, Untyped},
};
use serde::{Serialize, de::DeserializeOwned};

use super::super::{
    sql::{Bind, Schema, Sql},
    text::{escaped, unescaped},
};
use crate::{
    codec::Codec,
    read::{Decoded, DecodedRow, Name, Read, Selection, StoredRow},
};

/// Reads up to `limit` events.
pub(super) fn load<E: Serialize + DeserializeOwned + 'static>(
    conn: &mut PgConnection,
    schema: &Schema,
    codec: &Codec<E>,
    selection: Selection<'_>,
    limit: usize,
) -> QueryResult<Read<E>> {
    if codec.upcasts() {
        const COLUMNS: &str = "id, time, data::text, event_type, event_version, stream";
        let (text, binds) = selected(schema, COLUMNS, selection, limit);
        let mut rows = Vec::new();
        for mut row in (Sql { text: &text, binds: &binds }).rows(conn)? {
            rows.push(StoredRow {
                id: row.integer()?,
                time: row.integer()?,
                data: row.text()?,
                event_type: row.nullable_text()?.map(unescaped),
                version: row.integer()?,
                stream: row.nullable_text()?.map(unescaped),
            });
        }
        return Ok(Read::of_stored(codec, rows));
    }
    let (text, binds) = selected(schema, "id, time, event_type, data", selection, limit);
    let rows: Vec<Loaded<E>> = Sql { text: &text, binds: &binds }.load(conn)?;
    let mut read = Read::of_decoded(codec, rows.into_iter().map(|row| Ok(row.0)))?;
    // Asked for those only that cannot be decoded.
    let mut broken = read.broken();
    if broken.is_empty() {
        return Ok(read);
    }
    let text = schema.sql("SELECT id, stream, data::text FROM @rederive_events WHERE id = ANY(\0)");
    let binds = [Bind::integers(broken.keys().copied())];
    for mut row in (Sql { text: &text, binds: &binds }).rows(conn)? {
        if let Some(undecodable) = broken.get_mut(&row.integer()?) {
            undecodable.stream = row.nullable_text()?.map(|stream| Arc::from(unescaped(stream)));
            undecodable.raw = Some(row.text()?.into());
        }
    }
    Ok(read)
}

/// The lowest and the highest id.
pub(super) fn ends(conn: &mut PgConnection, schema: &Schema) -> QueryResult<Option<(i64, i64)>> {
    let text = schema.sql("SELECT pg_catalog.min(id), pg_catalog.max(id) FROM @rederive_events");
    let Some(mut row) = Sql { text: &text, binds: &[] }.row(conn)? else { return Ok(None) };
    Ok(row.nullable_integer()?.zip(row.nullable_integer()?))
}

fn selected<'s>(
    schema: &Schema,
    columns: &str,
    selection: Selection<'s>,
    limit: usize,
) -> (String, Vec<Bind<'s>>) {
    let (condition, order, mut binds) = match selection {
        Selection::After(id) => ("id > \0", "id", vec![Bind::integer(id)]),
        Selection::Types { after, upto, types } => (
            "id > \0 AND id <= \0 AND (event_type IS NULL OR event_type = ANY(\0))",
            "id",
            vec![
                Bind::integer(after),
                Bind::integer(upto),
                Bind::texts(types.iter().map(|name| escaped(name))),
            ],
        ),
        Selection::Stream { stream, after } => (
            // The index is of those that have a stream.
            "stream IS NOT NULL AND stream = \0 AND stream_version > \0",
            "stream_version",
            vec![Bind::text(escaped(stream)), Bind::integer(after)],
        ),
        Selection::At(id) => ("id = \0", "id", vec![Bind::integer(id)]),
    };
    binds.push(Bind::integer(i64::try_from(limit).unwrap_or(i64::MAX)));
    let text = format!(
        "SELECT {columns} FROM @rederive_events WHERE {condition} ORDER BY {order} LIMIT \0"
    );
    (schema.sql(&text), binds)
}

/// A row whose event is decoded straight from libpq's memory.
struct Loaded<E>(DecodedRow<E>);

impl<E: DeserializeOwned> FromSqlRow<Untyped, Pg> for Loaded<E> {
    fn build_from_row<'a>(row: &impl Row<'a, Pg>) -> deserialize::Result<Self> {
        let integer = |index| {
            let field = row.get(index).ok_or("a column is missing")?;
            deserialize::FromSql::<BigInt, Pg>::from_nullable_sql(field.value())
        };
        let name = match row.get(2).as_ref().and_then(Field::value) {
            None => None,
            Some(name) => Some(match str::from_utf8(name.as_bytes())? {
                name if name.contains('\u{1}') => Name::new(&unescaped(name.to_owned())),
                name => Name::new(name),
            }),
        };
        let data = row.get(3).ok_or("a column is missing")?;
        let data = data.value().ok_or("an event is NULL")?;
        let data = Decoded::new(str::from_utf8(data.as_bytes())?);
        Ok(Self((integer(0)?, integer(1)?, name, data)))
    }
}
