//! [`Rows`]: a statement over a list of rows that Diesel prepares once and keeps.
//!
//! Diesel prepares its own updates, upserts and multi-row inserts anew for each execution, which
//! costs more than running them. A fragment with the same text each time is cached. So lists come in
//! [chunks](chunks) of a few fixed sizes, and a connection keeps one prepared statement per text and
//! size. Values are bound, not written into the text or into JSON: that keeps every float, blob and
//! NUL as it is.

use diesel::{
    QueryResult, RunQueryDsl,
    deserialize::{self, FromSqlRow},
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    row::{Field, Row},
    sql_types::{BigInt, Binary, Double, Nullable, Text, Untyped},
    sqlite::{Sqlite, SqliteConnection, SqliteType},
};
use rederive_core::{ColumnKind, Table, Value};

use super::jsonb;

/// A value to bind.
#[derive(Clone, Debug)]
pub(crate) enum Bind<'a> {
    Integer(i64),
    Float(f64),
    Text(&'a str),
    /// Text in SQLite's own form.
    Written(String),
    /// JSON that is stored in SQLite's binary form.
    Jsonb(&'a str),
    Bytes(&'a [u8]),
    /// `NULL`; prepared statements are cached by the types of their values too, so it has one.
    NoInteger,
    NoFloat,
    NoText,
    NoJsonb,
    NoBytes,
}

impl<'a> Bind<'a> {
    /// A value of a column; the plan has checked that they fit.
    #[allow(clippy::cast_precision_loss, reason = "a float column has a float's precision")]
    pub(crate) fn new(kind: ColumnKind, value: &'a Value) -> Self {
        let float = matches!(kind, ColumnKind::Float | ColumnKind::Double);
        match value {
            Value::Null => match kind {
                ColumnKind::Bool
                | ColumnKind::SmallInt
                | ColumnKind::Integer
                | ColumnKind::BigInt => Bind::NoInteger,
                ColumnKind::Float | ColumnKind::Double => Bind::NoFloat,
                ColumnKind::Binary => Bind::NoBytes,
                ColumnKind::Jsonb => Bind::NoJsonb,
                _ => Bind::NoText,
            },
            Value::Bool(value) => Bind::Integer(i64::from(*value)),
            Value::Integer(value) if float => Bind::Float(*value as f64),
            Value::Integer(value) => Bind::Integer(*value),
            Value::Float(value) => Bind::Float(*value),
            Value::Text(value) => match kind {
                ColumnKind::Jsonb => Bind::Jsonb(value),
                // As Diesel writes them, so that they compare with what it binds.
                ColumnKind::Timestamp => Bind::Written(value.replacen('T', " ", 1)),
                ColumnKind::Timestamptz => {
                    Bind::Written(value.replacen('T', " ", 1).replacen('Z', "+00:00", 1))
                }
                _ => Bind::Text(value),
            },
            Value::Bytes(value) => Bind::Bytes(value),
        }
    }

    /// A value as it was read from the database.
    pub(crate) fn stored(value: &'a Value) -> Self {
        match value {
            Value::Null => Bind::NoText,
            Value::Bool(value) => Bind::Integer(i64::from(*value)),
            Value::Integer(value) => Bind::Integer(*value),
            Value::Float(value) => Bind::Float(*value),
            Value::Text(value) => Bind::Text(value),
            Value::Bytes(value) => Bind::Bytes(value),
        }
    }

    /// The value, as the database is given it.
    pub(crate) fn value(&self) -> Value {
        match self {
            Bind::Integer(value) => Value::Integer(*value),
            Bind::Float(value) => Value::Float(*value),
            Bind::Text(value) | Bind::Jsonb(value) => Value::from(*value),
            Bind::Written(value) => Value::from(value),
            Bind::Bytes(value) => Value::from(*value),
            Bind::NoInteger | Bind::NoFloat | Bind::NoText | Bind::NoJsonb | Bind::NoBytes => {
                Value::Null
            }
        }
    }

    pub(crate) fn text(value: Option<&'a str>) -> Self {
        value.map_or(Bind::NoText, Bind::Text)
    }

    pub(crate) fn integer(value: Option<i64>) -> Self {
        value.map_or(Bind::NoInteger, Bind::Integer)
    }
}

/// `head`, then `(?, ?), (?, ?)` with `width` values in each row, then `tail`.
///
/// A statement about a single row has it simpler: it names its values `?1`, `?2`, … in `head`, which
/// ends with [`NUMBERED`](Self::NUMBERED), so that what Diesel writes for them stands in a comment.
#[derive(Debug)]
pub(crate) struct Rows<'a> {
    pub(crate) head: &'a str,
    pub(crate) tail: &'a str,
    pub(crate) width: usize,
    pub(crate) binds: &'a [Bind<'a>],
}

