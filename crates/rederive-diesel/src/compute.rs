//! Changes of rows that are computed here, between reading and writing them.

use rederive_core::{Change, ChangeError, Key, Table, Value};
use smallvec::SmallVec;

use crate::plan::{Cell, Kind, Planned, Shape, TableFacts};

/// A value for each column of the table: the key, and what was read.
pub(crate) fn whole(row: &Planned<'_>, columns: &[usize], stored: Vec<Value>) -> Vec<Value> {
    let table = row.table;
    let mut values = vec![Value::Null; table.columns.len()];
    for (column, value) in table.key.iter().zip(row.key) {
        values[*column] = value.clone();
    }
    for (column, value) in columns.iter().zip(stored) {
        values[*column] = value.read_as(table.columns[*column].1);
    }
    values
}

/// The row after these changes; each state of it must be one that the table would take, as far as that
/// is known.
pub(crate) fn changed(
    row: &Planned<'_>,
    changes: &[&Change],
    old: &[Value],
    columns: &[usize],
    facts: &TableFacts,
) -> Result<Vec<Value>, ChangeError> {
    let mut new = old.to_vec();
    for (nth, change) in (1..).zip(changes) {
        new = change.apply(row.table, row.key, Some(&new))?.unwrap_or(new);
        let is_last = nth == changes.len();
        let refuses = |column: &&usize| new[**column] == Value::Null && !facts.nullable[**column];
        if let Some(refused) = columns.iter().find(refuses)
            && !is_last
        {
            let (table, column) = (row.table.name, row.table.columns[*refused].0);
            return Err(ChangeError::rejected(format!(
                "NOT NULL constraint failed: {table}.{column} (table {table}, key {})",
                key_text(row.key)
            )));
        }
    }
    Ok(new)
}

/// Adds an update to what the row has become, if it has changed, to the others of its shape.
pub(crate) fn gather<'a>(
    row: &Planned<'a>,
    columns: &[usize],
    old: &[Value],
    new: &[Value],
    updates: &mut Vec<(Shape, Vec<Planned<'a>>)>,
) {
    let differs = columns.iter().filter(|column| new[**column] != old[**column]);
    let cells: SmallVec<_> =
        differs.map(|column| (*column, Cell::SetTo(new[*column].clone()))).collect();
    if cells.is_empty() {
        return;
    }
    let (table, key) = (row.table, row.key);
    let row = Planned { cells, kind: Kind::Update, table, key, changes: Vec::new() };
    let shape = Shape::of(&row);
    match updates.iter_mut().find(|(of, _)| *of == shape) {
        Some((_, rows)) => rows.push(row),
        None => updates.push((shape, vec![row])),
    }
}

pub(crate) fn no_row(table: &Table, key: &Key) -> ChangeError {
    ChangeError::rejected(format!("table {} has no row with key {}", table.name, key_text(key)))
}

pub(crate) fn key_text(key: &[Value]) -> String {
    key.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
