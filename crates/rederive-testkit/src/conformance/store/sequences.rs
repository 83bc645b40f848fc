//! Many ops in one write: in the order of each key, whatever a store merges.

#![allow(clippy::expect_used, reason = "a check fails by panicking")]

use rederive_core::{Change, CommitError, MemoryStore, Op, Table, Value};

use super::{
    StoreUnderTest,
    owner::{Owner, Part, column, op, set},
    random_ops::random_part,
};
use crate::for_each_seed;

fn on(things: &'static Table, id: &str, change: Change) -> Op {
    op(things, [id], change)
}

/// Each op sees what those before it left.
pub fn ops_on_one_key_are_applied_in_order<T: StoreUnderTest>(test: T) {
    let things = test.things();
    let mut owner = Owner::open(test.store(), "accounts");
    let big = |n: i64| set(things, [("big", n.into())]);
    let name = |n: &str| set(things, [("name", n.into())]);
    let add = |n: i64| Change::Increment(column(things, "big"), n.into());
    let cases: [(&str, Vec<Change>, [Value; 2]); 8] = [
        (
            "insert, increment",
            vec![Change::Insert(big(1)), add(2), add(4)],
            [7.into(), Value::Null],
        ),
        (
            "increment, update",
            vec![Change::Upsert(big(1)), add(2), Change::Update(big(9))],
            [9.into(), Value::Null],
        ),
        (
            "update, increment",
            vec![Change::Insert(big(1)), Change::Update(big(9)), add(2)],
            [11.into(), Value::Null],
        ),
        (
            "two columns",
            vec![Change::Insert(big(1)), Change::Update(name("n")), add(1)],
            [2.into(), "n".into()],
        ),
        (
            "delete, insert",
            vec![Change::Insert(name("n")), add(5), Change::Delete, Change::Insert(big(3)), add(1)],
            [4.into(), Value::Null],
        ),
        (
            "insert new twice",
            vec![Change::InsertNew(big(1)), Change::InsertNew(name("n")), add(1)],
            [2.into(), Value::Null],
        ),
        (
            "upsert merges",
            vec![Change::Upsert(big(1)), Change::Upsert(name("n")), Change::Upsert(big(3))],
            [3.into(), "n".into()],
        ),
        (
            "null, increment",
            vec![
                Change::Insert(big(1)),
                Change::Update(set(things, [("big", Value::Null)])),
                add(2),
            ],
            [2.into(), Value::Null],
        ),
    ];
    // Each alone, then all in one write.
    for id in ["alone", "together"] {
        let key = |case: &str| format!("{case} {id}");
        let writes: Vec<Vec<Op>> = cases
            .iter()
            .map(|(case, changes, _)| {
                changes.iter().map(|change| on(things, &key(case), change.clone())).collect()
            })
            .collect();
        if id == "alone" {
            writes.into_iter().for_each(|ops| owner.apply(ops).expect("it commits"));
        } else {
            owner.apply(writes.concat()).expect("it commits");
        }
        let rows = test.rows(things);
        for (case, _, expected) in &cases {
            let row = rows.iter().find(|row| row[0] == key(case).into()).expect("it is there");
            let found = ["big", "name"].map(|name| row[column(things, name)].clone());
            assert_eq!(found, *expected, "{case}, {id}");
        }
    }
}

/// An op that could be done before or after, but not where it stands, is rejected.
pub fn an_op_is_judged_by_the_rows_as_the_ops_before_it_left_them<T: StoreUnderTest>(test: T) {
    let things = test.things();
    let mut owner = Owner::open(test.store(), "accounts");
    let big = || set(things, [("big", 1.into())]);
    let add = || Change::Increment(column(things, "big"), 1.into());
    owner.apply([on(things, "old", Change::Insert(big()))]).expect("it commits");
    let rejected = [
        ("old", vec![Change::Delete, Change::Update(big())]),
        ("old", vec![Change::Delete, add()]),
        ("old", vec![Change::Update(big()), Change::Insert(big())]),
        ("old", vec![Change::Insert(big()), Change::Delete]),
        ("new", vec![Change::Update(big()), Change::Insert(big())]),
        ("new", vec![add(), Change::Upsert(big())]),
        ("new", vec![Change::Upsert(big()), Change::Insert(big())]),
        ("new", vec![Change::Insert(big()), Change::Delete, Change::Update(big())]),
        ("new", vec![Change::InsertNew(big()), Change::Delete, add()]),
    ];
    let before = test.rows(things);
    for (id, changes) in rejected {
        owner.is_refused(changes.into_iter().map(|change| on(things, id, change)));
        assert_eq!(test.rows(things), before);
    }
    let delete_insert = [Change::Delete, Change::Insert(set(things, [("big", 7.into())]))];
    owner.apply(delete_insert.map(|change| on(things, "old", change))).expect("it commits");
    assert_eq!(test.rows(things)[0][column(things, "big")], 7.into());
}

