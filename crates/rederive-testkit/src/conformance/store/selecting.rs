//! Changes of rows that are selected by their values.

#![allow(clippy::expect_used, reason = "a check fails by panicking")]

use rederive_core::{Change, Op, Table, Value};

use super::{
    StoreUnderTest,
    owner::{Owner, column, op, op_where, part, set},
    scene::{on, thing},
};

/// Rows `1` to `4` of `things`: the first two named `x`, the others `y`; `small` is their number.
fn four<T: StoreUnderTest>(test: &T) -> (Owner, &'static Table) {
    let mut owner = Owner::open(test.store(), "accounts");
    let things = test.things();
    let row = |number: i64| {
        let name = if number < 3 { "x" } else { "y" };
        let values = set(things, [("small", number.into()), ("name", name.into())]);
        on(things, &number.to_string(), Change::Insert(values))
    };
    owner.apply((1..5).map(row)).expect("it commits");
    (owner, things)
}

fn named(things: &'static Table, name: &str, change: Change) -> Op {
    op_where(things, set(things, [("name", name.into())]), change)
}

/// The column of the rows, in the order of their ids.
fn all<T: StoreUnderTest>(test: &T, name: &str) -> Vec<(String, Value)> {
    let things = test.things();
    let mut rows: Vec<_> = test
        .rows(things)
        .into_iter()
        .map(|row| match &row[0] {
            Value::Text(id) => (id.to_string(), row[column(things, name)].clone()),
            other => panic!("{other} is no id"),
        })
        .collect();
    rows.sort_unstable();
    rows
}

fn list<V: Into<Value>>(values: impl IntoIterator<Item = (i64, V)>) -> Vec<(String, Value)> {
    values.into_iter().map(|(id, value)| (id.to_string(), value.into())).collect()
}

/// All that have all the values, and no others.
pub fn rows_are_updated_by_their_values<T: StoreUnderTest>(test: T) {
    let (mut owner, things) = four(&test);
    let update = named(things, "x", Change::Update(set(things, [("big", 9.into())])));
    let filter = set(things, [("name", "y".into()), ("small", 4.into())]);
    let values = set(things, [("big", 7.into()), ("small", Value::Null)]);
    owner.apply([update, op_where(things, filter, Change::Update(values))]).expect("it commits");
    let big = [(1, Some(9)), (2, Some(9)), (3, None), (4, Some(7))];
    assert_eq!(all(&test, "big"), list(big));
    let small = [(1, Some(1)), (2, Some(2)), (3, Some(3)), (4, None)];
    assert_eq!(all(&test, "small"), list(small));
}

/// `NULL` counts as zero.
pub fn rows_are_incremented_by_their_values<T: StoreUnderTest>(test: T) {
    let (mut owner, things) = four(&test);
    let add = |column_name, by: Value| {
        named(things, "y", Change::Increment(column(things, column_name), by))
    };
    let ops = [add("small", 10.into()), add("big", (-1).into()), add("real", 0.5.into())];
    owner.apply(ops).expect("it commits");
    assert_eq!(all(&test, "small"), list([(1, 1), (2, 2), (3, 13), (4, 14)]));
    assert_eq!(all(&test, "big"), list([(1, None), (2, None), (3, Some(-1)), (4, Some(-1))]));
    assert_eq!(all(&test, "real"), list([(1, None), (2, None), (3, Some(0.5)), (4, Some(0.5))]));
}

/// All that have the values, and no others.
pub fn rows_are_deleted_by_their_values<T: StoreUnderTest>(test: T) {
    let (mut owner, things) = four(&test);
    owner.apply([named(things, "x", Change::Delete)]).expect("it commits");
    assert_eq!(all(&test, "small"), list([(3, 3), (4, 4)]));
}

/// `NULL` is equal to nothing else.
pub fn null_selects_rows_without_a_value<T: StoreUnderTest>(test: T) {
    let (mut owner, things) = four(&test);
    let null = |id| on(things, id, Change::Update(set(things, [("small", Value::Null)])));
    let zero = on(things, "2", Change::Update(set(things, [("small", 0.into())])));
    owner.apply([null("1"), zero, null("3")]).expect("it commits");
    let filter = set(things, [("small", Value::Null), ("name", "x".into())]);
    let flag = Change::Update(set(things, [("flag", true.into())]));
    owner.apply([op_where(things, filter, flag)]).expect("it commits");
    let flags = [(1, Some(true)), (2, None), (3, None), (4, None)];
    assert_eq!(all(&test, "flag"), list(flags));
    let nulls = set(things, [("small", Value::Null)]);
    owner.apply([op_where(things, nulls, Change::Delete)]).expect("it commits");
    assert_eq!(all(&test, "small"), list([(2, 0), (4, 4)]));
}

