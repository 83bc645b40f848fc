//! Ops against `table!`: what they carry, and what they refuse.

use diesel::{Insertable, prelude::*};
use rederive_core::{Change, ColumnKind, Op, Ops, Value};
use rederive_diesel::DieselOps;
use serde::Serialize;

use crate::support::{Owner, Scratch, on_every_database, queries};

on_every_database! { typed_ops_lead_to_the_rows_that_diesel_reads }

diesel::table! {
    accounts (id) {
        id -> Text,
        owner -> Text,
        balance -> BigInt,
        #[sql_name = "type"]
        kind -> Nullable<Integer>,
        rate -> Double,
        active -> Bool,
        photo -> Nullable<Binary>,
    }
}

diesel::table! {
    memberships (club, member) {
        since -> BigInt,
        member -> Text,
        club -> Integer,
    }
}

#[derive(Clone, Insertable, Serialize, Queryable, Debug, PartialEq)]
#[diesel(table_name = accounts)]
struct Account {
    id: String,
    owner: String,
    balance: i64,
    #[serde(rename = "type")]
    kind: Option<i32>,
    rate: f64,
    active: bool,
    photo: Option<Vec<u8>>,
}

fn alice() -> Account {
    Account {
        id: "alice".to_owned(),
        owner: "Alice".to_owned(),
        balance: 5,
        kind: None,
        rate: 0.5,
        active: true,
        photo: Some(vec![0, 255]),
    }
}

#[derive(Insertable, Serialize)]
#[diesel(table_name = memberships)]
struct Membership {
    club: i32,
    member: String,
    since: i64,
}

fn ops() -> Ops {
    Ops::new("p".into())
}

fn only(ops: Ops) -> rederive_core::RowOp {
    match ops.into_vec().remove(0) {
        Op::Row(op) => op,
        other => panic!("{other}"),
    }
}

#[test]
fn a_table_is_described_as_table_declares_it() {
    let mut ops = ops();
    ops.insert(accounts::table, alice()).unwrap();
    let op = only(ops);
    assert_eq!(op.table.name, "accounts");
    assert_eq!(op.table.key, [0]);
    let columns: Vec<_> = op.table.columns.iter().map(|(name, kind)| (*name, *kind)).collect();
    assert_eq!(
        columns,
        [
            ("id", ColumnKind::Text),
            ("owner", ColumnKind::Text),
            ("balance", ColumnKind::BigInt),
            ("type", ColumnKind::Integer),
            ("rate", ColumnKind::Double),
            ("active", ColumnKind::Bool),
            ("photo", ColumnKind::Binary),
        ]
    );
    assert_eq!(op.key.as_slice(), [Value::from("alice")]);
    assert_eq!(
        op.change,
        Change::Insert(vec![
            (1, "Alice".into()),
            (2, 5.into()),
            (3, Value::Null),
            (4, 0.5.into()),
            (5, true.into()),
            (6, vec![0_u8, 255].into()),
        ])
    );
}

diesel::table! {
    main.places (x, y) {
        y -> Text,
        #[sql_name = "the count"]
        n -> BigInt,
        x -> BigInt,
    }
}

#[derive(Insertable, Serialize, Queryable, Debug, PartialEq)]
#[diesel(table_name = places)]
struct Place {
    y: String,
    #[serde(rename = "the count")]
    n: i64,
    x: i64,
}

#[test]
fn a_table_may_name_its_schema() {
    let mut ops = ops();
    ops.insert(places::table, Place { y: "b".into(), n: 1, x: 7 }).unwrap();
    ops.increment(places::n, (7, "b"), 4_i64).unwrap();
    let Op::Row(op) = &ops.as_slice()[0] else { panic!("{ops:?}") };
    assert_eq!(op.table.name, "main.places");
    assert_eq!((op.table.schema, op.table.local_name()), (Some("main"), "places"));
    assert_eq!(op.table.key, [2, 0]);
    let scratch = Scratch::new(
        "CREATE TABLE places (y TEXT, \"the count\" INTEGER, x INTEGER,
             PRIMARY KEY (x, y)) STRICT",
    );
    Owner::of(&scratch.db.store()).apply(ops.into_vec()).unwrap();
    let found: Vec<Place> = scratch.db.read(|conn| places::table.load(conn)).unwrap();
    assert_eq!(found, [Place { y: "b".into(), n: 5, x: 7 }]);
}

#[test]
fn every_sql_type_of_a_database_has_its_kind() {
    diesel::table! {
        use diesel::sql_types::*;

        everything (id) {
            id -> Text,
            number -> Nullable<Numeric>,
            at -> Timestamp,
            at_zone -> TimestamptzSqlite,
            day -> Date,
            hour -> Nullable<Time>,
            json -> Json,
            jsonb -> Jsonb,
            real -> Float,
        }
    }
    let owned = rederive_diesel::owned(everything::table);
    let kinds: Vec<_> = owned.table().columns.iter().map(|(_, kind)| *kind).collect();
    assert_eq!(
        kinds,
        [
            ColumnKind::Text,
            ColumnKind::Numeric,
            ColumnKind::Timestamp,
            ColumnKind::Timestamptz,
            ColumnKind::Date,
            ColumnKind::Time,
            ColumnKind::Json,
            ColumnKind::Jsonb,
            ColumnKind::Float,
        ]
    );
}

