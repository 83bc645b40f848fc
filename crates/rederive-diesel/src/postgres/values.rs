//! From values of ops to what is bound, and how columns are read back.

use std::borrow::Cow;

use rederive_core::{ChangeError, ColumnKind, Key, Table, Value, effect::OUTBOX};

use super::{
    ids,
    lengths::check_cursor,
    sql::{Bind, quoted},
    tables::is_ours,
    text::escaped,
};
use crate::compute::key_text;

/// The array of the values that rows have in a column; each comes with the key of its row, for
/// messages.
pub(crate) fn array<'a>(
    table: &Table,
    column: usize,
    values: impl Iterator<Item = (&'a Value, &'a Key)>,
) -> Result<Bind<'a>, ChangeError> {
    let kind = table.columns[column].1;
    let misfit = |value: &Value, key: &Key| {
        let (name, table) = (table.columns[column].0, table.name);
        let key = key_text(key);
        ChangeError::rejected(format!(
            "column {name} of table {table} ({kind:?}) cannot hold {value} (table {table}, key {key})"
        ))
    };
    macro_rules! array {
        ($variant:ident, $value:ident => $converted:expr) => {{
            let each = |($value, key): (&'a Value, &'a Key)| match $value {
                Value::Null => Ok(None),
                _ => $converted.map(Some).ok_or_else(|| misfit($value, key)),
            };
            values.map(each).collect::<Result<_, _>>().map(Bind::$variant)
        }};
    }
    match kind {
        ColumnKind::Bool => array!(Bools, value => boolean(value)),
        ColumnKind::SmallInt => {
            array!(SmallInts, value => integer(value).and_then(|it| i16::try_from(it).ok()))
        }
        ColumnKind::Integer => {
            array!(Integers, value => integer(value).and_then(|it| i32::try_from(it).ok()))
        }
        ColumnKind::BigInt => array!(BigInts, value => integer(value)),
        ColumnKind::Float => array!(Floats, value => float(value).map(narrow)),
        ColumnKind::Double => array!(Doubles, value => float(value)),
        ColumnKind::Binary => array!(Binaries, value => bytes(value)),
        _ if is_ours(table) => {
            let name = table.columns[column].0;
            let bind = array!(Texts, value => plain(value).map(|it| match name {
                "id" => ids::key(it),
                _ => escaped(it),
            }))?;
            if let Bind::Texts(texts) = &bind
                && (table.name, name) == (OUTBOX.name, "cursor")
            {
                texts.iter().flatten().try_for_each(|cursor| check_cursor(cursor))?;
            }
            Ok(bind)
        }
        ColumnKind::Array(of) => {
            array!(Texts, value => plain(value).and_then(|it| literal(it, *of)).map(Cow::Owned))
        }
        _ => {
            let each = |(value, key): (&'a Value, &'a Key)| match value {
                Value::Null => Ok(None),
                Value::Text(text) if text.contains('\0') => Err(no_nul(table, column, key)),
                Value::Text(text) => Ok(Some(Cow::Borrowed(text.as_str()))),
                other => Err(misfit(other, key)),
            };
            Ok(Bind::Texts(values.map(each).collect::<Result<_, _>>()?))
        }
    }
}

fn no_nul(table: &Table, column: usize, key: &Key) -> ChangeError {
    let (name, table, key) = (table.columns[column].0, table.name, key_text(key));
    ChangeError::rejected(format!(
        "column {name} of table {table} cannot hold a text with NUL (U+0000) in it: PostgreSQL has no \
         such text (table {table}, key {key})"
    ))
}

fn boolean(value: &Value) -> Option<bool> {
    if let Value::Bool(value) = value { Some(*value) } else { None }
}

fn integer(value: &Value) -> Option<i64> {
    if let Value::Integer(value) = value { Some(*value) } else { None }
}

#[allow(clippy::cast_precision_loss, reason = "a float column has a float's precision")]
pub(crate) fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Float(value) => Some(*value),
        Value::Integer(value) => Some(*value as f64),
        _ => None,
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the column has 32 bits")]
fn narrow(value: f64) -> f32 {
    value as f32
}

fn bytes(value: &Value) -> Option<&[u8]> {
    if let Value::Bytes(value) = value { Some(value) } else { None }
}

fn plain(value: &Value) -> Option<&str> {
    if let Value::Text(value) = value { Some(value) } else { None }
}

/// The array of PostgreSQL's that a JSON array is.
fn literal(json: &str, of: ColumnKind) -> Option<String> {
    let elements: Vec<serde_json::Value> = serde_json::from_str(json).ok()?;
    let element = |element: serde_json::Value| {
        let text = match element {
            serde_json::Value::Null => return "NULL".to_owned(),
            serde_json::Value::String(text)
                if !matches!(of, ColumnKind::Json | ColumnKind::Jsonb) =>
            {
                text
            }
            other => other.to_string(),
        };
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    };
    let elements: Vec<_> = elements.into_iter().map(element).collect();
    let literal = format!("{{{}}}", elements.join(","));
    Some(literal).filter(|literal| !literal.contains('\0'))
}

/// A value that was bound as text or as something narrower, as the column's type.
pub(crate) fn cast(value: &str, kind: ColumnKind, declared: &str) -> String {
    let bound = match kind {
        ColumnKind::Bool => "boolean",
        ColumnKind::SmallInt => "smallint",
        ColumnKind::Integer => "integer",
        ColumnKind::BigInt => "bigint",
        ColumnKind::Float => "real",
        ColumnKind::Double => "double precision",
        ColumnKind::Binary => "bytea",
        _ => "text",
    };
    if declared == bound || declared.is_empty() {
        value.to_owned()
    } else {
        format!("{value}::{declared}")
    }
}

/// How a column is selected, so that its values are what ops carry. Its text does not depend on
/// settings of the session.
pub(crate) fn selected(alias: &str, name: &str, kind: ColumnKind) -> String {
    let column = format!("{alias}.{}", quoted(name));
    match kind {
        ColumnKind::Bool
        | ColumnKind::SmallInt
        | ColumnKind::Integer
        | ColumnKind::BigInt
        | ColumnKind::Float
        | ColumnKind::Double
        | ColumnKind::Binary => column,
        ColumnKind::Timestamp | ColumnKind::Timestamptz | ColumnKind::Date => {
            format!("pg_catalog.to_json({column}) #>> '{{}}'")
        }
        ColumnKind::Array(_) => format!("pg_catalog.to_json({column})::text"),
        _ => format!("{column}::text"),
    }
}