impl Rows<'_> {
    /// Begins the comment after a statement that numbers its values.
    pub(crate) const NUMBERED: &'static str = " -- ";

    /// The statement's text.
    pub(crate) fn text(&self) -> String {
        if let Some(text) = self.head.strip_suffix(Self::NUMBERED) {
            return text.to_owned();
        }
        let row = |binds: &[Bind<'_>]| {
            let values: Vec<_> = binds
                .iter()
                .map(|bind| match bind {
                    Bind::Jsonb(_) | Bind::NoJsonb => "jsonb(?)",
                    _ => "?",
                })
                .collect();
            format!("({})", values.join(","))
        };
        let rows: Vec<_> = self.binds.chunks(self.width.max(1)).map(row).collect();
        format!("{}{}{}", self.head, rows.join(","), self.tail)
    }

    /// How many rows the statement changed.
    pub(crate) fn execute(&self, conn: &mut SqliteConnection) -> QueryResult<usize> {
        RunQueryDsl::execute(self, conn)
    }

    /// The rows that the statement selects.
    pub(crate) fn stored(&self, conn: &mut SqliteConnection) -> QueryResult<Vec<Stored>> {
        Selected(self).load(conn)
    }

    /// The one number that the statement selects.
    pub(crate) fn count(&self, conn: &mut SqliteConnection) -> QueryResult<i64> {
        self.get_result(conn)
    }
}

const JSONB: &str = "jsonb(";

/// A value that was read from a column, as the column means it.
pub(crate) fn read(value: Value, kind: ColumnKind) -> Value {
    match (value, kind) {
        (Value::Bytes(blob), ColumnKind::Jsonb) => match jsonb::text(&blob) {
            Some(json) => Value::from(json).read_as(kind),
            None => Value::Bytes(blob),
        },
        (value, kind) => value.read_as(kind),
    }
}

/// The value of this number, `?1`, for a column of this kind.
pub(crate) fn given(kind: ColumnKind, number: usize) -> String {
    if kind == ColumnKind::Jsonb { format!("{JSONB}?{number})") } else { format!("?{number}") }
}

impl QueryFragment<Sqlite> for Rows<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql(self.head);
        for (index, bind) in self.binds.iter().enumerate() {
            out.push_sql(match (index, index % self.width) {
                (0, _) => "(",
                (_, 0) => "),(",
                _ => ",",
            });
            match bind {
                Bind::Integer(value) => out.push_bind_param::<BigInt, i64>(value)?,
                Bind::Float(value) => out.push_bind_param::<Double, f64>(value)?,
                Bind::Text(value) => out.push_bind_param::<Text, str>(value)?,
                Bind::Written(value) => out.push_bind_param::<Text, str>(value)?,
                Bind::Jsonb(value) => {
                    out.push_sql(JSONB);
                    out.push_bind_param::<Text, str>(value)?;
                    out.push_sql(")");
                }
                Bind::NoJsonb => {
                    out.push_sql(JSONB);
                    out.push_bind_param::<Nullable<Text>, Option<&str>>(&None)?;
                    out.push_sql(")");
                }
                Bind::Bytes(value) => out.push_bind_param::<Binary, [u8]>(value)?,
                Bind::NoInteger => {
                    out.push_bind_param::<Nullable<BigInt>, Option<i64>>(&None)?;
                }
                Bind::NoFloat => out.push_bind_param::<Nullable<Double>, Option<f64>>(&None)?,
                Bind::NoText => out.push_bind_param::<Nullable<Text>, Option<&str>>(&None)?,
                Bind::NoBytes => {
                    out.push_bind_param::<Nullable<Binary>, Option<&[u8]>>(&None)?;
                }
            }
        }
        out.push_sql(")");
        out.push_sql(self.tail);
        Ok(())
    }
}

