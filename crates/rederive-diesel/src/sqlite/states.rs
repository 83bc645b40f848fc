//! Reading rows by their keys: the stored states of folds.

use diesel::{
    QueryResult,
    deserialize::{self, FromSql, QueryableByName},
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    row::{Field, NamedRow, Row},
    sql_types::{BigInt, Binary, Double, Text, Untyped},
    sqlite::{Sqlite, SqliteConnection, SqliteType},
};
use rederive_core::{Cursor, PartitionId, StateRecord, StoredRow, Table, Value};

use super::rows::{Bind, Rows, chunks, local_name, quoted, read};
use crate::schema::rederive_states as states;

/// The rows with these keys, in the order given: few statements, however many they are.
pub(crate) fn load(
    conn: &mut SqliteConnection,
    wanted: &[StoredRow],
) -> QueryResult<Vec<Option<Vec<Value>>>> {
    let mut found = vec![None; wanted.len()];
    let mut from = 0;
    // A reducer's states are all in one table.
    for same in wanted.chunk_by(|a, b| a.table == b.table) {
        load_from(conn, same[0].table, same, &mut found[from..from + same.len()])?;
        from += same.len();
    }
    Ok(found)
}

fn load_from(
    conn: &mut SqliteConnection,
    table: &'static Table,
    wanted: &[StoredRow],
    found: &mut [Option<Vec<Value>>],
) -> QueryResult<()> {
    // Each key comes with its number, by which its row is known.
    let width = table.key.len() + 1;
    let column = |index: usize| format!("t.{}", quoted(table.columns[index].0));
    let columns: Vec<_> = (0..table.columns.len()).map(column).collect();
    let head = format!("SELECT v.column{width}, {} FROM (VALUES ", columns.join(","));
    let keys = table.key.iter().enumerate();
    let same = keys.map(|(nth, key)| format!("{} = v.column{}", column(*key), nth + 1));
    // `CROSS JOIN` keeps SQLite from going through the table and looking up the values instead.
    let tail = format!(
        ") AS v CROSS JOIN {} AS t WHERE {}",
        quoted(local_name(table)),
        same.collect::<Vec<_>>().join(" AND ")
    );
    let mut binds = Vec::new();
    for range in chunks(usize::MAX, wanted.len(), width) {
        binds.clear();
        for (number, row) in wanted[range.clone()].iter().enumerate() {
            let keys = table.key.iter().zip(&row.key);
            binds.extend(keys.map(|(column, value)| Bind::new(table.columns[*column].1, value)));
            binds.push(Bind::Integer(i64::try_from(number).unwrap_or(i64::MAX)));
        }
        let lookup = Lookup(Rows { head: &head, tail: &tail, width, binds: &binds });
        for Cells(mut cells) in lookup.load::<Cells>(conn)? {
            let values = cells.split_off(1);
            let number = match cells.first() {
                Some(Value::Integer(number)) => usize::try_from(*number).ok(),
                _ => None,
            };
            if let Some(place) = number.and_then(|number| found.get_mut(range.start + number)) {
                let kinds = table.columns.iter().map(|(_, kind)| *kind);
                let values = values.into_iter().zip(kinds);
                *place = Some(values.map(|(value, kind)| read(value, kind)).collect());
            }
        }
    }
    Ok(())
}

/// A page of the states of a reducer.
pub(crate) fn page(
    conn: &mut SqliteConnection,
    reducer: &str,
    after: Option<&str>,
    limit: usize,
) -> QueryResult<Vec<StateRecord>> {
    let mut query = states::table
        .filter(states::reducer.eq(reducer))
        .order(states::id)
        .select((states::id, states::cursor, states::state))
        .limit(i64::try_from(limit).unwrap_or(i64::MAX))
        .into_boxed();
    if let Some(after) = after {
        query = query.filter(states::id.gt(after));
    }
    let record = |(id, cursor, state): (String, String, String)| {
        let cursor = Cursor::decode(&cursor)
            .map_err(|error| diesel::result::Error::DeserializationError(Box::new(error)))?;
        Ok(StateRecord { partition: PartitionId::from(id), cursor, state })
    };
    query.load(conn)?.into_iter().map(record).collect()
}

/// Reads any columns.
struct Lookup<'a>(Rows<'a>);

impl QueryFragment<Sqlite> for Lookup<'_> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        self.0.walk_ast(out)
    }
}

impl Query for Lookup<'_> {
    type SqlType = Untyped;
}

impl QueryId for Lookup<'_> {
    type QueryId = ();
    // The text is not known from the type.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl RunQueryDsl<SqliteConnection> for Lookup<'_> {}

/// The values of a row, each as SQLite holds it.
struct Cells(Vec<Value>);

impl QueryableByName<Sqlite> for Cells {
    fn build<'a>(row: &impl NamedRow<'a, Sqlite>) -> deserialize::Result<Self> {
        let cell = |index: usize| match Row::get(row, index) {
            Some(field) => cell(&field),
            None => Ok(Value::Null),
        };
        (0..row.field_count()).map(cell).collect::<Result<_, _>>().map(Cells)
    }
}

fn cell<'a>(field: &impl Field<'a, Sqlite>) -> deserialize::Result<Value> {
    let Some(raw) = field.value() else { return Ok(Value::Null) };
    match raw.value_type() {
        None => Ok(Value::Null),
        Some(SqliteType::Binary) => {
            <Vec<u8> as FromSql<Binary, Sqlite>>::from_sql(raw).map(Value::from)
        }
        Some(SqliteType::Text) => <String as FromSql<Text, Sqlite>>::from_sql(raw).map(Value::from),
        Some(SqliteType::Float | SqliteType::Double) => {
            FromSql::<Double, Sqlite>::from_sql(raw).map(Value::Float)
        }
        Some(SqliteType::SmallInt | SqliteType::Integer | SqliteType::Long) => {
            FromSql::<BigInt, Sqlite>::from_sql(raw).map(Value::Integer)
        }
    }
}