/// Alone or with others.
pub fn a_column_of_the_key_selects_too<T: StoreUnderTest>(test: T) {
    let mut owner = Owner::open(test.store(), "accounts");
    let places = test.places();
    let at = |x: i64, y: &str| {
        op(places, [Value::from(x), y.into()], Change::Insert(set(places, [("n", x.into())])))
    };
    owner.apply([at(1, "a"), at(1, "b"), at(2, "a"), at(2, "b")]).expect("it commits");
    let add = Change::Increment(column(places, "n"), 10.into());
    let ops = [
        op_where(places, set(places, [("y", "a".into())]), add),
        op_where(places, set(places, [("n", 2.into()), ("x", 2.into())]), Change::Delete),
    ];
    owner.apply(ops).expect("it commits");
    let mut rows = test.rows(places);
    rows.sort_unstable();
    let row = |y: &str, n: i64, x: i64| vec![Value::from(y), n.into(), x.into()];
    assert_eq!(rows, [row("a", 11, 1), row("a", 12, 2), row("b", 1, 1)]);
}

/// And is no error.
pub fn selecting_no_row_changes_nothing<T: StoreUnderTest>(test: T) {
    let (mut owner, things) = four(&test);
    let ops = [
        named(things, "z", Change::Delete),
        named(things, "z", Change::Update(set(things, [("big", 1.into())]))),
        named(things, "z", Change::Increment(column(things, "big"), 1.into())),
        named(things, "x", Change::Update(vec![])),
    ];
    owner.apply(ops).expect("it commits");
    assert_eq!(all(&test, "big"), list([(1, None::<i64>), (2, None), (3, None), (4, None)]));
}

/// In one write, as in several.
pub fn rows_are_selected_as_the_ops_before_left_them<T: StoreUnderTest>(test: T) {
    let (mut owner, things) = four(&test);
    let name = |name: &str| Change::Update(set(things, [("name", name.into())]));
    let add = |by: i64| Change::Increment(column(things, "big"), by.into());
    let ops = [
        on(things, "5", Change::Insert(set(things, [("name", "x".into())]))),
        named(things, "x", add(1)),
        on(things, "1", name("y")),
        named(things, "x", add(10)),
        named(things, "y", name("z")),
        on(things, "6", Change::Insert(set(things, [("name", "y".into())]))),
        named(things, "z", add(100)),
        on(things, "1", add(1000)),
        named(things, "y", Change::Delete),
        named(things, "x", Change::Delete),
        on(things, "2", Change::Insert(vec![])),
    ];
    owner.apply(ops).expect("it commits");
    let expected = [(1, Some(1101)), (2, None), (3, Some(100)), (4, Some(100))];
    assert_eq!(all(&test, "big"), list(expected));
    // What is gone cannot be updated, and what is there cannot be inserted.
    owner.is_refused([named(things, "z", Change::Delete), on(things, "1", add(1))]);
    owner.is_refused([named(things, "x", Change::Delete), on(things, "3", Change::Insert(vec![]))]);
}

/// With the table and the key of the row named, and none of the others changed.
pub fn an_increment_that_overflows_in_one_of_the_rows_is_rejected<T: StoreUnderTest>(test: T) {
    let (mut owner, things) = four(&test);
    let most = Change::Update(set(things, [("big", i64::MAX.into())]));
    owner.apply([on(things, "3", most)]).expect("it commits");
    let before = all(&test, "big");
    let add =
        |name, by: i64| named(things, name, Change::Increment(column(things, "big"), by.into()));
    let (_, message) = owner.refusal([add("x", 1), add("y", 1)]);
    assert!(message.contains("things") && message.contains("'3'"), "{message}");
    assert_eq!(all(&test, "big"), before);
    let small = |by: i64| named(things, "x", Change::Increment(column(things, "small"), by.into()));
    owner.is_refused([small(i64::from(i16::MAX) - 1)]);
    owner.apply([small(i64::from(i16::MAX) - 2), add("y", 0)]).expect("it just fits");
    assert_eq!(thing(&test, "2").expect("it is there")[0], ("small", i16::MAX.into()));
}

/// Each in order with its own ops.
pub fn partitions_select_their_own_rows_in_one_write<T: StoreUnderTest>(test: T) {
    const PARTITIONS: i64 = 50;
    let things = test.things();
    let mut owner = Owner::open(test.store(), "accounts");
    let big = column(things, "big");
    let parts: Vec<_> = (0..PARTITIONS)
        .map(|partition| {
            let name = format!("partition {partition}");
            let row = |id: i64| {
                let values = set(things, [("name", name.as_str().into()), ("big", id.into())]);
                on(things, &format!("{partition} {id}"), Change::Insert(values))
            };
            let ops = [
                row(1),
                row(2),
                named(things, &name, Change::Increment(big, 10.into())),
                row(3),
                op_where(
                    things,
                    vec![(column(things, "name"), name.as_str().into()), (big, 11.into())],
                    Change::Delete,
                ),
            ];
            part(partition, 1).unrecorded().ops(ops)
        })
        .collect();
    owner.commit(1, &parts).expect("it commits");
    let mut expected: Vec<(String, Value)> = (0..PARTITIONS)
        .flat_map(|partition| [(format!("{partition} 2"), 12), (format!("{partition} 3"), 3)])
        .map(|(id, big)| (id, big.into()))
        .collect();
    expected.sort_unstable();
    assert_eq!(all(&test, "big"), expected);
}
