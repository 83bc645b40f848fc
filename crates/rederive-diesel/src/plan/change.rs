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
    /// An upsert of a row that perhaps could not be inserted.
    Merge,
    Replace,
    /// Sets and adds to columns of a row that must exist.
    Update,
    /// Applies [`Planned::changes`], one after the other, to a row that must exist and is read first.
    Compute,
    Delete,
}

/// What becomes of a column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell<'a> {
    Set(&'a Value),
    /// The result of a merge or of a computation.
    SetTo(Value),
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
    /// The changes of [`Kind::Compute`].
    pub(crate) changes: Vec<&'a Change>,
}

impl Cell<'_> {
    /// Adds the number to a column of this kind.
    pub(crate) fn added(kind: ColumnKind, by: &Value) -> Self {
        if kind.is_float() {
            Cell::AddFloat(float(by))
        } else {
            let total = integer(by);
            Cell::Add { total, low: total.min(0), high: total.max(0) }
        }
    }

    pub(crate) fn is_add(&self) -> bool {
        matches!(self, Cell::Add { .. } | Cell::AddFloat(_))
    }

    /// The value that the column is set to, if it is.
    fn set(&self) -> Option<&Value> {
        match self {
            Cell::Set(value) => Some(value),
            Cell::SetTo(value) => Some(value),
            Cell::Add { .. } | Cell::AddFloat(_) => None,
        }
    }
}

impl<'a> Planned<'a> {
    pub(crate) fn new(
        table: &'static Table,
        key: &'a Key,
        change: &'a Change,
        facts: &TableFacts,
    ) -> Self {
        let kind = match change {
            Change::Insert(_) => Kind::Insert,
            Change::InsertNew(_) => Kind::InsertNew,
            Change::Upsert(_) => Kind::Upsert,
            // A row that could be inserted may as well be upserted, unless somebody watches how.
            Change::Merge(row) if facts.policy == Policy::Merge && facts.complete(row) => {
                Kind::Upsert
            }
            Change::Merge(_) => Kind::Merge,
            Change::Replace(_) => Kind::Replace,
            // Databases do not agree on decimal numbers: SQLite adds floating-point ones.
            Change::Increment(column, _) if is_numeric(table, *column) => Kind::Compute,
            Change::Update(_) | Change::Increment(..) => Kind::Update,
            Change::Modify(_) | Change::ArrayPushUniq(..) | Change::ArrayDelete(..) => {
                Kind::Compute
            }
            Change::Delete => Kind::Delete,
        };
        let mut planned = Self { table, key, kind, cells: SmallVec::new(), changes: Vec::new() };
        match change {
            Change::Insert(row)
            | Change::InsertNew(row)
            | Change::Upsert(row)
            | Change::Merge(row)
            | Change::Replace(row)
            | Change::Update(row) => planned.set(row),
            Change::Increment(column, by) if kind != Kind::Compute => {
                planned.put(*column, Cell::added(table.columns[*column].1, by));
            }
            Change::Increment(..)
            | Change::Modify(_)
            | Change::ArrayPushUniq(..)
            | Change::ArrayDelete(..) => {
                planned.changes.push(change);
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
        let exists = !matches!(self.kind, Kind::InsertNew | Kind::Delete);
        match change {
            Change::Delete => self.kind == Kind::Delete,
            Change::Insert(_) => false,
            Change::InsertNew(row) => {
                (exists || self.kind == Kind::InsertNew) && facts.complete(row)
            }
            Change::Replace(row) => self.give_way(row, facts),
            // Also for a row that exists, SQL wants the row to be one that could be inserted.
            Change::Upsert(row) if !facts.complete(row) => false,
            _ if self.kind == Kind::Compute => {
                self.changes.push(change);
                true
            }
            Change::Update(row) | Change::Upsert(row) | Change::Merge(row) => {
                exists && self.overwrite(row, facts)
            }
            Change::Increment(column, by) => exists && self.increment(*column, by, facts),
            Change::Modify(_) | Change::ArrayPushUniq(..) | Change::ArrayDelete(..) => false,
        }
    }

    /// Lets another row take the place of this one, which is there in any case.
    fn give_way(&mut self, row: &'a Row, facts: &TableFacts) -> bool {
        let stands_alone = match self.kind {
            Kind::Insert | Kind::InsertNew | Kind::Upsert | Kind::Merge | Kind::Replace => {
                self.is_complete(facts)
            }
            Kind::Update | Kind::Compute | Kind::Delete => false,
        };
        if stands_alone {
            // An insert goes on to demand that the key be new.
            if self.kind != Kind::Insert {
                self.kind = Kind::Replace;
            }
            self.cells.clear();
            self.set(row);
        }
        stands_alone
    }

    /// Whether a new row of these values has all that the table demands.
    fn is_complete(&self, facts: &TableFacts) -> bool {
        let accepts = |(column, cell): &(usize, Cell<'a>)| {
            cell.set().is_some_and(|value| facts.accepts(*column, value))
        };
        self.cells.iter().all(accepts)
            && facts.required.iter().all(|required| self.cell(*required).is_some())
    }

    fn overwrite(&mut self, row: &'a Row, facts: &TableFacts) -> bool {
        let possible = row.iter().all(|(column, _)| match self.cell(*column) {
            Some(cell) => cell.set().is_some_and(|old| facts.accepts(*column, old)),
            // A new row without the column got its default, which the database may have refused.
            None => self.kind == Kind::Update,
        });
        if possible {
            self.set(row);
        }
        possible
    }

    fn increment(&mut self, column: usize, by: &Value, facts: &TableFacts) -> bool {
        let kind = self.table.columns[column].1;
        if is_numeric(self.table, column) {
            return false;
        }
        let is_float = kind.is_float();
        let merged = match self.cell(column) {
            None if self.kind == Kind::Update => Cell::added(kind, by),
            None | Some(Cell::AddFloat(_)) => return false,
            Some(Cell::Add { total, low, high }) => {
                let Some(total) = total.checked_add(integer(by)) else { return false };
                Cell::Add { total, low: total.min(*low), high: total.max(*high) }
            }
            Some(cell) => match cell.set() {
                Some(old) if !facts.accepts(column, old) => return false,
                Some(Value::Null) if is_float => Cell::SetTo(Value::Float(float(by))),
                Some(old @ (Value::Null | Value::Integer(_))) if !is_float => {
                    let sum = integer(old).checked_add(integer(by)).map(Value::Integer);
                    let Some(sum) = sum.filter(|sum| kind.takes(sum)) else { return false };
                    Cell::SetTo(sum)
                }
                Some(old @ (Value::Float(_) | Value::Integer(_))) if kind == ColumnKind::Double => {
                    let sum = float(old) + float(by);
                    if !sum.is_finite() {
                        return false;
                    }
                    Cell::SetTo(Value::Float(sum))
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
    /// Whether the table would certainly take the value; its type has been checked.
    pub(crate) fn accepts(&self, column: usize, value: &Value) -> bool {
        self.takes[column].surely(value) && (*value != Value::Null || self.nullable[column])
    }

    /// Whether a new row of these values has all that the table demands.
    fn complete(&self, row: &Row) -> bool {
        row.iter().all(|(column, value)| self.accepts(*column, value))
            && self.required.iter().all(|required| row.iter().any(|(column, _)| column == required))
    }
}

fn is_numeric(table: &Table, column: usize) -> bool {
    table.columns[column].1 == ColumnKind::Numeric
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
