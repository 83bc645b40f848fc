//! The tables of a [`MemoryStore`](super::MemoryStore).

use std::collections::{BTreeMap, HashMap};

use crate::{Change, ColumnKind, Key, Row, RowOp, Table, Value};

/// Rows by table and key.
#[derive(Default)]
pub(super) struct Rows(HashMap<&'static str, BTreeMap<Key, Vec<Value>>>);

/// What a row was before each change, in the order of the changes.
#[derive(Default)]
pub(super) struct Undo(Vec<(&'static Table, Key, Option<Vec<Value>>)>);

impl Rows {
    pub(super) fn get(&self, table: &'static Table, key: &Key) -> Option<&Vec<Value>> {
        self.0.get(table.name)?.get(key)
    }

    pub(super) fn all(&self, table: &'static Table) -> impl Iterator<Item = &Vec<Value>> {
        self.0.get(table.name).into_iter().flat_map(BTreeMap::values)
    }

    /// Applies one op and notes how to undo it. An error leaves the row as it was.
    pub(super) fn apply(&mut self, op: &RowOp, undo: &mut Undo) -> Result<(), String> {
        let RowOp { table, key, change } = op;
        let row = self.get(table, key);
        let new = match (change, row) {
            (Change::Insert(_), Some(_)) => {
                return Err(format!(
                    "table {} already has a row with key {}",
                    table.name,
                    key_text(key)
                ));
            }
            (Change::Update(_) | Change::Increment(..), None) => {
                return Err(format!("table {} has no row with key {}", table.name, key_text(key)));
            }
            (Change::InsertNew(_), Some(_)) => return Ok(()),
            (Change::Insert(values) | Change::InsertNew(values) | Change::Upsert(values), None) => {
                Some(set(blank(table, key), values))
            }
            (Change::Upsert(values) | Change::Update(values), Some(row)) => {
                Some(set(row.clone(), values))
            }
            (Change::Increment(column, by), Some(row)) => {
                let mut row = row.clone();
                row[*column] = add(table, *column, &row[*column], by)?;
                Some(row)
            }
            (Change::Delete, _) => None,
        };
        let rows = self.0.entry(table.name).or_default();
        let old = match new {
            Some(row) => rows.insert(key.clone(), row),
            None => rows.remove(key),
        };
        undo.0.push((table, key.clone(), old));
        Ok(())
    }

    /// Takes back all changes noted.
    pub(super) fn undo(&mut self, undo: Undo) {
        for (table, key, old) in undo.0.into_iter().rev() {
            let rows = self.0.entry(table.name).or_default();
            match old {
                Some(row) => rows.insert(key, row),
                None => rows.remove(&key),
            };
        }
    }
}

fn blank(table: &Table, key: &Key) -> Vec<Value> {
    let mut row = vec![Value::Null; table.columns.len()];
    for (column, value) in table.key.iter().zip(key) {
        row[*column] = value.clone();
    }
    row
}

fn set(mut row: Vec<Value>, values: &Row) -> Vec<Value> {
    for (column, value) in values {
        row[*column] = value.clone();
    }
    row
}

fn add(table: &Table, column: usize, value: &Value, by: &Value) -> Result<Value, String> {
    let (name, kind) = table.columns[column];
    let zero = match kind {
        ColumnKind::Float | ColumnKind::Double => Value::Float(0.0),
        _ => Value::Integer(0),
    };
    let value = if *value == Value::Null { &zero } else { value };
    let fits = |sum: &i64| match kind {
        ColumnKind::SmallInt => i16::try_from(*sum).is_ok(),
        ColumnKind::Integer => i32::try_from(*sum).is_ok(),
        _ => true,
    };
    #[allow(clippy::cast_precision_loss, reason = "a float column has a float's precision")]
    match (value, by) {
        (Value::Integer(value), Value::Integer(by)) => {
            let sum = value.checked_add(*by).filter(fits).map(Value::Integer);
            sum.ok_or_else(|| format!("column {name} of table {} overflows", table.name))
        }
        (Value::Float(value), Value::Float(by)) => Ok(Value::Float(value + by)),
        (Value::Float(value), Value::Integer(by)) => Ok(Value::Float(value + *by as f64)),
        (Value::Integer(value), Value::Float(by)) => Ok(Value::Float(*value as f64 + by)),
        (value, _) => {
            Err(format!("column {name} of table {} holds {value}, not a number", table.name))
        }
    }
}

fn key_text(key: &Key) -> String {
    key.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
