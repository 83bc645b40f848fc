//! [`Op`]s: the changes a reducer emits, as data.
//!
//! An op says what should become of one row, or of all rows with certain values, not how: a store
//! merges the ops of many partitions and turns them into few statements. What data cannot say is said
//! by a [`CustomOp`].

mod kind;
mod table;
mod change;
mod row_fn;
mod json;
mod apply;
mod check;
mod text;

use std::{any::Any, fmt, sync::Arc};

use smallvec::SmallVec;

pub use apply::ChangeError;
pub use change::Change;
pub use json::Json;
pub use kind::ColumnKind;
pub use row_fn::RowFn;
pub use table::Table;

use serde::Serialize;

use crate::{Cursor, EffectKey, PartitionId, ReduceError, Value};

/// The values of a primary key, in the order of [`Table::key`].
pub type Key = SmallVec<[Value; 1]>;

/// Values of columns, as (index into [`Table::columns`], value).
pub type Row = Vec<(usize, Value)>;

/// One change that a reducer emits. Its [`Display`](fmt::Display) is for people.
#[derive(Clone, Debug)]
pub enum Op {
    /// A change of one row.
    Row(RowOp),
    /// A change of all rows that have certain values.
    Where(WhereOp),
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

/// A change of every row whose columns hold these values; of none, when there is no such row.
///
/// It comes in order with the other ops of its partition on the table. Rows that another partition
/// makes or changes in the same transaction may be met before or after that: which, is not defined.
/// So the values should be such that only rows of its own partition have them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhereOp {
    /// The table.
    pub table: &'static Table,
    /// What the columns must hold, all of them. `NULL` is what a column without a value holds.
    /// Columns of the key may be among them.
    pub filter: Row,
    /// What becomes of each such row: an [`Update`](Change::Update), an
    /// [`Increment`](Change::Increment) or a [`Delete`](Change::Delete).
    pub change: Change,
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
    reducer: Arc<str>,
    partition: PartitionId,
    /// The event that is being reduced.
    cursor: Cursor,
    /// How many effects it has led to.
    effects: u32,
    list: Vec<Op>,
}

impl Ops {
    /// Nothing yet, for events reduced for `partition`.
    pub fn new(partition: PartitionId) -> Self {
        Self::of_reducer("".into(), partition)
    }

    /// The same for this reducer.
    pub(crate) fn of_reducer(reducer: Arc<str>, partition: PartitionId) -> Self {
        Self { reducer, partition, cursor: Cursor::Start, effects: 0, list: Vec::new() }
    }

    /// What comes now follows from the event at this cursor.
    pub(crate) fn begin(&mut self, cursor: &Cursor) {
        self.cursor = cursor.clone();
        self.effects = 0;
    }

    /// The partition that the event is being reduced for: an event that belongs to several is
    /// reduced once for each.
    pub fn partition(&self) -> &PartitionId {
        &self.partition
    }

    /// Adds an op.
    ///
    /// # Errors
    /// [`ReduceError`] when the op does not fit its table, as [`Op::check`] says; it was not added.
    pub fn push(&mut self, op: Op) -> Result<(), ReduceError> {
        op.check()?;
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

    /// Adds a change of the rows of `table` whose columns hold the values of `filter`.
    ///
    /// # Errors
    /// As for [`push`](Self::push).
    pub fn change_where(
        &mut self,
        table: &'static Table,
        filter: Row,
        change: Change,
    ) -> Result<(), ReduceError> {
        self.push(Op::Where(WhereOp { table, filter, change }))
    }

    /// Adds an effect: something to be done outside the store once the event is committed, such as
    /// a mail to be sent.
    ///
    /// It is written to the outbox of the store in the same transaction as the event's other ops,
    /// as JSON, and delivered afterwards by the [`Deliver`](crate::Deliver) that the reducer was
    /// registered with: at least once, and in order within the partition. What fails takes no effect
    /// along, as with every op.
    ///
    /// # Errors
    /// [`ReduceError`] when the value has no JSON, such as a map whose keys are not text; nothing was
    /// added.
    pub fn effect<T: Serialize + ?Sized>(&mut self, effect: &T) -> Result<(), ReduceError> {
        let effect = serde_json::to_string(effect)?;
        let key = EffectKey {
            partition: self.partition.clone(),
            cursor: self.cursor.clone(),
            number: self.effects,
        };
        self.push(key.insert(&self.reducer, effect))?;
        self.effects += 1;
        Ok(())
    }

    /// The ops so far.
    pub fn as_slice(&self) -> &[Op] {
        &self.list
    }

    /// Behind these ops.
    pub(crate) fn go_on(&mut self, ops: Vec<Op>) {
        self.list = ops;
    }

    /// Makes room for so many more ops.
    pub(crate) fn reserve(&mut self, ops: usize) {
        self.list.reserve(ops);
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        self.list.truncate(len);
    }

    /// The ops collected.
    pub fn into_vec(self) -> Vec<Op> {
        self.list
    }
}

#[cfg(test)]
mod tests;
