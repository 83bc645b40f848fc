//! What each change does to a row.

#![allow(clippy::expect_used, reason = "a check fails by panicking")]

use rederive_core::{Change, Value};

use super::{
    StoreUnderTest,
    owner::{Owner, column, op, set},
    scene::{on, scene, thing, unchanged},
};

/// Those that are not named are `NULL`, as they have no default.
pub fn an_insert_makes_a_row_and_leaves_other_columns_empty<T: StoreUnderTest>(test: T) {
    let (mut owner, things) = scene(&test);
    assert_eq!(thing(&test, "a"), unchanged());
    owner.apply([on(things, "b", Change::Insert(vec![]))]).expect("it commits");
    assert_eq!(thing(&test, "b"), Some(vec![]));
    assert_eq!(test.rows(things).len(), 2);
}

/// In an earlier transaction or in the same.
pub fn an_insert_is_rejected_when_the_key_exists<T: StoreUnderTest>(test: T) {
    let (mut owner, things) = scene(&test);
    let insert = |id| on(things, id, Change::Insert(set(things, [("big", 6.into())])));
    owner.is_refused([insert("a")]);
    owner.is_refused([insert("b"), insert("b")]);
    assert_eq!((thing(&test, "a"), thing(&test, "b")), (unchanged(), None));
}

/// And makes a row when it does not.
pub fn an_insert_new_does_nothing_when_the_key_exists<T: StoreUnderTest>(test: T) {
    let (mut owner, things) = scene(&test);
    let insert = |id, big: i64| {
        on(
            things,
            id,
            Change::InsertNew(set(things, [("big", big.into()), ("name", "new".into())])),
        )
    };
    owner.apply([insert("a", 6), insert("b", 7), insert("b", 8)]).expect("it commits");
    assert_eq!(thing(&test, "a"), unchanged());
    assert_eq!(thing(&test, "b"), Some(vec![("big", 7.into()), ("name", "new".into())]));
}

/// Columns that are not named stay as they are.
pub fn an_upsert_makes_a_row_or_changes_the_named_columns<T: StoreUnderTest>(test: T) {
    let (mut owner, things) = scene(&test);
    let upsert = |id, big: i64| on(things, id, Change::Upsert(set(things, [("big", big.into())])));
    owner.apply([upsert("a", 6), upsert("b", 7)]).expect("it commits");
    assert_eq!(thing(&test, "a"), Some(vec![("big", 6.into()), ("name", "old".into())]));
    assert_eq!(thing(&test, "b"), Some(vec![("big", 7.into())]));
    let nothing = |id| on(things, id, Change::Upsert(vec![]));
    owner.apply([nothing("a"), nothing("c")]).expect("it commits");
    assert_eq!(thing(&test, "a"), Some(vec![("big", 6.into()), ("name", "old".into())]));
    assert_eq!(thing(&test, "c"), Some(vec![]));
}

/// Others stay; naming none changes nothing.
pub fn an_update_changes_the_named_columns<T: StoreUnderTest>(test: T) {
    let (mut owner, things) = scene(&test);
    owner.apply([on(things, "a", Change::Update(vec![]))]).expect("it commits");
    assert_eq!(thing(&test, "a"), unchanged());
    let values = set(things, [("name", "new".into()), ("flag", true.into())]);
    owner.apply([on(things, "a", Change::Update(values))]).expect("it commits");
    let expected = vec![("big", 5.into()), ("flag", true.into()), ("name", "new".into())];
    assert_eq!(thing(&test, "a"), Some(expected));
}

/// Even if it names no column: the row is expected to be there.
pub fn an_update_is_rejected_when_no_row_has_the_key<T: StoreUnderTest>(test: T) {
    let (mut owner, things) = scene(&test);
    owner.is_refused([on(things, "b", Change::Update(set(things, [("big", 1.into())])))]);
    owner.is_refused([on(things, "b", Change::Update(vec![]))]);
    assert_eq!((thing(&test, "a"), thing(&test, "b")), (unchanged(), None));
}

/// Positive and negative numbers, whole ones and others, several times in one write.
pub fn an_increment_adds_to_the_column<T: StoreUnderTest>(test: T) {
    let (mut owner, things) = scene(&test);
    let add = |name, by: Value| on(things, "a", Change::Increment(column(things, name), by));
    let zero = set(things, [("small", 0.into()), ("middle", 0.into()), ("real", 0.5.into())]);
    owner.apply([on(things, "a", Change::Update(zero))]).expect("it commits");
    let ops = [
        add("small", 7.into()),
        add("middle", (-8).into()),
        add("big", (1_i64 << 40).into()),
        add("big", (-3).into()),
        add("real", 0.25.into()),
        add("real", 2.into()),
    ];
    owner.apply(ops).expect("it commits");
    let expected = vec![
        ("small", 7.into()),
        ("middle", (-8).into()),
        ("big", ((1_i64 << 40) + 2).into()),
        ("real", 2.75.into()),
        ("name", "old".into()),
    ];
    assert_eq!(thing(&test, "a"), Some(expected));
}

/// For numbers of every kind.
pub fn an_increment_counts_null_as_zero<T: StoreUnderTest>(test: T) {
    let (mut owner, things) = scene(&test);
    let add = |name, by: Value| on(things, "b", Change::Increment(column(things, name), by));
    owner.apply([on(things, "b", Change::Insert(vec![]))]).expect("it commits");
    let ops = [
        add("small", 1.into()),
        add("middle", (-2).into()),
        add("big", 3.into()),
        add("real", 4.into()),
    ];
    owner.apply(ops).expect("it commits");
    let expected =
        vec![("small", 1.into()), ("middle", (-2).into()), ("big", 3.into()), ("real", 4.0.into())];
    assert_eq!(thing(&test, "b"), Some(expected));
}

