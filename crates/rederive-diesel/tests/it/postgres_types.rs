//! Columns of every common SQL type of PostgreSQL's: what ops write is what Diesel reads, and the memory
//! holds.

use std::str::FromStr;

use bigdecimal::BigDecimal;
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use diesel::prelude::*;
use rederive_core::{ColumnKind, MemoryStore, Op, Ops, ReduceError};
use rederive_diesel::{ColumnType, DieselOps, TypedRows};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::support::{Owner, PostgresScratch, rejection};

/// An enum of the user's.
#[derive(diesel::sql_types::SqlType, diesel::query_builder::QueryId)]
#[diesel(postgres_type(name = "mood"))]
pub struct MoodType;

impl ColumnType for MoodType {
    const KIND: ColumnKind = ColumnKind::Custom("mood");
}

#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Serialize,
    Deserialize,
    diesel::deserialize::FromSqlRow,
    diesel::expression::AsExpression,
)]
#[diesel(sql_type = MoodType)]
#[serde(rename_all = "lowercase")]
enum Mood {
    Happy,
    Sad,
}

impl diesel::serialize::ToSql<MoodType, diesel::pg::Pg> for Mood {
    fn to_sql<'b>(
        &'b self,
        out: &mut diesel::serialize::Output<'b, '_, diesel::pg::Pg>,
    ) -> diesel::serialize::Result {
        use std::io::Write;
        let label: &[u8] = if *self == Mood::Happy { b"happy" } else { b"sad" };
        out.write_all(label)?;
        Ok(diesel::serialize::IsNull::No)
    }
}

impl diesel::deserialize::FromSql<MoodType, diesel::pg::Pg> for Mood {
    fn from_sql(bytes: diesel::pg::PgValue<'_>) -> diesel::deserialize::Result<Self> {
        match bytes.as_bytes() {
            b"happy" => Ok(Mood::Happy),
            b"sad" => Ok(Mood::Sad),
            _ => Err("no mood".into()),
        }
    }
}

mod schema {
    diesel::table! {
        use diesel::sql_types::*;
        use super::super::MoodType;

        sales.visits (id, at) {
            id -> Uuid,
            at -> Timestamptz,
            flag -> Nullable<Bool>,
            small -> Nullable<SmallInt>,
            number -> Nullable<Integer>,
            big -> Nullable<BigInt>,
            real -> Nullable<Float>,
            double -> Nullable<Double>,
            text -> Nullable<Text>,
            bytes -> Nullable<Binary>,
            price -> Nullable<Numeric>,
            made -> Nullable<Timestamp>,
            day -> Nullable<Date>,
            hour -> Nullable<Time>,
            note -> Nullable<Json>,
            data -> Nullable<Jsonb>,
            mood -> Nullable<MoodType>,
            short -> Nullable<Text>,
        }
    }

    diesel::table! {
        use diesel::sql_types::*;
        use super::super::MoodType;

        lists (id) {
            id -> BigInt,
            flags -> Nullable<Array<Bool>>,
            numbers -> Nullable<Array<Nullable<Integer>>>,
            doubles -> Nullable<Array<Double>>,
            texts -> Nullable<Array<Text>>,
            bytes -> Nullable<Array<Binary>>,
            prices -> Nullable<Array<Numeric>>,
            uuids -> Nullable<Array<Uuid>>,
            moments -> Nullable<Array<Timestamptz>>,
            days -> Nullable<Array<Date>>,
            data -> Nullable<Array<Jsonb>>,
            moods -> Nullable<Array<MoodType>>,
        }
    }
}

use schema::{lists, visits};

const SCHEMA: &str = "
    CREATE SCHEMA sales;
    CREATE TYPE mood AS ENUM ('happy', 'sad');
    CREATE TABLE sales.visits (id uuid NOT NULL, at timestamptz NOT NULL, flag boolean, small smallint,
        number integer, big bigint, real real, double double precision, text text, bytes bytea,
        price numeric, made timestamp, day date, hour time, note json, data jsonb, mood mood,
        short varchar(5), PRIMARY KEY (id, at));
    CREATE TABLE lists (id bigint PRIMARY KEY, flags boolean[], numbers integer[],
        doubles double precision[], texts text[], bytes bytea[], prices numeric[], uuids uuid[],
        moments timestamptz[], days date[], data jsonb[], moods mood[]);";

#[derive(Clone, Debug, PartialEq, Insertable, Queryable, Selectable, Serialize, Deserialize)]
#[diesel(table_name = visits)]
struct Visit {
    id: Uuid,
    at: DateTime<Utc>,
    flag: Option<bool>,
    small: Option<i16>,
    number: Option<i32>,
    big: Option<i64>,
    real: Option<f32>,
    double: Option<f64>,
    text: Option<String>,
    bytes: Option<Vec<u8>>,
    price: Option<BigDecimal>,
    made: Option<NaiveDateTime>,
    day: Option<NaiveDate>,
    hour: Option<NaiveTime>,
    note: Option<serde_json::Value>,
    data: Option<serde_json::Value>,
    mood: Option<Mood>,
    short: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Insertable, Queryable, Selectable, Serialize, Deserialize)]