impl Query for Rows<'_> {
    type SqlType = BigInt;
}

impl QueryId for Rows<'_> {
    type QueryId = ();
    // The text is not known from the type.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl RunQueryDsl<SqliteConnection> for Rows<'_> {}
impl RunQueryDsl<SqliteConnection> for &Rows<'_> {}

/// A statement that selects columns of any type.
struct Selected<'a>(&'a Rows<'a>);

impl QueryFragment<Sqlite> for Selected<'_> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        self.0.walk_ast(out)
    }
}

impl Query for Selected<'_> {
    type SqlType = Untyped;
}

impl QueryId for Selected<'_> {
    type QueryId = ();
    // The text is not known from the type.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl RunQueryDsl<SqliteConnection> for Selected<'_> {}

/// A row as it is stored, with values of the types that SQLite tells.
#[derive(Debug)]
pub(crate) struct Stored(pub(crate) Vec<Value>);

impl FromSqlRow<Untyped, Sqlite> for Stored {
    fn build_from_row<'a>(row: &impl Row<'a, Sqlite>) -> deserialize::Result<Self> {
        let value = |index| {
            let field = row.get(index)?;
            let mut value = field.value()?;
            Some(match value.value_type()? {
                SqliteType::SmallInt | SqliteType::Integer | SqliteType::Long => {
                    Value::Integer(value.read_long())
                }
                SqliteType::Float | SqliteType::Double => Value::Float(value.read_double()),
                SqliteType::Text => Value::from(value.read_text()),
                SqliteType::Binary => Value::from(value.read_blob()),
            })
        };
        Ok(Self((0..row.field_count()).map(|index| value(index).unwrap_or_default()).collect()))
    }
}

/// The sizes of chunks, descending: few, since each is a prepared statement that stays.
const SIZES: [usize; 3] = [64, 8, 1];

/// SQLite takes 32,766 values per statement.
const MOST_VALUES: usize = 32_766;

/// Cuts `rows` rows of `width` values into ranges of fixed sizes, none above `most`.
pub(crate) fn chunks(
    most: usize,
    rows: usize,
    width: usize,
) -> impl Iterator<Item = std::ops::Range<usize>> {
    let most = most.min(MOST_VALUES / width.max(1));
    let mut from = 0;
    std::iter::from_fn(move || {
        let left = rows - from;
        let size = SIZES.into_iter().find(|size| *size <= left && *size <= most).unwrap_or(1);
        let range = from..from + size;
        from = range.end;
        (left > 0).then_some(range)
    })
}

/// The table's name in the file: its schema `main` is the file itself, and there is no other.
pub(crate) fn local_name(table: &Table) -> &'static str {
    if table.schema == Some("main") { table.local_name() } else { table.name }
}

/// The identifier in quotes, for SQL text.
pub(crate) fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_cover_all_rows_in_few_sizes_and_within_the_limit_of_values() {
        for (rows, width) in [(0, 3), (1, 3), (63, 3), (64, 3), (1000, 3), (700, 1000)] {
            let ranges: Vec<_> = chunks(usize::MAX, rows, width).collect();
            assert_eq!(ranges.iter().map(ExactSizeIterator::len).sum::<usize>(), rows);
            assert!(ranges.iter().all(|range| range.len() * width <= MOST_VALUES));
            assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert!(ranges.iter().all(|range| SIZES.contains(&range.len())));
        }
    }
}
