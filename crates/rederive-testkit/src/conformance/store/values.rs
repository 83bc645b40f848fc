//! What columns hold.

#![allow(clippy::expect_used, reason = "a check fails by panicking")]

use rederive_core::{Change, Table, Value};

use super::{
    StoreUnderTest,
    owner::{Owner, column, op, set},
};

fn samples() -> Vec<(&'static str, Vec<Value>)> {
    let long = "long ".repeat(20_000);
    let bytes: Vec<u8> = (0..=255).collect();
    let floats = [0.0, 0.1, -0.1, f64::MAX, f64::MIN_POSITIVE, f64::INFINITY, f64::NEG_INFINITY];
    let texts =
        ["", " ", "it's", "\"\\", "%_", "a\nb", "é", "日本", "🦀", "[1]", "1", "1.0", "null"];
    vec![
        ("small", [0, 1, -1, i16::MAX, i16::MIN].map(Value::from).to_vec()),
        ("middle", [0, 1, -1, i32::MAX, i32::MIN].map(Value::from).to_vec()),
        ("big", [0, 1, -1, (1 << 53) + 1, i64::MAX, i64::MIN].map(Value::from).to_vec()),
        ("real", floats.map(Value::from).to_vec()),
        ("flag", [true, false].map(Value::from).to_vec()),
        ("name", texts.map(Value::from).into_iter().chain([long.into()]).collect()),
        ("data", [&[][..], &[0], b"'", &bytes].map(Value::from).to_vec()),
    ]
}

fn value<T: StoreUnderTest>(test: &T, table: &'static Table, id: &str, name: &str) -> Value {
    let rows = test.rows(table);
    let row = rows.iter().find(|row| row[0] == Value::from(id)).expect("it is there");
    row[column(table, name)].clone()
}

/// To the last bit, at the ends of their range, inserted or updated, one by one or together.
pub fn values_of_every_kind_are_stored_as_they_are<T: StoreUnderTest>(test: T) {
    let things = test.things();
    let mut owner = Owner::open(test.store(), "accounts");
    let mut inserts = Vec::new();
    let mut expected = Vec::new();
    for (name, values) in samples() {
        for (index, value) in values.into_iter().enumerate() {
            let id = format!("{name} {index}");
            let row = set(things, [(name, value.clone())]);
            inserts.push(op(things, [id.as_str()], Change::Insert(row.clone())));
            let updated = format!("{id} updated");
            let blank = op(things, [updated.as_str()], Change::Insert(vec![]));
            owner.apply([blank]).expect("it commits");
            let update = op(things, [updated.as_str()], Change::Update(row));
            owner.apply([update]).expect("it commits");
            expected.extend([(id, name, value.clone()), (updated, name, value)]);
        }
    }
    owner.apply(inserts).expect("it commits");
    for (id, name, stored) in expected {
        assert_eq!(value(&test, things, &id, name), stored, "{id}");
    }
}

/// A column set to `NULL` is `NULL`; that is not the same as a column that is not named.
pub fn null_is_a_value<T: StoreUnderTest>(test: T) {
    let things = test.things();
    let mut owner = Owner::open(test.store(), "accounts");
    for (name, values) in samples() {
        for (change, id) in [(0, "update"), (1, "upsert")] {
            let id = format!("{name} {id}");
            let row = set(things, [(name, values[0].clone())]);
            let null = set(things, [(name, Value::Null)]);
            owner.apply([op(things, [id.as_str()], Change::Insert(row))]).expect("it commits");
            let change = if change == 0 { Change::Update(null) } else { Change::Upsert(null) };
            owner.apply([op(things, [id.as_str()], change)]).expect("it commits");
            assert_eq!(value(&test, things, &id, name), Value::Null, "{id}");
        }
    }
}

/// Keys that differ in any byte are different keys.
pub fn keys_of_any_text_are_told_apart<T: StoreUnderTest>(test: T) {
    let tags = test.tags();
    let mut owner = Owner::open(test.store(), "accounts");
    let keys = [
        "", " ", "a", "A", "a ", "it's", "\"", "\\", "%", "_", "é", "e\u{301}", "日本", "🦀", "9",
        "09", "9.0", "null",
    ];
    let insert = |key: &&str| op(tags, [*key], Change::Insert(vec![]));
    owner.apply(keys.iter().map(insert)).expect("no key is taken for another");
    for key in &keys {
        owner.is_refused([insert(key)]);
    }
    owner.apply(keys.iter().step_by(2).map(|key| op(tags, [*key], Change::Delete))).expect("ok");
    let mut rows = test.rows(tags);
    rows.sort_unstable();
    let mut left: Vec<_> =
        keys.iter().skip(1).step_by(2).map(|key| vec![Value::from(*key)]).collect();
    left.sort_unstable();
    assert_eq!(rows, left);
}
