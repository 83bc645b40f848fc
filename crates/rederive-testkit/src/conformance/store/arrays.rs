//! JSON arrays in text columns. What is stored is the same text on every store.

#![allow(clippy::expect_used, reason = "a check fails by panicking")]

use rederive_core::{Change, Json, Op, Table, Value};

use super::{
    StoreUnderTest,
    owner::{column, set},
    scene::{on, scene, thing},
};

fn json(value: &str) -> Json {
    // A text that is JSON by itself is taken as such.
    match value.parse::<f64>() {
        Ok(number) if value.contains('.') => Json::of(&number),
        Ok(_) => Json::of(&value.parse::<i64>().expect("it is whole")),
        Err(_) if value == "true" => Json::of(&true),
        Err(_) => Json::of(value),
    }
    .expect("it has a JSON")
}

fn push(table: &'static Table, id: &str, value: &str) -> Op {
    on(table, id, Change::ArrayPushUniq(column(table, "name"), json(value)))
}

fn delete(table: &'static Table, id: &str, value: &str) -> Op {
    on(table, id, Change::ArrayDelete(column(table, "name"), json(value)))
}

fn put(table: &'static Table, id: &str, array: impl Into<Value>) -> Op {
    on(table, id, Change::Upsert(set(table, [("name", array.into())])))
}

fn array<T: StoreUnderTest>(test: &T, id: &str) -> Option<Value> {
    let row = thing(test, id).expect("it is there");
    row.into_iter().find(|(name, _)| *name == "name").map(|(_, value)| value)
}

/// At its end; `NULL` counts as empty. One by one, or all in one write.
pub fn an_element_is_added_to_an_array_once<T: StoreUnderTest>(test: T) {
    let (mut owner, things) = scene(&test);
    for (id, together) in [("one by one", false), ("together", true)] {
        let values = ["b", "a", "1", "b", "true", "1.5", "it's \"\\\n é", "1", "a"];
        let ops: Vec<Op> = [put(things, id, Value::Null)]
            .into_iter()
            .chain(values.map(|value| push(things, id, value)))
            .collect();
        if together {
            owner.apply(ops).expect("it commits");
        } else {
            ops.into_iter().for_each(|op| owner.apply([op]).expect("it commits"));
        }
        let expected = r#"["b","a",1,true,1.5,"it's \"\\\n é"]"#;
        assert_eq!(array(&test, id), Some(expected.into()), "{id}");
    }
}

/// And nothing happens when it is nowhere; the last one leaves an empty array.
pub fn an_element_is_deleted_from_an_array_wherever_it_is<T: StoreUnderTest>(test: T) {
    let (mut owner, things) = scene(&test);
    let ops = [
        put(things, "many", r#"["x",1,"x","y"]"#),
        delete(things, "many", "x"),
        delete(things, "many", "z"),
        put(things, "last", "[1]"),
        delete(things, "last", "1"),
        put(things, "none", Value::Null),
        delete(things, "none", "x"),
        put(things, "back", r#"["x","y"]"#),
        delete(things, "back", "x"),
        push(things, "back", "x"),
    ];
    owner.apply(ops).expect("it commits");
    assert_eq!(array(&test, "many"), Some(r#"[1,"y"]"#.into()));
    assert_eq!(array(&test, "last"), Some("[]".into()));
    assert_eq!(array(&test, "none"), None);
    assert_eq!(array(&test, "back"), Some(r#"["y","x"]"#.into()));
}

/// However it is written; numbers, texts and truth values are not taken for one another.
pub fn elements_are_equal_when_their_json_is<T: StoreUnderTest>(test: T) {
    let (mut owner, things) = scene(&test);
    let written = r#"["\u0061", {"k": 1,  "j":[ ]}, "1", 1.0, 1e2]"#;
    let object = Json::of(&std::collections::BTreeMap::from([("k", 1)])).expect("it has a JSON");
    let push_object = on(things, "b", Change::ArrayPushUniq(column(things, "name"), object));
    let ops = [
        put(things, "a", written),
        push(things, "a", "a"),
        delete(things, "a", "100.0"),
        put(things, "b", written),
        push(things, "b", "1"),
        push_object,
    ];
    owner.apply(ops).expect("it commits");
    let kept = r#""\u0061",{"k": 1,  "j":[ ]},"1",1.0"#;
    assert_eq!(array(&test, "a"), Some(format!("[{kept}]").into()));
    assert_eq!(array(&test, "b"), Some(format!(r#"[{kept},1e2,1,{{"k":1}}]"#).into()));
}

/// White space and all.
pub fn an_array_that_does_not_change_is_left_to_the_byte<T: StoreUnderTest>(test: T) {
    let (mut owner, things) = scene(&test);
    let odd = " [ 1 ,\t\"a\" ] ";
    let ops = [put(things, "a", odd), push(things, "a", "a"), delete(things, "a", "2")];
    owner.apply(ops).expect("it commits");
    assert_eq!(array(&test, "a"), Some(odd.into()));
}

/// Wherever in a write it stands.
pub fn what_is_no_array_is_rejected_with_table_column_and_key_named<T: StoreUnderTest>(test: T) {
    let (mut owner, things) = scene(&test);
    for text in ["old", "", "{}", "1", "null", "[1", "[1]]"] {
        owner.apply([put(things, "a", text)]).expect("it commits");
        for guilty in [push(things, "a", "x"), delete(things, "a", "x")] {
            let (_, message) = owner.refusal([put(things, "b", "[]"), guilty.clone()]);
            for part in ["things", "name", "'a'"] {
                assert!(message.contains(part), "{part} is not named: {message}");
            }
            owner.is_refused([guilty, put(things, "a", "[]")]);
            assert_eq!(array(&test, "a"), Some(text.into()));
            assert_eq!(thing(&test, "b"), None);
        }
    }
}

/// It does not make one.
pub fn an_array_op_is_rejected_when_no_row_has_the_key<T: StoreUnderTest>(test: T) {
    let (mut owner, things) = scene(&test);
    owner.is_refused([push(things, "b", "x")]);
    owner.is_refused([delete(things, "b", "x")]);
    owner.is_refused([
        put(things, "b", "[]"),
        on(things, "b", Change::Delete),
        push(things, "b", "x"),
    ]);
    assert_eq!(thing(&test, "b"), None);
}
