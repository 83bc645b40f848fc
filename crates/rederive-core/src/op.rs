//! [`Op`]s: the changes a reducer emits, as data.
//!
//! An op says what should become of one row, not how: a store merges the ops of many partitions
//! and turns them into few statements. What data cannot say is said by a [`CustomOp`].

use std::{any::Any, fmt, sync::Arc};

use smallvec::SmallVec;

use crate::{PartitionId, ReduceError, Value};

/// The name, columns and primary key of a table that ops change.
///
/// Stores tell tables apart by name; keep one `static` per table.
///
/// ```
/// use rederive_core::{ColumnKind::{BigInt, Text}, Table};
///
/// static ACCOUNTS: Table = Table::new("accounts", &[("id", Text), ("balance", BigInt)], &[0]);
/// assert_eq!(ACCOUNTS.column("balance"), Some(1));
/// ```
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Table {
    /// The table's name.
    pub name: &'static str,
    /// The columns' names and kinds.
    pub columns: &'static [(&'static str, ColumnKind)],
    /// The columns of the primary key, as indices into [`columns`](Self::columns).
    pub key: &'static [usize],
}

/// What a column holds, as far as a store has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColumnKind {
    /// A truth value.
    Bool,
    /// An integer of 16 bits.
    SmallInt,
    /// An integer of 32 bits.
    Integer,
    /// An integer of 64 bits.
    BigInt,
    /// A floating-point number of 32 bits.
    Float,
    /// A floating-point number of 64 bits.
    Double,
    /// Text.
    Text,
    /// Bytes.
    Binary,
}

impl Table {
    /// A table; `key` holds indices into `columns`.
    pub const fn new(
        name: &'static str,
        columns: &'static [(&'static str, ColumnKind)],
        key: &'static [usize],
    ) -> Self {
        Self { name, columns, key }
    }

    /// The index of the column of that name.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|(column, _)| *column == name)
    }
}

/// The values of a primary key, in the order of [`Table::key`].
pub type Key = SmallVec<[Value; 1]>;

/// Values of columns outside the primary key, as (index into [`Table::columns`], value).
pub type Row = Vec<(usize, Value)>;

/// One change that a reducer emits.
#[derive(Clone, Debug)]
pub enum Op {
    /// A change of one row.
    Row(RowOp),
    /// Something only one kind of store understands.
    Custom(Arc<dyn CustomOp>),
}

/// A change of the row with this key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowOp {
    /// The table.
    pub table: &'static Table,
    /// The row's primary key.
    pub key: Key,
    /// What becomes of the row.
    pub change: Change,
}

/// What becomes of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new row; columns not named take their defaults. Rejected when the key exists.
    Insert(Row),
    /// A new row, or nothing when the key exists.
    InsertNew(Row),
    /// A new row, or new values for the named columns of the row that exists.
    Upsert(Row),
    /// New values for the named columns. Rejected when no row has the key.
    Update(Row),
    /// Adds the number to the column; `NULL` counts as zero. Rejected when no row has the key and
    /// when an integer column would overflow.
    Increment(usize, Value),
    /// No row with this key any more; nothing when there was none.
    Delete,
}

/// An op that only one kind of store understands, such as a Diesel statement.
///
/// The store recognises it by downcasting; a store that does not know it rejects the commit, which
/// halts the partition with an error that names both. It may run more than once (after a rollback),
/// so it must not consume anything.
pub trait CustomOp: Any + Send + Sync + fmt::Debug {}

/// Collects the ops that one event leads to; handed to
/// [`Reducer::reduce`](crate::Reducer::reduce).
#[derive(Debug)]
pub struct Ops {
    partition: PartitionId,
    list: Vec<Op>,
}

impl Ops {
    /// Nothing yet, for events reduced for `partition`.
    pub fn new(partition: PartitionId) -> Self {
        Self { partition, list: Vec::new() }
    }

    /// The partition that the event is being reduced for: an event that belongs to several is
    /// reduced once for each.
    pub fn partition(&self) -> &PartitionId {
        &self.partition
    }

    /// Adds an op.
    ///
    /// # Errors
    /// [`ReduceError`] when the op does not fit its table: a key of the wrong length, a column that
    /// does not exist or is part of the key.
    pub fn push(&mut self, op: Op) -> Result<(), ReduceError> {
        if let Op::Row(row) = &op {
            row.check()?;
        }
        self.list.push(op);
        Ok(())
    }

    /// Adds a change of the row of `table` with this key.
    ///
    /// # Errors
    /// As for [`push`](Self::push).
    pub fn change(
        &mut self,
        table: &'static Table,
        key: impl IntoIterator<Item = Value>,
        change: Change,
    ) -> Result<(), ReduceError> {
        self.push(Op::Row(RowOp { table, key: key.into_iter().collect(), change }))
    }

    /// The ops so far.
    pub fn as_slice(&self) -> &[Op] {
        &self.list
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        self.list.truncate(len);
    }

    /// The ops collected.
    pub fn into_vec(self) -> Vec<Op> {
        self.list
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
        let fits = |column: usize| {
            if table.columns.get(column).is_none() {
                Err(ReduceError::new(format!("table {} has no column {column}", table.name)))
            } else if table.key.contains(&column) {
                Err(ReduceError::new(format!(
                    "column {} of table {} is part of its key and cannot be changed by an op; \
                     delete the row and insert another",
                    table.columns[column].0, table.name
                )))
            } else {
                Ok(())
            }
        };
        match &self.change {
            Change::Insert(row)
            | Change::InsertNew(row)
            | Change::Upsert(row)
            | Change::Update(row) => row.iter().try_for_each(|(column, _)| fits(*column)),
            Change::Increment(column, by) => {
                fits(*column)?;
                match by {
                    Value::Integer(_) | Value::Float(_) => Ok(()),
                    other => Err(ReduceError::new(format!(
                        "column {} of table {} cannot be incremented by {other}: not a number",
                        table.columns[*column].0, table.name
                    ))),
                }
            }
            Change::Delete => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static POINTS: Table = Table::new(
        "points",
        &[("x", ColumnKind::BigInt), ("y", ColumnKind::BigInt), ("name", ColumnKind::Text)],
        &[0, 1],
    );

    fn refusal(key: &[i64], change: Change) -> String {
        let mut ops = Ops::new("p".into());
        let key: Vec<Value> = key.iter().copied().map(Value::from).collect();
        let error = ops.change(&POINTS, key, change).expect_err("the op was accepted");
        assert!(ops.as_slice().is_empty());
        error.to_string()
    }

    #[test]
    fn an_op_that_does_not_fit_its_table_is_refused_with_the_table_named() {
        assert_eq!(
            refusal(&[1], Change::Delete),
            "the key of table points has 2 columns, but the op gives 1 values"
        );
        assert_eq!(
            refusal(&[1, 2], Change::Update(vec![(3, Value::Null)])),
            "table points has no column 3"
        );
        assert!(refusal(&[1, 2], Change::Update(vec![(1, 5.into())])).contains("part of its key"));
        assert!(refusal(&[1, 2], Change::Increment(2, "one".into())).contains("not a number"));
    }
}
