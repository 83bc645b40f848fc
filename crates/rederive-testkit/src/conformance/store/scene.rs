//! A store with one row, as most checks of changes begin.

#![allow(clippy::expect_used, reason = "a check fails by panicking")]

use rederive_core::{Change, Op, Table, Value};

use super::{
    StoreUnderTest,
    owner::{Owner, op, set},
};

/// The row of `things` with this id, as its named columns that are not `NULL`.
pub(super) fn thing<T: StoreUnderTest>(test: &T, id: &str) -> Option<Vec<(&'static str, Value)>> {
    let things = test.things();
    let row = test.rows(things).into_iter().find(|row| row[0] == Value::from(id))?;
    let named = things.columns.iter().map(|(name, _)| *name).zip(row).skip(1);
    Some(named.filter(|(_, value)| *value != Value::Null).collect())
}

pub(super) fn on(table: &'static Table, id: &str, change: Change) -> Op {
    op(table, [id], change)
}

/// An owner, and a row `a` of `things` with some values.
pub(super) fn scene<T: StoreUnderTest>(test: &T) -> (Owner, &'static Table) {
    let mut owner = Owner::open(test.store(), "accounts");
    let things = test.things();
    let values = set(things, [("big", 5.into()), ("name", "old".into())]);
    owner.apply([on(things, "a", Change::Insert(values))]).expect("it commits");
    (owner, things)
}

pub(super) fn unchanged() -> Option<Vec<(&'static str, Value)>> {
    Some(vec![("big", 5.into()), ("name", "old".into())])
}