/// It does not make one.
pub fn an_increment_is_rejected_when_no_row_has_the_key<T: StoreUnderTest>(test: T) {
    let (mut owner, things) = scene(&test);
    let big = column(things, "big");
    owner.is_refused([on(things, "b", Change::Increment(big, 1.into()))]);
    owner.is_refused([on(things, "b", Change::Increment(big, 0.into()))]);
    assert_eq!((thing(&test, "a"), thing(&test, "b")), (unchanged(), None));
}

/// At either end of every whole-number column, from a number and from `NULL`; up to the end is fine.
pub fn an_increment_is_rejected_when_the_column_would_overflow<T: StoreUnderTest>(test: T) {
    let (mut owner, things) = scene(&test);
    for (name, low, high) in [
        ("small", i64::from(i16::MIN), i64::from(i16::MAX)),
        ("middle", i64::from(i32::MIN), i64::from(i32::MAX)),
        ("big", i64::MIN, i64::MAX),
    ] {
        let add = |by: i64| on(things, "a", Change::Increment(column(things, name), by.into()));
        let put = |to: Value| on(things, "a", Change::Update(set(things, [(name, to)])));
        for (end, over) in [(low, -1), (high, 1)] {
            owner.apply([put((end - over).into()), add(over)]).expect("it just fits");
            owner.is_refused([add(over)]);
            let row = thing(&test, "a").expect("it is there");
            assert!(row.contains(&(name, end.into())), "{name}: {row:?}");
            if name != "big" {
                owner.apply([put(Value::Null)]).expect("it commits");
                owner.is_refused([add(end + over)]);
            }
        }
    }
}

/// Ops are applied one after the other: a sum that fits does not excuse a step that did not.
pub fn an_overflow_on_the_way_is_rejected_too<T: StoreUnderTest>(test: T) {
    let (mut owner, things) = scene(&test);
    let add = |by: i64| on(things, "a", Change::Increment(column(things, "big"), by.into()));
    owner.is_refused([add(i64::MAX), add(-i64::MAX)]);
    owner.apply([add(-5), add(i64::MAX), add(-i64::MAX), add(5)]).expect("it fits on the way");
    assert_eq!(thing(&test, "a"), unchanged());
}

/// Whether it was there is not asked.
pub fn a_delete_removes_the_row_if_there_is_one<T: StoreUnderTest>(test: T) {
    let (mut owner, things) = scene(&test);
    let delete = |id| on(things, id, Change::Delete);
    owner.apply([on(things, "b", Change::Insert(vec![]))]).expect("it commits");
    owner.apply([delete("a"), delete("absent"), delete("a")]).expect("it commits");
    assert_eq!((thing(&test, "a"), thing(&test, "b")), (None, Some(vec![])));
}

/// A key of two columns: rows that share one of them are others.
pub fn rows_are_told_apart_by_every_column_of_the_key<T: StoreUnderTest>(test: T) {
    let mut owner = Owner::open(test.store(), "accounts");
    let places = test.places();
    let at = |x: i64, y: &str, change| op(places, [Value::from(x), y.into()], change);
    let n = |n: i64| set(places, [("n", n.into())]);
    let ops = [(1, "a"), (1, "b"), (2, "a"), (2, "b")].map(|(x, y)| at(x, y, Change::Insert(n(0))));
    owner.apply(ops).expect("it commits");
    let ops = [
        at(1, "a", Change::Increment(column(places, "n"), 1.into())),
        at(1, "b", Change::Update(n(2))),
        at(2, "a", Change::Upsert(n(3))),
        at(2, "b", Change::Delete),
        at(3, "a", Change::Upsert(n(4))),
    ];
    owner.apply(ops).expect("it commits");
    owner.is_refused([at(1, "a", Change::Insert(n(9)))]);
    owner.is_refused([at(2, "b", Change::Update(n(9)))]);
    let mut rows = test.rows(places);
    rows.sort_unstable();
    let row = |y: &str, n: i64, x: i64| vec![Value::from(y), n.into(), x.into()];
    assert_eq!(rows, [row("a", 1, 1), row("a", 3, 2), row("a", 4, 3), row("b", 2, 1)]);
}

/// Every change but an increment makes sense on it.
pub fn a_table_may_be_all_key<T: StoreUnderTest>(test: T) {
    let mut owner = Owner::open(test.store(), "accounts");
    let tags = test.tags();
    let ops = [
        on(tags, "a", Change::Insert(vec![])),
        on(tags, "b", Change::InsertNew(vec![])),
        on(tags, "c", Change::Upsert(vec![])),
    ];
    owner.apply(ops).expect("it commits");
    let ops = [
        on(tags, "a", Change::Upsert(vec![])),
        on(tags, "b", Change::InsertNew(vec![])),
        on(tags, "b", Change::Update(vec![])),
        on(tags, "c", Change::Delete),
    ];
    owner.apply(ops).expect("it commits");
    owner.is_refused([on(tags, "a", Change::Insert(vec![]))]);
    owner.is_refused([on(tags, "c", Change::Update(vec![]))]);
    let mut rows = test.rows(tags);
    rows.sort_unstable();
    assert_eq!(rows, [["a"], ["b"]].map(|row| row.map(Value::from)));
}
