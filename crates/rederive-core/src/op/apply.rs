//! What a change makes of a row, for stores that compute rows themselves.

use std::{
    borrow::Cow,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::{Change, ColumnKind, Json, Row, RowFn, Table, text::KeyText};
use crate::{FailureKind, Value, canonical::Decimal, error::panic_message};

/// A change cannot be made; the row is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ChangeError {
    /// [`FailureKind::Panic`] when a function of the user's panicked, else
    /// [`FailureKind::Rejected`].
    pub kind: FailureKind,
    /// What was said; it names the table, and the row's key.
    pub message: String,
}

impl ChangeError {
    /// A rejection with this text.
    pub fn rejected(message: impl ToString) -> Self {
        Self { kind: FailureKind::Rejected, message: message.to_string() }
    }
}

impl Change {
    /// What becomes of the row with this key, given and answered as one value per column of the
    /// table, or `None` for no row. The op must have passed [`Op::check`](super::Op::check).
    ///
    /// This is the definition of every change: a store that makes it by other means must come to the
    /// same row, but for the defaults of a new row, which are `NULL` here.
    ///
    /// # Errors
    /// [`ChangeError`] when the change is rejected.
    pub fn apply(
        &self,
        table: &Table,
        key: &[Value],
        row: Option<&[Value]>,
    ) -> Result<Option<Vec<Value>>, ChangeError> {
        let missing = || {
            let key = KeyText(key);
            ChangeError::rejected(format!("table {} has no row with key {key}", table.name))
        };
        let old = || row.map(<[Value]>::to_vec).ok_or_else(missing);
        let new = match self {
            Change::Insert(_) if row.is_some() => {
                return Err(ChangeError::rejected(format!(
                    "table {} already has a row with key {}",
                    table.name,
                    KeyText(key)
                )));
            }
            Change::InsertNew(_) if row.is_some() => old()?,
            Change::Insert(values) | Change::InsertNew(values) | Change::Replace(values) => {
                set(table, blank(table, key), values)
            }
            Change::Upsert(values) | Change::Merge(values) => {
                set(table, row.map_or_else(|| blank(table, key), <[Value]>::to_vec), values)
            }
            Change::Update(values) => set(table, old()?, values),
            Change::Increment(column, by) => {
                let mut row = old()?;
                let sum = add(table, *column, &row[*column], by);
                row[*column] = sum.map_err(|what| at(&what, key))?;
                row
            }
            Change::Modify(function) => modify(table, key, function, old()?)?,
            Change::ArrayPushUniq(column, element) => {
                edit(table, key, *column, element, old()?, Json::pushed_to)?
            }
            Change::ArrayDelete(column, element) => {
                edit(table, key, *column, element, old()?, Json::deleted_from)?
            }
            Change::Delete => return Ok(None),
        };
        Ok(Some(new))
    }
}

fn at(what: &str, key: &[Value]) -> ChangeError {
    ChangeError::rejected(format!("{what}, in the row with key {}", KeyText(key)))
}

fn blank(table: &Table, key: &[Value]) -> Vec<Value> {
    let mut row = vec![Value::Null; table.columns.len()];
    for (column, value) in table.key.iter().zip(key) {
        row[*column] = value.clone();
    }
    row
}

fn set(table: &Table, mut row: Vec<Value>, values: &Row) -> Vec<Value> {
    for (column, value) in values {
        row[*column] = value.clone().read_as(table.columns[*column].1);
    }
    row
}

fn add(table: &Table, column: usize, value: &Value, by: &Value) -> Result<Value, String> {
    let (name, kind) = table.columns[column];
    let value = match value {
        Value::Null => Value::Integer(0).read_as(kind),
        value => value.clone().read_as(kind),
    };
    let no_number = || format!("column {name} of table {} holds {value}, not a number", table.name);
    let sum = match (&value, by.clone().read_as(kind)) {
        (Value::Integer(value), Value::Integer(by)) => value.checked_add(by).map(Value::Integer),
        (Value::Float(value), Value::Float(by)) => Some(Value::Float(value + by)),
        (Value::Text(value), Value::Text(by)) if kind == ColumnKind::Numeric => {
            let (Some(value), Some(by)) = (Decimal::parse(value), Decimal::parse(&by)) else {
                return Err(no_number());
            };
            value.add(&by).map(|sum| Value::from(sum.to_string()))
        }
        _ => return Err(no_number()),
    };
    sum.filter(|sum| kind.takes(sum))
        .ok_or_else(|| format!("column {name} of table {} overflows", table.name))
}

fn modify(
    table: &Table,
    key: &[Value],
    function: &RowFn,
    old: Vec<Value>,
) -> Result<Vec<Value>, ChangeError> {
    let mut row = old.clone();
    let failed = |kind, what: &str| ChangeError {
        kind,
        message: format!(
            "modifying the row of table {} with key {} failed: {what}",
            table.name,
            KeyText(key)
        ),
    };
    // The copy of the row is all that a panic can leave half done.
    match catch_unwind(AssertUnwindSafe(|| function.call(&mut row))) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(failed(FailureKind::Rejected, &error.to_string())),
        Err(payload) => return Err(failed(FailureKind::Panic, &panic_message(&*payload))),
    }
    for (column, value) in table.key.iter().zip(key) {
        if row[*column] != *value {
            let text = format!("it changes column {} of the key", table.columns[*column].0);
            return Err(failed(FailureKind::Rejected, &text));
        }
    }
    // What it left alone is not judged: a database may hold what its program does not expect.
    for (column, value) in row.iter_mut().enumerate() {
        if *value != old[column] {
            *value = std::mem::take(value).read_as(table.columns[column].1);
            let fits = table.check_value(column, value);
            fits.map_err(|error| failed(FailureKind::Rejected, &error.to_string()))?;
        }
    }
    Ok(row)
}

fn edit(
    table: &Table,
    key: &[Value],
    column: usize,
    element: &Json,
    mut row: Vec<Value>,
    edited: impl FnOnce(&Json, Option<&str>) -> serde_json::Result<Option<String>>,
) -> Result<Vec<Value>, ChangeError> {
    // One that the column cannot take has been refused.
    let element = element.within(table.columns[column].1).unwrap_or(Cow::Borrowed(element));
    let no_array = |why: &str| {
        let (name, value) = (table.columns[column].0, &row[column]);
        let what =
            format!("column {name} of table {} holds {value}, not a JSON array{why}", table.name);
        at(&what, key)
    };
    let array = match &row[column] {
        Value::Null => None,
        Value::Text(text) => Some(text.as_str()),
        _ => return Err(no_array("")),
    };
    if let Some(array) =
        edited(&element, array).map_err(|error| no_array(&format!(" ({error})")))?
    {
        row[column] = Value::from(array);
    }
    Ok(row)
}