#[diesel(table_name = lists)]
struct List {
    id: i64,
    flags: Option<Vec<bool>>,
    numbers: Option<Vec<Option<i32>>>,
    doubles: Option<Vec<f64>>,
    texts: Option<Vec<String>>,
    bytes: Option<Vec<Vec<u8>>>,
    prices: Option<Vec<BigDecimal>>,
    uuids: Option<Vec<Uuid>>,
    moments: Option<Vec<DateTime<Utc>>>,
    days: Option<Vec<NaiveDate>>,
    data: Option<Vec<serde_json::Value>>,
    moods: Option<Vec<Mood>>,
}

const ID: Uuid = Uuid::from_u128(0x67e5_5044_10b1_426f_9247_bb68_0e5f_e0c8);

fn moment(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap()
}

fn decimal(text: &str) -> BigDecimal {
    BigDecimal::from_str(text).unwrap()
}

fn visit(micros: i64) -> Visit {
    Visit {
        id: ID,
        at: moment(micros),
        flag: Some(true),
        small: Some(i16::MIN),
        number: Some(i32::MAX),
        big: Some(i64::MIN),
        real: Some(0.1),
        double: Some(f64::INFINITY),
        text: Some("it's \"\\\u{1f980}".to_owned()),
        bytes: Some(vec![0, 255]),
        price: Some(decimal("-12345678901234567890.000000000000000000001")),
        made: Some(moment(1_795_440_562_120_000).naive_utc()),
        day: NaiveDate::from_ymd_opt(2024, 2, 29),
        hour: NaiveTime::from_hms_micro_opt(13, 29, 22, 1),
        note: Some(json!({"b": [1, 2.5, null], "a": "\"{}\\"})),
        data: Some(json!({"b": [1, 2.5, null], "a": "\"{}\\"})),
        mood: Some(Mood::Sad),
        short: Some("äöüß€".to_owned()),
    }
}

fn nothing(micros: i64) -> Visit {
    Visit {
        id: ID,
        at: moment(micros),
        flag: None,
        small: None,
        number: None,
        big: None,
        real: None,
        double: None,
        text: None,
        bytes: None,
        price: None,
        made: None,
        day: None,
        hour: None,
        note: None,
        data: None,
        mood: None,
        short: None,
    }
}

fn list(id: i64) -> List {
    List {
        id,
        flags: Some(vec![true, false]),
        numbers: Some(vec![Some(i32::MIN), None, Some(7)]),
        doubles: Some(vec![0.1, f64::NEG_INFINITY, 5e-324]),
        texts: Some(["", "NULL", "{a,\"b\"\\}", "it's", "\u{1f980}"].map(str::to_owned).to_vec()),
        bytes: Some(vec![vec![], vec![0, 255, b'\\']]),
        prices: Some(vec![decimal("0.1"), decimal("-12345678901234567890.5")]),
        uuids: Some(vec![ID]),
        moments: Some(vec![moment(-1), moment(1_795_440_562_120_000)]),
        days: Some(vec![NaiveDate::from_ymd_opt(1, 1, 1).unwrap()]),
        data: Some(vec![json!({"b": "\"", "a": [1]}), json!("x")]),
        moods: Some(vec![Mood::Happy, Mood::Sad]),
    }
}

fn empty_list(id: i64) -> List {
    List {
        id,
        flags: None,
        numbers: Some(vec![]),
        doubles: None,
        texts: None,
        bytes: None,
        prices: None,
        uuids: None,
        moments: None,
        days: None,
        data: None,
        moods: None,
    }
}

fn emitted(emit: impl FnOnce(&mut Ops) -> Result<(), ReduceError>) -> Vec<Op> {
    let mut ops = Ops::new("p".into());
    emit(&mut ops).unwrap();
    ops.into_vec()
}

/// What Diesel reads after these ops, which the memory holds too.
fn after(ops: &[Op]) -> (Vec<Visit>, Vec<List>) {
    let memory = MemoryStore::new();
    Owner::of(&memory).apply(ops.to_vec()).unwrap();
    let mut visits: Vec<Visit> = memory.rows_of(visits::table).unwrap();
    visits.sort_by_key(|visit| visit.at);
    let held = (visits, memory.rows_of(lists::table).unwrap());
    let scratch = PostgresScratch::new(SCHEMA);
    Owner::of(&scratch.db.store()).apply(ops.to_vec()).unwrap();
    let read = scratch.db.read(|conn| {
        Ok((
            visits::table.order((visits::id, visits::at)).select(Visit::as_select()).load(conn)?,
            lists::table.order(lists::id).select(List::as_select()).load(conn)?,
        ))
    });
    assert_eq!(read.unwrap(), held);
    held
}

