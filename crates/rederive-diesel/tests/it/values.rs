//! Values arrive in the database, and come back, as they are.

use diesel::prelude::*;
use rederive_core::{Change, ColumnKind, Op, RowOp, Table, Value};

use crate::support::{Db, Owner, on_every_database, queries, rejection};

on_every_database! {
    every_value_comes_back_as_it_was_however_it_was_written,
    a_set_of_any_size_is_written_whole,
    an_integer_that_overflows_is_rejected_with_its_row_named_and_nothing_is_changed,
    null_counts_as_zero_when_it_is_added_to,
    a_value_that_its_column_cannot_hold_is_rejected_with_both_named,
}

diesel::table! {
    things (id) {
        id -> Text,
        number -> Nullable<BigInt>,
        float -> Nullable<Double>,
        text -> Nullable<Text>,
        bytes -> Nullable<Binary>,
        flag -> Nullable<Bool>,
        small -> Nullable<SmallInt>,
    }
}

static THINGS: Table = Table::new(
    "things",
    &[
        ("id", ColumnKind::Text),
        ("number", ColumnKind::BigInt),
        ("float", ColumnKind::Double),
        ("text", ColumnKind::Text),
        ("bytes", ColumnKind::Binary),
        ("flag", ColumnKind::Bool),
        ("small", ColumnKind::SmallInt),
    ],
    &[0],
);

fn schema<D: Db>() -> &'static str {
    if D::IS_POSTGRES {
        "CREATE TABLE things (id text COLLATE \"C\" PRIMARY KEY, number bigint, float double precision,
            text text, bytes bytea, flag boolean, small smallint)"
    } else {
        "CREATE TABLE things (id TEXT PRIMARY KEY NOT NULL, number INTEGER, float REAL,
            text TEXT, bytes BLOB, flag INTEGER, small INTEGER) STRICT"
    }
}

type Thing =
    (String, Option<i64>, Option<f64>, Option<String>, Option<Vec<u8>>, Option<bool>, Option<i16>);

fn op(id: &str, change: Change) -> Op {
    Op::Row(RowOp { table: &THINGS, key: [id.into()].into_iter().collect(), change })
}

queries!(Things {
    fn stored(conn) -> Vec<Thing> {
        things::table.order(things::id).load(conn)
    }
});

fn row(thing: &Thing) -> Vec<(usize, Value)> {
    let (_, number, float, text, bytes, flag, small) = thing.clone();
    vec![
        (1, number.into()),
        (2, float.into()),
        (3, text.into()),
        (4, bytes.into()),
        (5, flag.into()),
        (6, small.into()),
    ]
}

fn every_value_comes_back_as_it_was_however_it_was_written<D: Things>() {
    let thing = |id: &str, number, float, text: &str, bytes: &[u8]| -> Thing {
        let text = Some(text.to_owned());
        (id.to_owned(), Some(number), Some(float), text, Some(bytes.to_owned()), Some(true), None)
    };
    // PostgreSQL knows no text with NUL in it.
    let odd = if D::IS_POSTGRES { "a\u{1}b" } else { "a\0b" };
    let things = [
        thing("", i64::MAX, f64::MAX, "", b""),
        thing(odd, i64::MIN, f64::MIN_POSITIVE / 4.0, odd, b"\0\xff"),
        thing("ключ", -1, 0.1 + 0.2, "\u{10ffff}'\"--%", &[0; 100_000]),
        thing("x", 0, f64::INFINITY, "\u{1f980}", b"{}"),
        ("null".to_owned(), None, None, None, None, None, None),
        ("small".to_owned(), Some(1 << 53), Some(-1e-300), None, None, Some(false), Some(-5)),
    ];
    let mut sorted = things.to_vec();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    let ways: [fn(Vec<(usize, Value)>) -> Vec<Change>; 4] = [
        |row| vec![Change::Insert(row)],
        |row| vec![Change::InsertNew(row)],
        |row| vec![Change::Upsert(row)],
        |row| vec![Change::Insert(Vec::new()), Change::Update(row)],
    ];
    for way in ways {
        let scratch = D::new(schema::<D>());
        let ops = things.iter().flat_map(|thing| {
            way(row(thing)).into_iter().map(|change| op(&thing.0, change)).collect::<Vec<_>>()
        });
        Owner::of(&scratch.store()).apply(ops.collect()).unwrap();
        assert_eq!(scratch.stored(), sorted);
    }
}

