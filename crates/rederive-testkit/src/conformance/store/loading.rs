//! Reading back: rows by their keys, and the stored states of folds.

#![allow(clippy::expect_used, reason = "a check fails by panicking")]

use std::sync::Arc;

use rederive_core::{
    Change, Cursor, JsonState, Key, PartitionId, StateError, StateForm, States, Store, StoredRow,
    Table, Value,
};

use super::{
    StoreUnderTest,
    owner::{Owner, op, part, set},
};

fn at<K: Into<Value>>(table: &'static Table, key: impl IntoIterator<Item = K>) -> StoredRow {
    StoredRow { table, key: key.into_iter().map(Into::into).collect::<Key>() }
}

/// However many they are; with `None` for those that are not there.
pub fn rows_are_loaded_in_the_order_asked_for<T: StoreUnderTest>(test: T) {
    const ROWS: i64 = 300;
    let things = test.things();
    let mut owner = Owner::open(test.store(), "accounts");
    let insert = |number: i64| {
        let row = set(things, [("big", number.into())]);
        op(things, [format!("{number}")], Change::Insert(row))
    };
    owner.apply((0..ROWS).filter(|number| number % 3 != 0).map(insert)).expect("it commits");
    let wanted: Vec<_> = (0..ROWS).rev().map(|number| at(things, [format!("{number}")])).collect();
    let loaded = test.store().load(&wanted).expect("it can be read");
    let big = things.column("big").expect("a column");
    for (number, row) in (0..ROWS).rev().zip(&loaded) {
        let expected = (number % 3 != 0).then(|| Value::from(number));
        assert_eq!(row.as_ref().map(|row| row[big].clone()), expected, "row {number}");
    }
    assert_eq!(loaded.len() as i64, ROWS);
    assert_eq!(test.store().load(&[]), Ok(Vec::new()));
}

/// One value per column, of the column's kind.
pub fn a_row_is_loaded_as_it_is<T: StoreUnderTest>(test: T) {
    let (things, places) = (test.things(), test.places());
    let mut owner = Owner::open(test.store(), "accounts");
    let row = set(
        things,
        [
            ("small", Value::Integer(-3)),
            ("big", Value::Integer(i64::MAX)),
            ("real", Value::Float(2.0)),
            ("flag", Value::Bool(true)),
            ("name", Value::from("it's")),
            ("data", Value::from(vec![0, 255])),
        ],
    );
    let place = set(places, [("n", Value::Integer(7))]);
    let ops = [
        op(things, ["a"], Change::Insert(row)),
        op(places, [Value::from(2), Value::from("y")], Change::Insert(place)),
    ];
    owner.apply(ops).expect("it commits");
    let wanted = [
        at(places, [Value::from(2), Value::from("y")]),
        at(things, ["a"]),
        at(places, [Value::from(2), Value::from("z")]),
        at(things, ["A"]),
    ];
    let loaded = test.store().load(&wanted).expect("it can be read");
    let thing = test.rows(things).pop();
    let place = vec![Value::from("y"), Value::Integer(7), Value::Integer(2)];
    assert_eq!(loaded, [Some(place), thing, None, None]);
}

fn store_state(owner: &mut Owner, partition: &str, cursor: u64, state: Option<&str>) {
    let form = JsonState::<String>::new(&owner.reducer);
    let id = PartitionId::from(partition);
    let state = state.map(|state| Arc::new(state.to_owned()));
    let stored = form.store(&id, &cursor.into(), state.as_ref()).expect("it is text");
    let parts = [part(partition, cursor).guard(cursor).ops([stored])];
    let watermark = owner.watermark.clone();
    owner.commit(watermark, &parts).expect("it commits");
}

/// With the cursor of the last event folded into it.
pub fn a_state_is_stored_replaced_and_removed<T: StoreUnderTest>(test: T) {
    let mut owner = Owner::open(test.store(), "balances");
    let read = || test.store().state::<String>("balances", "alice").expect("it can be read");
    assert_eq!(read(), None);
    for (cursor, state) in
        [(1, Some("one")), (2, Some("it's \"two\" \u{0} ü")), (5, None), (6, Some(""))]
    {
        store_state(&mut owner, "alice", cursor, state);
        assert_eq!(read().as_deref(), state);
        let page = test.store().states("balances", None, 9).expect("it can be read");
        let cursors: Vec<_> = page.into_iter().map(|record| record.cursor).collect();
        let expected = state.map(|_| Cursor::from(cursor));
        assert_eq!(cursors, expected.into_iter().collect::<Vec<_>>());
    }
}

/// The states of other reducers are not among them.
pub fn states_are_listed_in_order_page_by_page<T: StoreUnderTest>(test: T) {
    let mut owner = Owner::open(test.store(), "balances");
    let mut other = Owner::open(test.store(), "balances2");
    for (number, id) in ["c", "", "it's", "B", "a", "ü"].into_iter().enumerate() {
        store_state(&mut owner, id, number as u64 + 1, Some(id));
        store_state(&mut other, id, number as u64 + 1, Some("other"));
    }
    store_state(&mut other, "only here", 99, Some("other"));
    let (mut seen, mut last) = (Vec::new(), None);
    loop {
        let page = test.store().states_page::<String>("balances", last.as_ref(), 2);
        let page = page.expect("it can be read");
        assert!(page.len() <= 2);
        let Some(record) = page.last() else { break };
        last = Some(record.partition.clone());
        seen.extend(page.into_iter().map(|record| {
            assert_eq!(record.partition.as_str(), record.state);
            record.state
        }));
    }
    assert_eq!(seen, ["", "B", "a", "c", "it's", "ü"]);
}

/// The message names the partition and says what serde said.
pub fn a_state_of_another_type_is_an_error<T: StoreUnderTest>(test: T) {
    let mut owner = Owner::open(test.store(), "balances");
    store_state(&mut owner, "alice", 1, Some("text"));
    let refused = test.store().state::<u32>("balances", "alice").expect_err("it is text");
    assert!(matches!(refused, StateError::Unreadable { .. }));
    let said = refused.to_string();
    assert!(said.contains("alice") && said.contains("invalid type"), "{said}");
    assert!(test.store().states_page::<u32>("balances", None, 9).is_err());
}
