//! Rows that are computed from what they were.

#![allow(clippy::expect_used, reason = "a check fails by panicking")]

use rederive_core::{Change, FailureKind, ReduceError, RowFn, Table, Value};

use super::{
    StoreUnderTest,
    owner::{Owner, column, op, part, set},
    scene::{on, scene, thing, unchanged},
};

fn modify(
    function: impl Fn(&mut [Value]) -> Result<(), ReduceError> + Send + Sync + 'static,
) -> Change {
    Change::Modify(RowFn::new(function))
}

/// Squares a number, which no other change can.
fn square(table: &'static Table, name: &str) -> Change {
    let column = column(table, name);
    modify(move |row| match row[column] {
        Value::Integer(number) => {
            row[column] = Value::from(number * number);
            Ok(())
        }
        ref other => Err(ReduceError::new(format!("{other} has no square"))),
    })
}

/// It is given a value for each column, of the column's kind, and the key among them; what it leaves
/// alone stays.
pub fn a_row_is_modified_by_a_function_of_its_values<T: StoreUnderTest>(test: T) {
    let (mut owner, things) = scene(&test);
    let values = [
        ("small", Value::from(1)),
        ("real", Value::from(2.0)),
        ("flag", Value::from(true)),
        ("data", Value::from(vec![0_u8, 255])),
    ];
    owner.apply([on(things, "a", Change::Update(set(things, values)))]).expect("it commits");
    let swap = modify(|row| {
        let expected = [
            Value::from("a"),
            1.into(),
            Value::Null,
            5.into(),
            2.0.into(),
            true.into(),
            "old".into(),
            vec![0_u8, 255].into(),
        ];
        if row != expected {
            return Err(ReduceError::new(format!("it was given {row:?}")));
        }
        row[2] = 7.into();
        row[3] = Value::Null;
        row[4] = 4.into();
        row[5] = false.into();
        row[6] = format!("{}er", "old").into();
        Ok(())
    });
    owner.apply([on(things, "a", swap)]).expect("it commits");
    let expected = vec![
        ("small", 1.into()),
        ("middle", 7.into()),
        ("real", 4.0.into()),
        ("flag", false.into()),
        ("name", "older".into()),
        ("data", vec![0_u8, 255].into()),
    ];
    assert_eq!(thing(&test, "a"), Some(expected));
}

/// On the same key, in the same write or an earlier one, whatever they are.
pub fn a_function_sees_what_the_ops_before_it_left<T: StoreUnderTest>(test: T) {
    let (mut owner, things) = scene(&test);
    let big = |n: i64| set(things, [("big", n.into())]);
    let add = |by: i64| Change::Increment(column(things, "big"), by.into());
    let changes = [
        add(-3),
        square(things, "big"),
        square(things, "big"),
        add(1),
        Change::Merge(big(3)),
        square(things, "big"),
        Change::InsertNew(big(1)),
        add(-1),
        square(things, "big"),
    ];
    let on_a = changes.map(|change| on(things, "a", change));
    let fresh = [Change::Insert(big(3)), square(things, "big"), Change::Delete];
    let again = [Change::Upsert(big(2)), square(things, "big"), square(things, "big")];
    let on_b = fresh.into_iter().chain(again).map(|change| on(things, "b", change));
    owner.apply(on_a.into_iter().chain(on_b)).expect("it commits");
    assert_eq!(thing(&test, "a"), Some(vec![("big", 64.into()), ("name", "old".into())]));
    assert_eq!(thing(&test, "b"), Some(vec![("big", 16.into())]));
}

/// Then it is given the same again.
pub fn a_function_may_run_again_when_its_transaction_was_taken_back<T: StoreUnderTest>(test: T) {
    let (mut owner, things) = scene(&test);
    let modification = on(things, "a", square(things, "big"));
    owner.is_refused([modification.clone(), on(things, "absent", Change::Update(vec![]))]);
    assert_eq!(thing(&test, "a"), unchanged());
    owner.apply([modification]).expect("it commits");
    assert_eq!(thing(&test, "a"), Some(vec![("big", 25.into()), ("name", "old".into())]));
}