#[test]
fn a_value_of_every_type_is_read_by_diesel_as_it_was_given() {
    let rows = [
        nothing(-1),
        visit(0),
        Visit { note: Some(json!(null)), data: Some(json!(null)), ..visit(1) },
    ];
    let ways: [fn(&mut Ops, &Visit) -> Result<(), ReduceError>; 3] = [
        |ops, visit| ops.insert(visits::table, visit.clone()),
        |ops, visit| {
            ops.insert(visits::table, nothing(visit.at.timestamp_micros()))?;
            ops.upsert(visits::table, visit.clone())
        },
        |ops, visit| {
            ops.insert(visits::table, nothing(visit.at.timestamp_micros()))?;
            let new = visit.clone();
            ops.modify(visits::table, (visit.id, visit.at), move |row: &mut Visit| {
                *row = new.clone();
                Ok(())
            })
        },
    ];
    for way in ways {
        let ops = emitted(|ops| rows.iter().try_for_each(|visit| way(ops, visit)));
        assert_eq!(after(&ops).0, rows);
    }
}

#[test]
fn arrays_of_every_type_are_read_by_diesel_as_they_were_given() {
    let ops = emitted(|ops| {
        ops.insert(lists::table, list(1))?;
        ops.insert(lists::table, empty_list(2))?;
        ops.upsert(lists::table, empty_list(3))?;
        ops.modify(lists::table, 3_i64, |row: &mut List| {
            *row = list(3);
            Ok(())
        })?;
        ops.modify(lists::table, 1_i64, |row: &mut List| {
            assert_eq!(*row, list(1));
            Ok(())
        })
    });
    assert_eq!(after(&ops).1, [list(1), empty_list(2), list(3)]);
}

#[test]
fn elements_are_added_to_arrays_and_json() {
    let key = (ID, moment(0));
    let ops = emitted(|ops| {
        ops.insert(lists::table, empty_list(1))?;
        ops.insert(visits::table, nothing(0))?;
        for text in ["b", "a", "b", "{\"}"] {
            ops.array_push_uniq(lists::texts, 1_i64, text)?;
            ops.array_push_uniq(visits::data, key, text)?;
            ops.array_push_uniq(visits::note, key, text)?;
        }
        ops.array_delete(lists::texts, 1_i64, "a")?;
        ops.array_delete(visits::data, key, "a")?;
        for number in [Some(1), None, Some(2), Some(1), None] {
            ops.array_push_uniq(lists::numbers, 1_i64, number)?;
        }
        ops.array_push_uniq(lists::bytes, 1_i64, vec![7_u8, 255])?;
        ops.array_push_uniq(lists::bytes, 1_i64, vec![7_u8, 255])?;
        ops.array_push_uniq(lists::prices, 1_i64, decimal("1.50"))?;
        ops.array_push_uniq(lists::prices, 1_i64, decimal("15e-1"))?;
        ops.array_push_uniq(lists::moments, 1_i64, moment(5))?;
        ops.array_push_uniq(lists::uuids, 1_i64, ID)?;
        ops.array_push_uniq(lists::moods, 1_i64, Mood::Happy)?;
        ops.array_push_uniq(lists::data, 1_i64, json!({"b": 1, "a": 2}))?;
        ops.array_push_uniq(lists::data, 1_i64, json!({"a": 2, "b": 1}))
    });
    let (visits, lists) = after(&ops);
    let expected = List {
        numbers: Some(vec![Some(1), None, Some(2)]),
        texts: Some(vec!["b".to_owned(), "{\"}".to_owned()]),
        bytes: Some(vec![vec![7, 255]]),
        prices: Some(vec![decimal("1.5")]),
        uuids: Some(vec![ID]),
        moments: Some(vec![moment(5)]),
        data: Some(vec![json!({"a": 2, "b": 1})]),
        moods: Some(vec![Mood::Happy]),
        ..empty_list(1)
    };
    assert_eq!(lists, [expected]);
    assert_eq!(visits[0].data, Some(json!(["b", "{\"}"])));
    assert_eq!(visits[0].note, Some(json!(["b", "a", "{\"}"])));
}

