//! [`Planned`] rows, and when an op may be merged into one.
//!
//! The rule: merge only what is provably the same as running one after the other, for every row that
//! may be stored and also in whether it is rejected. A value that is overwritten must have been
//! acceptable by itself; a sum must not overflow where a partial sum would.

use rederive_core::{Change, ColumnKind, Key, Row, Table, Value};
use smallvec::SmallVec;

use super::{Policy, TableFacts};

/// What becomes of a row; more general than [`Change`], so that merged ops fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Insert,
    InsertNew,
    Upsert,
    /// Sets and adds to columns of a row that must exist.
    Modify,
    Delete,
}

/// What becomes of a column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell<'a> {
    Set(&'a Value),
    /// The result of a merge.
    SetSum(Value),
    /// Adds `total`. The column must have room for `low <= 0` and `high >= 0`: the furthest that the
    /// merged increments lead from where they began, one after the other.
    Add {
        total: i64,
        low: i64,
        high: i64,
    },
    AddFloat(f64),
}

/// One row of the plan: the key, and the columns in ascending order.
#[derive(Clone, Debug)]
pub(crate) struct Planned<'a> {
    pub(crate) table: &'static Table,
    pub(crate) key: &'a Key,
    pub(crate) kind: Kind,
    pub(crate) cells: SmallVec<[(usize, Cell<'a>); 4]>,
}

impl Cell<'_> {
    pub(crate) fn is_add(&self) -> bool {
        matches!(self, Cell::Add { .. } | Cell::AddFloat(_))
    }

    /// The value that the column is set to, if it is.
    fn set(&self) -> Option<&Value> {
        match self {
            Cell::Set(value) => Some(value),
            Cell::SetSum(value) => Some(value),
            Cell::Add { .. } | Cell::AddFloat(_) => None,
        }
    }
}

impl<'a> Planned<'a> {
    pub(crate) fn new(table: &'static Table, key: &'a Key, change: &'a Change) -> Self {
        let kind = match change {
            Change::Insert(_) => Kind::Insert,
            Change::InsertNew(_) => Kind::InsertNew,
            Change::Upsert(_) => Kind::Upsert,
            Change::Update(_) | Change::Increment(..) => Kind::Modify,
            Change::Delete => Kind::Delete,
        };
        let mut planned = Self { table, key, kind, cells: SmallVec::new() };
        match change {
            Change::Insert(row)
            | Change::InsertNew(row)
            | Change::Upsert(row)
            | Change::Update(row) => planned.set(row),
            Change::Increment(column, by) => {
                let cell = match (table.columns[*column].1, by) {
                    (ColumnKind::Float | ColumnKind::Double, by) => Cell::AddFloat(float(by)),
                    (_, by) => {
                        let total = integer(by);
                        Cell::Add { total, low: total.min(0), high: total.max(0) }
                    }
                };
                planned.put(*column, cell);
            }
            Change::Delete => {}
        }
        planned
    }

    /// Lets this row stand for the op too, if that makes no difference; `false` leaves it as it was.
    pub(crate) fn absorb(&mut self, change: &'a Change, facts: &TableFacts) -> bool {
        if facts.policy != Policy::Merge {
            return false;
        }
        // From here on the row is known to exist, or the transaction is rejected anyway.
        let exists = matches!(self.kind, Kind::Insert | Kind::Upsert | Kind::Modify);
        match change {
            Change::Delete => self.kind == Kind::Delete,
            Change::InsertNew(row) => {
                (exists || self.kind == Kind::InsertNew) && facts.complete(row)
            }
            Change::Update(row) => exists && self.overwrite(row, facts),
            // Also for a row that exists, SQL wants the row to be one that could be inserted.
            Change::Upsert(row) => exists && facts.complete(row) && self.overwrite(row, facts),
            Change::Increment(column, by) => exists && self.increment(*column, by, facts),
            Change::Insert(_) => false,
        }
    }

