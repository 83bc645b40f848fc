//! Ops as text, for people.

use std::fmt;

use super::{Change, Op, Row, RowOp, Table, WhereOp};
use crate::Value;

/// The values of a key, as messages name it.
pub(crate) struct KeyText<'k>(pub(crate) &'k [Value]);

impl fmt::Display for KeyText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        list(f, self.0.iter())
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Row(op) => op.fmt(f),
            Op::Where(op) => op.fmt(f),
            Op::Custom(op) => write!(f, "{op:?}"),
        }
    }
}

impl fmt::Display for RowOp {
    /// Such as `update accounts 'alice': owner = 'Alice', active = true`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, key, change } = self;
        write!(f, "{} {} {}", change.name(), table.name, KeyText(key))?;
        details(f, table, change)
    }
}

impl fmt::Display for WhereOp {
    /// Such as `update_where accounts (owner = 'Alice'): active = true`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, filter, change } = self;
        write!(f, "{}_where {} (", change.name(), table.name)?;
        values(f, table, filter)?;
        f.write_str(")")?;
        details(f, table, change)
    }
}

impl Change {
    fn name(&self) -> &'static str {
        match self {
            Change::Insert(_) => "insert",
            Change::InsertNew(_) => "insert_new",
            Change::Upsert(_) => "upsert",
            Change::Merge(_) => "merge",
            Change::Replace(_) => "replace",
            Change::Update(_) => "update",
            Change::Increment(..) => "increment",
            Change::Modify(_) => "modify",
            Change::ArrayPushUniq(..) => "array_push_uniq",
            Change::ArrayDelete(..) => "array_delete",
            Change::Delete => "delete",
        }
    }
}

fn details(f: &mut fmt::Formatter<'_>, table: &Table, change: &Change) -> fmt::Result {
    match change {
        Change::Insert(row)
        | Change::InsertNew(row)
        | Change::Upsert(row)
        | Change::Merge(row)
        | Change::Replace(row)
        | Change::Update(row) => {
            if !row.is_empty() {
                f.write_str(": ")?;
            }
            values(f, table, row)
        }
        Change::Increment(column, by) => write!(f, ": {} by {by}", name(table, *column)),
        Change::ArrayPushUniq(column, element) | Change::ArrayDelete(column, element) => {
            write!(f, ": {} {element}", name(table, *column))
        }
        Change::Modify(_) => f.write_str(": by a function"),
        Change::Delete => Ok(()),
    }
}

fn values(f: &mut fmt::Formatter<'_>, table: &Table, row: &Row) -> fmt::Result {
    list(f, row.iter().map(|(column, value)| format!("{} = {value}", name(table, *column))))
}

fn name(table: &Table, column: usize) -> &'static str {
    table.columns.get(column).map_or("?", |(name, _)| name)
}

fn list(f: &mut fmt::Formatter<'_>, items: impl Iterator<Item = impl fmt::Display>) -> fmt::Result {
    for (index, item) in items.enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        item.fmt(f)?;
    }
    Ok(())
}
