use super::*;

static POINTS: Table = Table::new(
    "points",
    &[
        ("x", ColumnKind::BigInt),
        ("y", ColumnKind::BigInt),
        ("name", ColumnKind::Text),
        ("size", ColumnKind::SmallInt),
        ("weight", ColumnKind::Double),
    ],
    &[0, 1],
);

fn refusal(key: &[Value], change: Change) -> String {
    let mut ops = Ops::new("p".into());
    let error = ops.change(&POINTS, key.to_vec(), change).expect_err("the op was accepted");
    assert!(ops.as_slice().is_empty());
    error.to_string()
}

fn refusal_where(filter: Row, change: Change) -> String {
    let mut ops = Ops::new("p".into());
    let error = ops.change_where(&POINTS, filter, change).expect_err("the op was accepted");
    assert!(ops.as_slice().is_empty());
    error.to_string()
}

fn key() -> [Value; 2] {
    [1.into(), 2.into()]
}

#[test]
fn an_op_that_does_not_fit_its_table_is_refused_with_the_table_named() {
    assert_eq!(
        refusal(&[1.into()], Change::Delete),
        "the key of table points has 2 columns, but the op gives 1 values"
    );
    assert_eq!(
        refusal(&[1.into(), Value::Null], Change::Delete),
        "column y of table points (BigInt) cannot take NULL"
    );
    assert_eq!(
        refusal(&["1".into(), 2.into()], Change::Delete),
        "column x of table points (BigInt) cannot take '1'"
    );
    assert_eq!(
        refusal(&key(), Change::Update(vec![(5, Value::Null)])),
        "table points has no column 5"
    );
    for change in [Change::Merge, Change::Replace, Change::Update] {
        assert!(refusal(&key(), change(vec![(1, 5.into())])).contains("part of its key"));
        assert_eq!(
            refusal(&key(), change(vec![(3, 40_000.into())])),
            "column size of table points (SmallInt) cannot take 40000"
        );
    }
    assert!(refusal(&key(), Change::Upsert(vec![(4, f64::NAN.into())])).contains("NaN"));
}

#[test]
fn only_a_number_that_its_column_can_hold_is_added() {
    assert!(refusal(&key(), Change::Increment(3, "one".into())).contains("not a number"));
    assert!(
        refusal(&key(), Change::Increment(2, 1.into())).contains("(Text) cannot be incremented")
    );
    assert_eq!(
        refusal(&key(), Change::Increment(3, 1.5.into())),
        "column size of table points (SmallInt) cannot be incremented by 1.5"
    );
    assert!(refusal(&key(), Change::Increment(4, f64::NAN.into())).contains("NaN"));
    let mut ops = Ops::new("p".into());
    ops.change(&POINTS, key(), Change::Increment(3, 60_000.into())).expect("from -32,768");
    ops.change(&POINTS, key(), Change::Increment(4, 1.into())).expect("it is a number");
}

#[test]
fn a_json_array_needs_a_column_of_text() {
    let element = Json::of("a").expect("it is text");
    assert_eq!(
        refusal(&key(), Change::ArrayPushUniq(3, element.clone())),
        "column size of table points (SmallInt) cannot hold a JSON array: it is not text"
    );
    assert!(refusal(&key(), Change::ArrayDelete(0, element)).contains("part of its key"));
}

#[test]
fn rows_selected_by_their_values_are_updated_incremented_or_deleted_and_nothing_else() {
    let by_name = || vec![(2, "a".into())];
    assert!(refusal_where(by_name(), Change::Insert(vec![])).contains("nothing else"));
    assert_eq!(
        refusal_where(vec![], Change::Delete),
        "a change of rows of table points names no value of them"
    );
    assert!(refusal_where(vec![(2, 1.into())], Change::Delete).contains("cannot take 1"));
    assert!(refusal_where(vec![(7, 1.into())], Change::Delete).contains("no column 7"));
    assert!(
        refusal_where(by_name(), Change::Update(vec![(0, 1.into())])).contains("part of its key")
    );
    let mut ops = Ops::new("p".into());
    ops.change_where(&POINTS, vec![(0, 1.into()), (2, Value::Null)], Change::Delete)
        .expect("columns of the key may be named");
}

#[test]
fn every_op_has_a_text() {
    let element = || Json::of(&vec![1]).expect("it has a JSON");
    let texts = [
        (Change::Insert(vec![]), "insert points 1, 2"),
        (Change::InsertNew(vec![(2, "a".into())]), "insert_new points 1, 2: name = 'a'"),
        (
            Change::Upsert(vec![(2, "it's".into()), (3, Value::Null)]),
            "upsert points 1, 2: name = 'it''s', size = NULL",
        ),
        (Change::Merge(vec![(3, 1.into())]), "merge points 1, 2: size = 1"),
        (Change::Replace(vec![(3, 1.into())]), "replace points 1, 2: size = 1"),
        (Change::Update(vec![(3, 1.into())]), "update points 1, 2: size = 1"),
        (Change::Increment(3, (-1).into()), "increment points 1, 2: size by -1"),
        (Change::Modify(RowFn::new(|_| Ok(()))), "modify points 1, 2: by a function"),
        (Change::ArrayPushUniq(2, element()), "array_push_uniq points 1, 2: name [1]"),
        (Change::ArrayDelete(2, element()), "array_delete points 1, 2: name [1]"),
        (Change::Delete, "delete points 1, 2"),
    ];
    for (change, text) in texts {
        let key = key().into_iter().collect();
        assert_eq!(Op::Row(RowOp { table: &POINTS, key, change }).to_string(), text);
    }
    let filter = vec![(2, "a".into()), (3, Value::Null)];
    let op = WhereOp { table: &POINTS, filter, change: Change::Update(vec![(4, 1.5.into())]) };
    assert_eq!(
        Op::Where(op).to_string(),
        "update_where points (name = 'a', size = NULL): weight = 1.5"
    );
}

#[test]
fn an_op_is_small_as_there_are_very_many_of_them_in_bulk() {
    assert_eq!((size_of::<Value>(), size_of::<Op>()), (24, 72));
}
