//! [`Sql`]: a statement of our own that Diesel prepares once and keeps.
//!
//! Diesel's own updates, upserts and multi-row inserts have a text that depends on the number of rows,
//! and are parsed and planned anew each time. Here a list of rows comes as one array per column, so
//! that a statement has one text, however many rows there are.

use std::borrow::Cow;

use diesel::{
    QueryResult, RunQueryDsl,
    deserialize::{self, FromSql, FromSqlRow},
    pg::{Pg, PgConnection, PgValue},
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    result::Error,
    row::{Field, Row},
    sql_types::{
        Array, BigInt, Binary, Bool, Double, Float, Integer, Nullable, SmallInt, Text, Untyped,
    },
};
use rederive_core::Value;

/// A value to bind, or an array of values.
#[derive(Clone, Debug)]
pub(crate) enum Bind<'a> {
    Bool(bool),
    BigInt(Option<i64>),
    Text(Option<Cow<'a, str>>),
    Bools(Vec<Option<bool>>),
    SmallInts(Vec<Option<i16>>),
    Integers(Vec<Option<i32>>),
    BigInts(Vec<Option<i64>>),
    Floats(Vec<Option<f32>>),
    Doubles(Vec<Option<f64>>),
    Texts(Vec<Option<Cow<'a, str>>>),
    Binaries(Vec<Option<&'a [u8]>>),
}

impl<'a> Bind<'a> {
    pub(crate) fn text(value: impl Into<Cow<'a, str>>) -> Self {
        Bind::Text(Some(value.into()))
    }

    pub(crate) fn integer(value: i64) -> Self {
        Bind::BigInt(Some(value))
    }

    pub(crate) fn limit(rows: usize) -> Self {
        Self::integer(i64::try_from(rows).unwrap_or(i64::MAX))
    }

    pub(crate) fn texts<T: Into<Cow<'a, str>>>(values: impl IntoIterator<Item = T>) -> Self {
        Bind::Texts(values.into_iter().map(|value| Some(value.into())).collect())
    }

    pub(crate) fn integers(values: impl IntoIterator<Item = i64>) -> Self {
        Bind::BigInts(values.into_iter().map(Some).collect())
    }
}

/// A statement. [`SLOT`](Self::SLOT) stands in its text for each value, in order.
#[derive(Debug)]
pub(crate) struct Sql<'a> {
    pub(crate) text: &'a str,
    pub(crate) binds: &'a [Bind<'a>],
}

impl Sql<'_> {
    /// Stands for a value; no identifier of PostgreSQL's can hold it.
    pub(crate) const SLOT: char = '\0';

    /// How many rows the statement changed.
    pub(crate) fn execute(&self, conn: &mut PgConnection) -> QueryResult<usize> {
        RunQueryDsl::execute(self, conn)
    }

    /// The rows that the statement selects.
    pub(crate) fn rows(&self, conn: &mut PgConnection) -> QueryResult<Vec<Cells>> {
        self.load(conn)
    }

    /// The first row that the statement selects.
    pub(crate) fn row(&self, conn: &mut PgConnection) -> QueryResult<Option<Cells>> {
        Ok(self.rows(conn)?.into_iter().next())
    }
}

impl QueryFragment<Pg> for Sql<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut binds = self.binds.iter();
        for (index, part) in self.text.split(Self::SLOT).enumerate() {
            if index > 0 {
                match binds.next() {
                    Some(bind) => push(bind, out.reborrow())?,
                    None => return Err(Error::QueryBuilderError("a value is missing".into())),
                }
            }
            out.push_sql(part);
        }
        Ok(())
    }
}

fn push<'b>(bind: &'b Bind<'_>, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
    match bind {
        Bind::Bool(value) => out.push_bind_param::<Bool, _>(value),
        Bind::BigInt(value) => out.push_bind_param::<Nullable<BigInt>, _>(value),
        Bind::Text(value) => out.push_bind_param::<Nullable<Text>, _>(value),
        Bind::Bools(values) => out.push_bind_param::<Array<Nullable<Bool>>, _>(values),
        Bind::SmallInts(values) => out.push_bind_param::<Array<Nullable<SmallInt>>, _>(values),
        Bind::Integers(values) => out.push_bind_param::<Array<Nullable<Integer>>, _>(values),
        Bind::BigInts(values) => out.push_bind_param::<Array<Nullable<BigInt>>, _>(values),
        Bind::Floats(values) => out.push_bind_param::<Array<Nullable<Float>>, _>(values),
        Bind::Doubles(values) => out.push_bind_param::<Array<Nullable<Double>>, _>(values),
        Bind::Texts(values) => out.push_bind_param::<Array<Nullable<Text>>, _>(values),
        Bind::Binaries(values) => out.push_bind_param::<Array<Nullable<Binary>>, _>(values),
    }
}