fn a_set_of_any_size_is_written_whole<D: Things>() {
    for size in [1, 7, 8, 9, 63, 64, 65, 1000] {
        let scratch = D::new(schema::<D>());
        let mut owner = Owner::of(&scratch.store());
        let of = |change: fn(i64) -> Change| {
            (0..size).map(|n| op(&format!("{n:04}"), change(n))).collect::<Vec<_>>()
        };
        owner.apply(of(|n| Change::Insert(vec![(1, n.into())]))).unwrap();
        owner.apply(of(|n| Change::Update(vec![(6, (n % 7).into())]))).unwrap();
        owner.apply(of(|n| Change::Increment(1, (10 * n).into()))).unwrap();
        let found: Vec<(Option<i64>, Option<i16>)> =
            scratch.stored().into_iter().map(|(_, number, .., small)| (number, small)).collect();
        let expected: Vec<_> =
            (0..size).map(|n| (Some(11 * n), i16::try_from(n % 7).ok())).collect();
        assert_eq!(found, expected);
        owner.apply(of(|_| Change::Delete)).unwrap();
        assert_eq!(scratch.stored(), []);
    }
}

fn an_integer_that_overflows_is_rejected_with_its_row_named_and_nothing_is_changed<D: Things>() {
    let scratch = D::new(schema::<D>());
    let mut owner = Owner::of(&scratch.store());
    let ends = vec![(1, i64::MAX.into()), (6, i16::MIN.into())];
    owner
        .apply((0..9).map(|n| op(&n.to_string(), Change::Insert(ends.clone()))).collect())
        .unwrap();
    let before = scratch.stored();
    let by = |column, by: i64| {
        let ops = (0..9).map(|n| {
            let by = if n == 5 { by } else { 0 };
            op(&n.to_string(), Change::Increment(column, by.into()))
        });
        ops.collect::<Vec<_>>()
    };
    assert_eq!(
        rejection(owner.apply(by(1, 1))),
        "column number of table things overflows or holds no number, in the row with key '5'"
    );
    assert_eq!(
        rejection(owner.apply(by(6, -1))),
        "column small of table things overflows or holds no number, in the row with key '5'"
    );
    // Also when the sum would fit: one after the other, they would not.
    let up_and_down =
        [op("5", Change::Increment(1, 1.into())), op("5", Change::Increment(1, (-2).into()))];
    assert!(rejection(owner.apply(up_and_down.to_vec())).contains("key '5'"));
    assert_eq!(scratch.stored(), before);
    owner.apply(by(1, -1)).unwrap();
    assert_eq!(scratch.stored()[5].1, Some(i64::MAX - 1));
}

fn null_counts_as_zero_when_it_is_added_to<D: Things>() {
    let scratch = D::new(schema::<D>());
    let mut owner = Owner::of(&scratch.store());
    owner.apply(vec![op("a", Change::Insert(Vec::new()))]).unwrap();
    let increments =
        [op("a", Change::Increment(1, 5.into())), op("a", Change::Increment(2, 0.5.into()))];
    owner.apply(increments.to_vec()).unwrap();
    let (_, number, float, ..) = scratch.stored().remove(0);
    assert_eq!((number, float), (Some(5), Some(0.5)));
}

fn a_value_that_its_column_cannot_hold_is_rejected_with_both_named<D: Things>() {
    let scratch = D::new(schema::<D>());
    let mut owner = Owner::of(&scratch.store());
    let mut refusal = |key: &str, column, value: Value| {
        rejection(owner.apply(vec![op(key, Change::Insert(vec![(column, value)]))]))
    };
    assert_eq!(
        refusal("a", 1, "one".into()),
        "column number of table things (BigInt) cannot take 'one' (partition \"p\")"
    );
    assert!(refusal("a", 6, 40_000.into()).contains("column small"));
    assert!(refusal("a", 2, f64::NAN.into()).contains("cannot take NaN"));
    assert!(refusal("a", 3, vec![1_u8].into()).contains("column text"));
    let no_key = Op::Row(RowOp {
        table: &THINGS,
        key: [Value::Null].into_iter().collect(),
        change: Change::Delete,
    });
    assert!(rejection(owner.apply(vec![no_key])).contains("column id"));
    assert_eq!(scratch.stored(), []);
}
