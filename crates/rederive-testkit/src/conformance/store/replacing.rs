//! Merging into rows and replacing them.

#![allow(clippy::expect_used, reason = "a check fails by panicking")]

use rederive_core::{Change, Value};

use super::{
    StoreUnderTest,
    owner::{Owner, op, set},
    scene::{on, scene, thing},
};

/// Columns that are not named stay as they are; `NULL` is a value.
pub fn a_merge_makes_a_row_or_changes_the_named_columns<T: StoreUnderTest>(test: T) {
    let (mut owner, things) = scene(&test);
    let merge = |id, big: Value| on(things, id, Change::Merge(set(things, [("big", big)])));
    owner.apply([merge("a", 6.into()), merge("b", 7.into())]).expect("it commits");
    assert_eq!(thing(&test, "a"), Some(vec![("big", 6.into()), ("name", "old".into())]));
    assert_eq!(thing(&test, "b"), Some(vec![("big", 7.into())]));
    let nothing = |id| on(things, id, Change::Merge(vec![]));
    owner.apply([merge("a", Value::Null), nothing("b"), nothing("c")]).expect("it commits");
    assert_eq!(thing(&test, "a"), Some(vec![("name", "old".into())]));
    assert_eq!(thing(&test, "b"), Some(vec![("big", 7.into())]));
    assert_eq!(thing(&test, "c"), Some(vec![]));
}

/// Columns that are not named are as in a new row, also of a row that this transaction has made.
pub fn a_replaced_row_is_exactly_the_new_one<T: StoreUnderTest>(test: T) {
    let (mut owner, things) = scene(&test);
    let replace =
        |id, big: i64| on(things, id, Change::Replace(set(things, [("big", big.into())])));
    let name = |id| on(things, id, Change::Upsert(set(things, [("name", "n".into())])));
    owner.apply([replace("a", 6), replace("b", 7)]).expect("it commits");
    assert_eq!(thing(&test, "a"), Some(vec![("big", 6.into())]));
    assert_eq!(thing(&test, "b"), Some(vec![("big", 7.into())]));
    owner.apply([name("a"), name("c"), replace("a", 8), replace("c", 9)]).expect("it commits");
    assert_eq!(thing(&test, "a"), Some(vec![("big", 8.into())]));
    assert_eq!(thing(&test, "c"), Some(vec![("big", 9.into())]));
    owner.apply([on(things, "a", Change::Replace(vec![])), name("a")]).expect("it commits");
    assert_eq!(thing(&test, "a"), Some(vec![("name", "n".into())]));
    // An insert before it is still one.
    owner.is_refused([on(things, "a", Change::Insert(vec![])), replace("a", 1)]);
    assert_eq!(thing(&test, "a"), Some(vec![("name", "n".into())]));
}

/// Rows that share one of the columns are others.
pub fn rows_of_a_key_of_two_columns_are_replaced_and_merged<T: StoreUnderTest>(test: T) {
    let mut owner = Owner::open(test.store(), "accounts");
    let places = test.places();
    let at = |x: i64, y: &str, change| op(places, [Value::from(x), y.into()], change);
    let n = |n: i64| set(places, [("n", n.into())]);
    let keys = [(1, "a"), (1, "b"), (2, "a")];
    owner.apply(keys.map(|(x, y)| at(x, y, Change::Insert(n(0))))).expect("it commits");
    let ops = [
        at(1, "a", Change::Replace(n(1))),
        at(2, "b", Change::Replace(n(2))),
        at(1, "b", Change::Merge(n(3))),
        at(3, "a", Change::Merge(n(4))),
        at(2, "a", Change::Replace(vec![])),
    ];
    owner.apply(ops).expect("it commits");
    let mut rows = test.rows(places);
    rows.sort_unstable();
    let row = |y: &str, n: Option<i64>, x: i64| vec![Value::from(y), n.into(), x.into()];
    let mut expected = [
        row("a", Some(1), 1),
        row("b", Some(2), 2),
        row("b", Some(3), 1),
        row("a", Some(4), 3),
        row("a", None, 2),
    ];
    expected.sort_unstable();
    assert_eq!(rows, expected);
}

/// It is there afterwards, whether or not it was before.
pub fn a_row_that_is_all_key_can_be_replaced_and_merged<T: StoreUnderTest>(test: T) {
    let mut owner = Owner::open(test.store(), "accounts");
    let tags = test.tags();
    for _ in 0..2 {
        let ops = [
            on(tags, "a", Change::Replace(vec![])),
            on(tags, "b", Change::Merge(vec![])),
            on(tags, "c", Change::Replace(vec![])),
            on(tags, "c", Change::Merge(vec![])),
        ];
        owner.apply(ops).expect("it commits");
    }
    let mut rows = test.rows(tags);
    rows.sort_unstable();
    assert_eq!(rows, [["a"], ["b"], ["c"]].map(|row| row.map(Value::from)));
}