impl Query for Sql<'_> {
    type SqlType = Untyped;
}

impl QueryId for Sql<'_> {
    type QueryId = ();
    // The text is not known from the type.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl RunQueryDsl<PgConnection> for Sql<'_> {}
impl RunQueryDsl<PgConnection> for &Sql<'_> {}

/// The values of a row, taken from the left.
#[derive(Debug)]
pub(crate) struct Cells(std::vec::IntoIter<Value>);

impl Cells {
    pub(crate) fn into_values(self) -> Vec<Value> {
        self.0.collect()
    }

    pub(crate) fn text(&mut self) -> QueryResult<String> {
        self.nullable_text()?.ok_or_else(|| unexpected("NULL"))
    }

    pub(crate) fn integer(&mut self) -> QueryResult<i64> {
        self.nullable_integer()?.ok_or_else(|| unexpected("NULL"))
    }

    pub(crate) fn bool(&mut self) -> QueryResult<bool> {
        match self.value() {
            Value::Bool(value) => Ok(value),
            other => Err(unexpected(other)),
        }
    }

    pub(crate) fn nullable_text(&mut self) -> QueryResult<Option<String>> {
        match self.value() {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text.into())),
            other => Err(unexpected(other)),
        }
    }

    pub(crate) fn nullable_integer(&mut self) -> QueryResult<Option<i64>> {
        match self.value() {
            Value::Null => Ok(None),
            Value::Integer(number) => Ok(Some(number)),
            other => Err(unexpected(other)),
        }
    }

    pub(crate) fn value(&mut self) -> Value {
        self.0.next().unwrap_or_default()
    }
}

fn unexpected(value: impl std::fmt::Display) -> Error {
    Error::DeserializationError(format!("unexpected value {value}").into())
}

impl FromSqlRow<Untyped, Pg> for Cells {
    fn build_from_row<'a>(row: &impl Row<'a, Pg>) -> deserialize::Result<Self> {
        let cell = |index| match row.get(index) {
            Some(field) => field.value().map_or(Ok(Value::Null), value),
            None => Ok(Value::Null),
        };
        let cells: deserialize::Result<Vec<Value>> = (0..row.field_count()).map(cell).collect();
        Ok(Self(cells?.into_iter()))
    }
}

/// The value, by the number that the server gives its type; any other type than these has been cast
/// to text.
fn value(raw: PgValue<'_>) -> deserialize::Result<Value> {
    Ok(match raw.get_oid().get() {
        16 => Value::Bool(FromSql::<Bool, Pg>::from_sql(raw)?),
        17 => Value::from(<Vec<u8> as FromSql<Binary, Pg>>::from_sql(raw)?),
        20 => Value::Integer(FromSql::<BigInt, Pg>::from_sql(raw)?),
        21 => Value::from(<i16 as FromSql<SmallInt, Pg>>::from_sql(raw)?),
        23 => Value::from(<i32 as FromSql<Integer, Pg>>::from_sql(raw)?),
        700 => Value::from(<f32 as FromSql<Float, Pg>>::from_sql(raw)?),
        701 => Value::Float(FromSql::<Double, Pg>::from_sql(raw)?),
        _ => Value::from(<String as FromSql<Text, Pg>>::from_sql(raw)?),
    })
}

/// The identifier in quotes, for SQL text.
pub(crate) fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// The schema that the tables of Rederive are in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Schema {
    pub(crate) name: String,
    quoted: String,
}

impl Schema {
    pub(crate) fn new(name: String) -> Self {
        let quoted = quoted(&name);
        Self { name, quoted }
    }

    /// The text with the schema before each name that follows an `@`.
    pub(crate) fn sql(&self, text: &str) -> String {
        text.replace('@', &format!("{}.", self.quoted))
    }
}

/// A connection in a transaction, and where the tables of Rederive are.
pub(crate) struct Session<'c> {
    pub(crate) conn: &'c mut PgConnection,
    pub(crate) schema: &'c Schema,
}

impl Session<'_> {
    /// Executes a statement in which the names of Rederive's tables follow an `@`: how many rows it
    /// changed.
    pub(crate) fn execute(&mut self, text: &str, binds: &[Bind<'_>]) -> QueryResult<usize> {
        let text = self.schema.sql(text);
        Sql { text: &text, binds }.execute(self.conn)
    }

    /// The rows that such a statement selects.
    pub(crate) fn rows(&mut self, text: &str, binds: &[Bind<'_>]) -> QueryResult<Vec<Cells>> {
        let text = self.schema.sql(text);
        Sql { text: &text, binds }.rows(self.conn)
    }

    /// The first row that such a statement selects.
    pub(crate) fn row(&mut self, text: &str, binds: &[Bind<'_>]) -> QueryResult<Option<Cells>> {
        Ok(self.rows(text, binds)?.into_iter().next())
    }
}