#[test]
fn rows_are_selected_by_values_of_every_type() {
    let mut rows = vec![visit(0), visit(1), nothing(2)];
    let ops = emitted(|ops| {
        rows.iter().try_for_each(|row| ops.insert(visits::table, row.clone()))?;
        let Visit { id, at, flag, bytes, price, made, day, hour, data, mood, .. } = visit(1);
        let filter = (
            ((visits::id, id), (visits::at, at), (visits::flag, flag), (visits::bytes, bytes)),
            ((visits::price, price), (visits::made, made), (visits::day, day)),
            ((visits::hour, hour), (visits::data, data), (visits::mood, mood)),
        );
        ops.update_where(visits::table, filter, (visits::text, "found"))?;
        ops.update_where(visits::table, (visits::mood, None::<Mood>), (visits::small, 7_i16))?;
        ops.insert(lists::table, list(1))?;
        let filter = ((lists::texts, list(1).texts), (lists::prices, list(1).prices));
        ops.update_where(lists::table, filter, (lists::texts, None::<Vec<String>>))
    });
    rows[1].text = Some("found".to_owned());
    rows[2].small = Some(7);
    let (visits, lists) = after(&ops);
    assert_eq!(visits, rows);
    assert_eq!(lists, [List { texts: None, ..list(1) }]);
}

#[test]
fn decimal_numbers_are_added_exactly_also_where_the_column_rounds() {
    let key = (ID, moment(0));
    let price = Some(decimal("0.1"));
    let ops = emitted(|ops| {
        ops.insert(visits::table, Visit { price: price.clone(), ..nothing(0) })?;
        ops.insert(visits::table, nothing(1))?;
        for _ in 0..7 {
            ops.increment(visits::price, key, decimal("0.1"))?;
        }
        ops.increment_where(visits::price, (visits::id, ID), decimal("1e20"))
    });
    let prices: Vec<_> = after(&ops).0.into_iter().map(|visit| visit.price).collect();
    assert_eq!(prices, [Some(decimal("100000000000000000000.8")), Some(decimal("1e20"))]);

    // Each step is rounded and judged, as if it came alone.
    let scratch = PostgresScratch::new(&SCHEMA.replace("price numeric,", "price numeric(5, 2),"));
    let mut owner = Owner::of(&scratch.db.store());
    let by = |number: &'static str| {
        move |ops: &mut Ops| ops.increment(visits::price, key, decimal(number))
    };
    owner
        .apply(emitted(|ops| {
            ops.insert(visits::table, Visit { price: price.clone(), ..nothing(0) })?;
            (0..4).try_for_each(|_| by("0.004")(ops))?;
            (0..2).try_for_each(|_| by("0.005")(ops))
        }))
        .unwrap();
    let stored = || {
        let rows: Vec<Option<BigDecimal>> =
            scratch.db.read(|conn| visits::table.select(visits::price).load(conn)).unwrap();
        rows[0].clone()
    };
    assert_eq!(stored(), Some(decimal("0.12")));
    let refused = owner.apply(emitted(|ops| {
        by("999.9")(ops)?;
        by("-999.9")(ops)
    }));
    assert!(rejection(refused).contains("numeric field overflow"));
    assert_eq!(stored(), Some(decimal("0.12")));
}

#[test]
fn a_date_and_time_without_a_zone_is_utc_in_a_column_with_one() {
    #[derive(Insertable, Queryable, Selectable, Serialize, Deserialize)]
    #[diesel(table_name = visits)]
    struct Naive {
        id: Uuid,
        at: NaiveDateTime,
        made: Option<NaiveDateTime>,
    }
    let naive = moment(7).naive_utc();
    let ops = emitted(|ops| {
        ops.insert(visits::table, Naive { id: ID, at: naive, made: None })?;
        ops.modify(visits::table, (ID, naive), |row: &mut Naive| {
            row.made = Some(row.at);
            Ok(())
        })
    });
    assert_eq!(after(&ops).0, [Visit { made: Some(naive), ..nothing(7) }]);
}

#[test]
fn what_only_the_database_can_refuse_is_rejected_with_its_row_named() {
    let scratch = PostgresScratch::new(SCHEMA);
    let mut owner = Owner::of(&scratch.db.store());
    let mut refusal = |row: Visit| {
        let good = nothing(-1);
        rejection(owner.apply(emitted(|ops| {
            ops.insert(visits::table, good)?;
            ops.insert(visits::table, row)
        })))
    };
    let long = refusal(Visit { short: Some("too long".to_owned()), ..nothing(0) });
    assert!(long.contains("character varying(5)"), "{long}");
    let nul = refusal(Visit { text: Some("a\0b".to_owned()), ..nothing(0) });
    assert!(nul.contains("column text of table sales.visits"), "{nul}");
    let nul = refusal(Visit { data: Some(json!("a\0b")), ..nothing(0) });
    assert!(nul.contains("\\u0000"), "{nul}");
    let count: i64 = scratch.db.read(|conn| visits::table.count().get_result(conn)).unwrap();
    assert_eq!(count, 0);
}