    fn overwrite(&mut self, row: &'a Row, facts: &TableFacts) -> bool {
        let possible = row.iter().all(|(column, _)| match self.cell(*column) {
            Some(cell) => cell.set().is_some_and(|old| facts.accepts(*column, old)),
            // A new row without the column got its default, which the database may have refused.
            None => self.kind == Kind::Modify,
        });
        if possible {
            self.set(row);
        }
        possible
    }

    fn increment(&mut self, column: usize, by: &Value, facts: &TableFacts) -> bool {
        let kind = self.table.columns[column].1;
        let is_float = matches!(kind, ColumnKind::Float | ColumnKind::Double);
        let merged = match self.cell(column) {
            None if self.kind == Kind::Modify => match is_float {
                true => Cell::AddFloat(float(by)),
                false => {
                    let total = integer(by);
                    Cell::Add { total, low: total.min(0), high: total.max(0) }
                }
            },
            None | Some(Cell::AddFloat(_)) => return false,
            Some(Cell::Add { total, low, high }) => {
                let Some(total) = total.checked_add(integer(by)) else { return false };
                Cell::Add { total, low: total.min(*low), high: total.max(*high) }
            }
            Some(cell) => match cell.set() {
                Some(old) if !facts.accepts(column, old) => return false,
                Some(Value::Null) if is_float => Cell::SetSum(Value::Float(float(by))),
                Some(Value::Null) => Cell::SetSum(Value::Integer(integer(by))),
                Some(Value::Integer(old)) if !is_float => {
                    let sum = old.checked_add(integer(by)).filter(|sum| in_range(kind, *sum));
                    let Some(sum) = sum else { return false };
                    Cell::SetSum(Value::Integer(sum))
                }
                Some(old @ (Value::Float(_) | Value::Integer(_))) if kind == ColumnKind::Double => {
                    let sum = float(old) + float(by);
                    if !sum.is_finite() {
                        return false;
                    }
                    Cell::SetSum(Value::Float(sum))
                }
                _ => return false,
            },
        };
        self.put(column, merged);
        true
    }

    fn set(&mut self, row: &'a Row) {
        for (column, value) in row {
            self.put(*column, Cell::Set(value));
        }
    }

    fn cell(&self, column: usize) -> Option<&Cell<'a>> {
        self.cells.iter().find(|(at, _)| *at == column).map(|(_, cell)| cell)
    }

    fn put(&mut self, column: usize, cell: Cell<'a>) {
        let at = self.cells.iter().position(|(at, _)| *at >= column).unwrap_or(self.cells.len());
        match self.cells.get_mut(at) {
            Some((there, old)) if *there == column => *old = cell,
            _ => self.cells.insert(at, (column, cell)),
        }
    }
}

impl TableFacts {
    /// Whether the table would take the value; its type has been checked.
    fn accepts(&self, column: usize, value: &Value) -> bool {
        *value != Value::Null || self.nullable[column]
    }

    /// Whether a new row of these values has all that the table demands.
    fn complete(&self, row: &Row) -> bool {
        row.iter().all(|(column, value)| self.accepts(*column, value))
            && self.required.iter().all(|required| row.iter().any(|(column, _)| column == required))
    }
}

/// Whether an integer column of this kind holds the number.
pub(super) fn in_range(kind: ColumnKind, number: i64) -> bool {
    let (low, high) = range(kind);
    (low..=high).contains(&number)
}

/// The smallest and the largest number of an integer column.
pub(crate) fn range(kind: ColumnKind) -> (i64, i64) {
    match kind {
        ColumnKind::SmallInt => (i16::MIN.into(), i16::MAX.into()),
        ColumnKind::Integer => (i32::MIN.into(), i32::MAX.into()),
        _ => (i64::MIN, i64::MAX),
    }
}

fn integer(value: &Value) -> i64 {
    if let Value::Integer(number) = value { *number } else { 0 }
}

#[allow(clippy::cast_precision_loss, reason = "a float column has a float's precision")]
fn float(value: &Value) -> f64 {
    match value {
        Value::Float(number) => *number,
        Value::Integer(number) => *number as f64,
        _ => 0.0,
    }
}