#[test]
fn keys_of_several_columns_are_tuples_in_the_order_of_the_key() {
    let mut first = ops();
    first
        .insert_new(memberships::table, Membership { club: 1, member: "a".into(), since: 7 })
        .unwrap();
    let op = only(first);
    assert_eq!(op.key.as_slice(), [Value::from(1), Value::from("a")]);
    assert_eq!(op.change, Change::InsertNew(vec![(0, 7.into())]));

    let mut second = ops();
    second.increment(memberships::since, (1, "a"), 3_i64).unwrap();
    second.update(memberships::table, (1, "a".to_owned()), (memberships::since, 1_i64)).unwrap();
    second.delete(memberships::table, (1, &"a".to_owned())).unwrap();
    for op in second.as_slice() {
        let Op::Row(op) = op else { panic!("{op:?}") };
        assert_eq!(op.key.as_slice(), [Value::from(1), Value::from("a")]);
    }
}

#[test]
fn one_pair_or_many_are_the_changes_of_an_update() {
    let mut ops = ops();
    ops.update(accounts::table, "a", (accounts::owner, "x")).unwrap();
    ops.update(accounts::table, "a", ((accounts::owner, "x"), (accounts::kind, Some(3)))).unwrap();
    ops.update(accounts::table, "a", ((accounts::kind, None::<i32>),)).unwrap();
    let changes: Vec<Change> = ops
        .into_vec()
        .into_iter()
        .map(|op| match op {
            Op::Row(op) => op.change,
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(
        changes,
        [
            Change::Update(vec![(1, "x".into())]),
            Change::Update(vec![(1, "x".into()), (3, 3.into())]),
            Change::Update(vec![(3, Value::Null)]),
        ]
    );
}

#[test]
fn a_row_that_serde_names_otherwise_or_fills_otherwise_is_refused_with_the_column_named() {
    #[derive(Insertable, Serialize)]
    #[diesel(table_name = accounts)]
    struct Misnamed {
        id: String,
        #[serde(rename = "holder")]
        owner: String,
    }
    #[derive(Insertable, Serialize)]
    #[diesel(table_name = accounts)]
    struct Mistyped {
        id: String,
        #[serde(serialize_with = "as_text")]
        balance: i64,
    }
    fn as_text<S: serde::Serializer>(number: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&number.to_string())
    }
    #[derive(Insertable, Serialize)]
    #[diesel(table_name = accounts)]
    struct Keyless {
        owner: String,
    }
    let mut ops = ops();
    let misnamed = Misnamed { id: "a".into(), owner: "b".into() };
    assert_eq!(
        ops.insert(accounts::table, misnamed).unwrap_err().to_string(),
        "table accounts has no column named holder"
    );
    let mistyped = Mistyped { id: "a".into(), balance: 1 };
    assert_eq!(
        ops.upsert(accounts::table, mistyped).unwrap_err().to_string(),
        "column balance of table accounts (BigInt) cannot take text"
    );
    assert_eq!(
        ops.insert_new(accounts::table, Keyless { owner: "b".into() }).unwrap_err().to_string(),
        "column id of table accounts is part of its key: it has no NULL"
    );
    let nan = Account { rate: f64::NAN, ..alice() };
    assert!(ops.insert(accounts::table, nan).unwrap_err().to_string().contains("NaN"));
    assert!(ops.as_slice().is_empty());
}

queries!(Rows {
    fn accounts(conn) -> Vec<Account> {
        accounts::table.order(accounts::id).load(conn)
    }
    fn members(conn) -> Vec<String> {
        memberships::table.select(memberships::member).load(conn)
    }
});

fn typed_ops_lead_to_the_rows_that_diesel_reads<D: Rows>() {
    let scratch = D::new(if D::IS_POSTGRES {
        "CREATE TABLE accounts (id text PRIMARY KEY, owner text, balance bigint, \"type\" integer,
             rate double precision, active boolean, photo bytea);
         CREATE TABLE memberships (since bigint, member text, club integer,
             PRIMARY KEY (club, member));"
    } else {
        "CREATE TABLE accounts (id TEXT PRIMARY KEY, owner TEXT, balance INTEGER, \"type\" INTEGER,
             rate REAL, active INTEGER, photo BLOB) STRICT;
         CREATE TABLE memberships (since INTEGER, member TEXT, club INTEGER,
             PRIMARY KEY (club, member)) STRICT;"
    });
    let mut ops = ops();
    ops.insert(accounts::table, alice()).unwrap();
    ops.upsert(accounts::table, Account { balance: 9, ..alice() }).unwrap();
    ops.increment(accounts::balance, "alice", 1_i64).unwrap();
    ops.increment(accounts::kind, "alice", 2).unwrap();
    ops.increment(accounts::rate, "alice", 0.25).unwrap();
    ops.update(accounts::table, "alice", ((accounts::owner, "A"), (accounts::active, false)))
        .unwrap();
    ops.insert_new(accounts::table, Account { id: "bob".into(), ..alice() }).unwrap();
    ops.insert_new(accounts::table, alice()).unwrap();
    ops.insert(memberships::table, Membership { club: 1, member: "a".into(), since: 7 }).unwrap();
    ops.insert(memberships::table, Membership { club: 1, member: "b".into(), since: 7 }).unwrap();
    ops.delete(memberships::table, (1, "a")).unwrap();
    Owner::of(&scratch.store()).apply(ops.into_vec()).unwrap();

    let changed = Account {
        owner: "A".into(),
        balance: 10,
        kind: Some(2),
        rate: 0.75,
        active: false,
        ..alice()
    };
    assert_eq!(scratch.accounts(), [changed, Account { id: "bob".into(), ..alice() }]);
    assert_eq!(scratch.members(), ["b"]);
}
