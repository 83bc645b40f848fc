//! Whether an op fits its table.

use super::{Change, ColumnKind, Op, Row, RowOp, Table, WhereOp};
use crate::{ReduceError, Value};

impl Op {
    /// Whether the op fits its table: every column is there and takes its value, the key is whole and
    /// has no `NULL`, no change touches it, a number is added only to a number, and a whole one to a
    /// whole one.
    ///
    /// # Errors
    /// [`ReduceError`] that names the table and the column.
    pub fn check(&self) -> Result<(), ReduceError> {
        match self {
            Op::Row(op) => op.check(),
            Op::Where(op) => op.check(),
            Op::Custom(_) => Ok(()),
        }
    }
}

impl RowOp {
    fn check(&self) -> Result<(), ReduceError> {
        let table = self.table;
        if self.key.len() != table.key.len() {
            return Err(ReduceError::new(format!(
                "the key of table {} has {} columns, but the op gives {} values",
                table.name,
                table.key.len(),
                self.key.len()
            )));
        }
        for (column, value) in table.key.iter().zip(&self.key) {
            if *value == Value::Null {
                return Err(table.misfit(*column, value));
            }
            table.check_value(*column, value)?;
        }
        self.change.check(table)
    }
}

impl WhereOp {
    fn check(&self) -> Result<(), ReduceError> {
        let table = self.table;
        if !matches!(self.change, Change::Update(_) | Change::Increment(..) | Change::Delete) {
            return Err(ReduceError::new(format!(
                "rows of table {} that are selected by their values can be updated, incremented or \
                 deleted, nothing else",
                table.name
            )));
        }
        if self.filter.is_empty() {
            let text = format!("a change of rows of table {} names no value of them", table.name);
            return Err(ReduceError::new(text));
        }
        for (column, value) in &self.filter {
            table.check_column(*column)?;
            table.check_value(*column, value)?;
            let (name, kind) = table.columns[*column];
            if kind == ColumnKind::Json && *value != Value::Null {
                return Err(ReduceError::new(format!(
                    "column {name} of table {} ({kind:?}) selects no rows: JSON that is kept as \
                     text has no equality",
                    table.name
                )));
            }
        }
        self.change.check(table)
    }
}

impl Change {
    fn check(&self, table: &Table) -> Result<(), ReduceError> {
        let kind = |column: usize| table.columns[column].1;
        match self {
            Change::Insert(row)
            | Change::InsertNew(row)
            | Change::Upsert(row)
            | Change::Merge(row)
            | Change::Replace(row)
            | Change::Update(row) => check_row(table, row),
            Change::Increment(column, by) => {
                table.check_free(*column)?;
                let is_number = match by {
                    Value::Integer(_) | Value::Float(_) => true,
                    Value::Text(_) => ColumnKind::Numeric.takes(by),
                    _ => false,
                };
                let fits = match kind(*column) {
                    ColumnKind::Numeric => *by != Value::Null && ColumnKind::Numeric.takes(by),
                    // A step may be larger than the column, as what it holds may be negative.
                    kind if kind.is_integer() => matches!(by, Value::Integer(_)),
                    kind => kind.is_float() && is_number && kind.takes(by),
                };
                if fits {
                    return Ok(());
                }
                let what = if is_number { "" } else { ": not a number" };
                Err(ReduceError::new(format!(
                    "column {} of table {} ({:?}) cannot be incremented by {by}{what}",
                    table.columns[*column].0,
                    table.name,
                    kind(*column)
                )))
            }
            Change::ArrayPushUniq(column, element) | Change::ArrayDelete(column, element) => {
                table.check_free(*column)?;
                let (name, kind) = table.columns[*column];
                let why = match kind {
                    ColumnKind::Text | ColumnKind::Json | ColumnKind::Jsonb => return Ok(()),
                    ColumnKind::Array(_) if element.within(kind).is_some() => return Ok(()),
                    ColumnKind::Array(_) => format!("hold {element} as an element"),
                    _ => "hold a JSON array: it is not text".to_owned(),
                };
                let table = table.name;
                Err(ReduceError::new(format!(
                    "column {name} of table {table} ({kind:?}) cannot {why}"
                )))
            }
            Change::Modify(_) | Change::Delete => Ok(()),
        }
    }
}

fn check_row(table: &Table, row: &Row) -> Result<(), ReduceError> {
    row.iter().try_for_each(|(column, value)| {
        table.check_free(*column)?;
        table.check_value(*column, value)
    })
}

impl Table {
    fn check_column(&self, column: usize) -> Result<(), ReduceError> {
        match self.columns.get(column) {
            Some(_) => Ok(()),
            None => Err(ReduceError::new(format!("table {} has no column {column}", self.name))),
        }
    }

    /// Whether the column is there and not part of the key.
    fn check_free(&self, column: usize) -> Result<(), ReduceError> {
        self.check_column(column)?;
        if self.key.contains(&column) {
            return Err(ReduceError::new(format!(
                "column {} of table {} is part of its key and cannot be changed by an op; delete \
                 the row and insert another",
                self.columns[column].0, self.name
            )));
        }
        Ok(())
    }

    pub(super) fn check_value(&self, column: usize, value: &Value) -> Result<(), ReduceError> {
        if self.columns[column].1.takes(value) { Ok(()) } else { Err(self.misfit(column, value)) }
    }

    fn misfit(&self, column: usize, value: &Value) -> ReduceError {
        let (name, kind) = self.columns[column];
        let as_text = match value.clone().read_as(kind) {
            Value::Text(text) if kind.takes(&Value::Text(text.clone())) => {
                format!(", which is written '{text}' here")
            }
            _ => String::new(),
        };
        ReduceError::new(format!(
            "column {name} of table {} ({kind:?}) cannot take {value}{as_text}",
            self.name
        ))
    }
}