/// Thousands, mixed.
pub fn many_rows_of_many_tables_change_in_one_write<T: StoreUnderTest>(test: T) {
    const ROWS: i64 = 2000;
    let (things, places, tags) = (test.things(), test.places(), test.tags());
    let mut owner = Owner::open(test.store(), "accounts");
    let n = column(places, "n");
    let insert = |id: i64| {
        [
            on(things, &id.to_string(), Change::Insert(set(things, [("big", id.into())]))),
            op(places, [Value::from(id), "y".into()], Change::Upsert(vec![(n, id.into())])),
            op(tags, [id.to_string()], Change::InsertNew(vec![])),
        ]
    };
    owner.apply((0..ROWS).flat_map(insert)).expect("it commits");
    let change = |id: i64| {
        let big = Change::Increment(column(things, "big"), 1.into());
        let place = if id % 2 == 0 { Change::Delete } else { Change::Increment(n, 1.into()) };
        [on(things, &id.to_string(), big), op(places, [Value::from(id), "y".into()], place)]
    };
    owner.apply((0..ROWS).flat_map(change)).expect("it commits");
    let big = column(things, "big");
    let total: i64 = test.rows(things).iter().map(|row| integer(&row[big])).sum();
    assert_eq!(total, ROWS * (ROWS + 1) / 2);
    let odd = test.rows(places).iter().map(|row| integer(&row[n])).collect::<Vec<_>>();
    assert_eq!(odd.len() as i64, ROWS / 2);
    assert!(odd.iter().all(|n| n % 2 == 0));
    assert_eq!(test.rows(tags).len() as i64, ROWS);
}

fn integer(value: &Value) -> i64 {
    match value {
        Value::Integer(number) => *number,
        _ => panic!("{value} is not an integer"),
    }
}

/// Random ops of random partitions: the store in memory, which does one after the other, is right.
///
/// Run it with `REDERIVE_SEED` to repeat a failure.
pub fn any_ops_lead_to_the_rows_they_should<T: StoreUnderTest>(test: T) {
    // One store takes all the runs, each with rows and reducers of its own.
    for_each_seed(0..8, 4, |rng| {
        let run = format!("run {}", rng.number());
        let model = MemoryStore::new();
        let mut expected = Owner::open(&model, &run);
        let mut owner = Owner::open(test.store(), &run);
        for step in 1..=25 {
            let parts: Vec<Part> = (0..rng.range(1..5))
                .map(|partition| random_part(&test, &run, partition, step, rng))
                .collect();
            let result = owner.commit(step, &parts);
            let expected = expected.commit(step, &parts);
            let is_rejected =
                |result: &Result<_, _>| matches!(result, Err(CommitError::Rejected { .. }));
            let is_alike = result == expected || is_rejected(&result) && is_rejected(&expected);
            assert!(is_alike, "{result:?}, not {expected:?}, in step {step} of {run}");
            for table in [test.things(), test.places(), test.tags()] {
                let mut rows = test.rows(table);
                let text = |value: &Value| matches!(value, Value::Text(t) if t.starts_with(&run));
                rows.retain(|row| row.iter().any(text));
                rows.sort_unstable();
                let mut right = model.rows(table);
                right.sort_unstable();
                assert_eq!(rows, right, "table {} in step {step} of {run}", table.name);
            }
        }
    });
}