/// Even if it would change nothing.
pub fn a_modification_is_rejected_when_no_row_has_the_key<T: StoreUnderTest>(test: T) {
    let (mut owner, things) = scene(&test);
    let nothing = |id| on(things, id, modify(|_| Ok(())));
    owner.apply([nothing("a")]).expect("it commits");
    let (kind, message) = owner.refusal([nothing("a"), nothing("b")]);
    assert_eq!(kind, FailureKind::Rejected);
    assert!(message.contains("table things has no row with key 'b'"), "{message}");
    owner.is_refused([on(things, "a", Change::Delete), nothing("a")]);
    assert_eq!((thing(&test, "a"), thing(&test, "b")), (unchanged(), None));
}

/// Nothing of the transaction is done, the table and the key are named, and the store goes on.
pub fn a_function_that_fails_or_panics_rejects_its_transaction<T: StoreUnderTest>(test: T) {
    let (mut owner, things) = scene(&test);
    let new = || on(things, "new", Change::Insert(vec![]));
    let fails = on(things, "a", modify(|_| Err(ReduceError::new("of a rule"))));
    let (kind, message) = owner.refusal([new(), fails]);
    assert_eq!(kind, FailureKind::Rejected);
    assert!(message.contains("things") && message.contains("'a'"), "{message}");
    assert!(message.contains("of a rule"), "{message}");
    let panics = on(things, "a", modify(|_| panic!("of a bug")));
    let (kind, message) = owner.refusal([new(), panics]);
    assert_eq!(kind, FailureKind::Panic);
    assert!(message.contains("things") && message.contains("'a'"), "{message}");
    assert!(message.contains("of a bug"), "{message}");
    assert_eq!((thing(&test, "a"), thing(&test, "new")), (unchanged(), None));
    owner.apply([new(), on(things, "a", square(things, "big"))]).expect("it commits");
}

/// Nor leave a number that its column cannot hold.
pub fn a_function_cannot_change_the_key_nor_the_type_of_a_value<T: StoreUnderTest>(test: T) {
    let (mut owner, things) = scene(&test);
    let cases: [(&str, Value); 4] = [
        ("id", "b".into()),
        ("big", "5".into()),
        ("small", 40_000.into()),
        ("real", f64::NAN.into()),
    ];
    for (name, value) in cases {
        let at = column(things, name);
        let stored = value.clone();
        let change = modify(move |row| {
            row[at] = stored.clone();
            Ok(())
        });
        let (_, message) = owner.refusal([on(things, "a", change)]);
        for part in ["things", "'a'", name] {
            assert!(message.contains(part), "{part} is not named: {message}");
        }
        assert_eq!(thing(&test, "a"), unchanged(), "{name} = {value}");
    }
}

/// Also where each function changes other columns.
pub fn rows_of_many_partitions_are_modified_in_one_write<T: StoreUnderTest>(test: T) {
    const ROWS: i64 = 200;
    let places = test.places();
    let mut owner = Owner::open(test.store(), "accounts");
    let n = column(places, "n");
    let key = |number: i64| [Value::from(number), format!("y {number}").into()];
    let insert = |number: i64| op(places, key(number), Change::Insert(vec![(n, number.into())]));
    owner.apply((0..ROWS).map(insert)).expect("it commits");
    let parts: Vec<_> = (0..ROWS)
        .map(|number| {
            let change = modify(move |row| {
                row[n] = match row[n] {
                    Value::Integer(n) if n % 3 == 0 => Value::Null,
                    Value::Integer(n) if n % 3 == 1 => return Ok(()),
                    Value::Integer(n) => Value::from(n * 1000),
                    ref other => return Err(ReduceError::new(other)),
                };
                Ok(())
            });
            part(number, 9).unrecorded().ops([op(places, key(number), change)])
        })
        .collect();
    owner.commit(9, &parts).expect("it commits");
    let mut rows = test.rows(places);
    rows.sort_unstable_by_key(|row| row[2].clone());
    for (number, row) in (0..ROWS).zip(rows) {
        let expected = match number % 3 {
            0 => Value::Null,
            1 => number.into(),
            _ => (number * 1000).into(),
        };
        assert_eq!(row, [format!("y {number}").into(), expected, number.into()]);
    }
}
