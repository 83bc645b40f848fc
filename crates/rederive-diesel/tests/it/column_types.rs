//! Columns of every SQL type that Diesel has for SQLite, on SQLite and in memory: what ops write is what
//! Diesel reads.

use std::{collections::BTreeMap, str::FromStr};

use bigdecimal::BigDecimal;
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use diesel::prelude::*;
use rederive_core::{MemoryStore, Op, Ops, ReduceError};
use rederive_diesel::{DieselOps, TypedRows};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::support::{Owner, Scratch, rejection};

diesel::table! {
    use diesel::sql_types::*;

    visits (id) {
        id -> Text,
        price -> Nullable<Numeric>,
        made -> Nullable<Timestamp>,
        seen -> Nullable<TimestamptzSqlite>,
        day -> Nullable<Date>,
        hour -> Nullable<Time>,
        note -> Nullable<Json>,
        data -> Nullable<Jsonb>,
    }
}

/// As a strict table has it, and as others do.
const SCHEMAS: [&str; 2] = [
    "CREATE TABLE visits (id TEXT PRIMARY KEY NOT NULL, price TEXT, made TEXT, seen TEXT, day TEXT,
        hour TEXT, note TEXT, data BLOB) STRICT",
    "CREATE TABLE visits (id TEXT PRIMARY KEY NOT NULL, price NUMERIC, made TIMESTAMP,
        seen TIMESTAMPTZ, day DATE, hour TIME, note JSON, data JSONB)",
];

#[derive(Clone, Debug, PartialEq, Insertable, Queryable, Selectable, Serialize, Deserialize)]
#[diesel(table_name = visits)]
struct Visit {
    id: String,
    price: Option<BigDecimal>,
    made: Option<NaiveDateTime>,
    seen: Option<DateTime<Utc>>,
    day: Option<NaiveDate>,
    hour: Option<NaiveTime>,
    note: Option<serde_json::Value>,
    data: Option<serde_json::Value>,
}

/// The same with the types of the crate `time`.
#[derive(Clone, Debug, PartialEq, Insertable, Queryable, Selectable, Serialize, Deserialize)]
#[diesel(table_name = visits)]
struct Timed {
    id: String,
    made: Option<time::PrimitiveDateTime>,
    seen: Option<time::OffsetDateTime>,
    day: Option<time::Date>,
    hour: Option<time::Time>,
}

fn visit(id: &str) -> Visit {
    Visit {
        id: id.to_owned(),
        price: Some(BigDecimal::from_str("12.25").unwrap()),
        made: Some(moment(1_795_440_562_120_000)),
        seen: Some(moment(-1).and_utc()),
        day: NaiveDate::from_ymd_opt(2024, 2, 29),
        hour: NaiveTime::from_hms_micro_opt(13, 29, 22, 1),
        note: Some(json!({"b": [1, 2.5, null], "a": "it's \"\u{1f980}\""})),
        data: Some(json!({"b": [1, 2.5, null], "a": "it's \"\u{1f980}\""})),
    }
}

fn nothing(id: &str) -> Visit {
    Visit {
        id: id.to_owned(),
        price: None,
        made: None,
        seen: None,
        day: None,
        hour: None,
        note: None,
        data: None,
    }
}

fn moment(micros: i64) -> NaiveDateTime {
    DateTime::from_timestamp_micros(micros).unwrap().naive_utc()
}

fn emitted(emit: impl FnOnce(&mut Ops) -> Result<(), ReduceError>) -> Vec<Op> {
    let mut ops = Ops::new("p".into());
    emit(&mut ops).unwrap();
    ops.into_vec()
}

/// What Diesel reads after these ops, whatever the table is like, and what the memory holds.
fn after(ops: &[Op]) -> Vec<Visit> {
    let memory = MemoryStore::new();
    Owner::of(&memory).apply(ops.to_vec()).unwrap();
    let held: Vec<Visit> = memory.rows_of(visits::table).unwrap();
    for schema in SCHEMAS {
        let scratch = Scratch::new(schema);
        Owner::of(&scratch.db.store()).apply(ops.to_vec()).unwrap();
        let query = visits::table.order(visits::id).select(Visit::as_select());
        assert_eq!(scratch.db.read(|conn| query.load(conn)).unwrap(), held, "{schema}");
    }
    held
}

#[test]
fn a_value_of_every_type_is_read_by_diesel_as_it_was_given() {
    let visits = [
        nothing("empty"),
        visit("full"),
        Visit {
            price: Some(BigDecimal::from(-3)),
            made: NaiveDate::from_ymd_opt(1, 1, 1).and_then(|day| day.and_hms_opt(0, 0, 0)),
            seen: Some(moment(253_402_300_799_999_999).and_utc()),
            hour: NaiveTime::from_hms_opt(0, 0, 0),
            note: Some(json!(null)),
            data: Some(json!(null)),
            ..visit("more")
        },
        Visit { note: Some(json!("text")), data: Some(json!([])), ..visit("scalar") },
    ];
    let ways: [fn(&mut Ops, &Visit) -> Result<(), ReduceError>; 4] = [
        |ops, visit| ops.insert(visits::table, visit.clone()),
        |ops, visit| {
            ops.insert(visits::table, nothing(&visit.id))?;
            ops.upsert(visits::table, visit.clone())
        },
        |ops, visit| {
            ops.insert(visits::table, nothing(&visit.id))?;
            let new = visit.clone();
            ops.modify(visits::table, &visit.id, move |row: &mut Visit| {
                *row = new.clone();
                Ok(())
            })
        },
        |ops, visit| {
            let Visit { id, price, made, seen, day, hour, note, data } = visit.clone();
            ops.insert(visits::table, nothing(&id))?;
            ops.update(
                visits::table,
                &id,
                ((visits::price, price), (visits::made, made), (visits::seen, seen)),
            )?;
            ops.merge(
                visits::table,
                &id,
                (
                    (visits::day, day),
                    (visits::hour, hour),
                    (visits::note, note),
                    (visits::data, data),
                ),
            )
        },
    ];
    for way in ways {
        let ops = emitted(|ops| visits.iter().try_for_each(|visit| way(ops, visit)));
        assert_eq!(after(&ops), visits);
    }
}

#[test]
fn what_diesel_writes_is_changed_and_selected_as_what_ops_write() {
    for schema in SCHEMAS {
        let scratch = Scratch::new(schema);
        let written = [visit("a"), nothing("b")];
        scratch
            .db
            .write(|conn| diesel::insert_into(visits::table).values(&written[..]).execute(conn))
            .unwrap();
        let ops = emitted(|ops| {
            let Visit { made, seen, day, hour, .. } = visit("");
            ops.modify(visits::table, "a", |row: &mut Visit| {
                assert_eq!(*row, visit("a"));
                row.price = row.price.take().map(|price| price * 2);
                Ok(())
            })?;
            let filter = (
                (visits::made, made),
                (visits::seen, seen),
                (visits::day, day),
                (visits::hour, hour),
                (visits::price, BigDecimal::from_str("24.50").unwrap()),
            );
            ops.update_where(visits::table, filter, (visits::note, json!("found")))
        });
        Owner::of(&scratch.db.store()).apply(ops).unwrap();
        let query = visits::table.order(visits::id).select(Visit::as_select());
        let rows = scratch.db.read(|conn| query.load(conn)).unwrap();
        let price = BigDecimal::from_str("24.5").ok();
        let changed = Visit { price, note: Some(json!("found")), ..visit("a") };
        assert_eq!(rows, [changed, nothing("b")]);
        // And Diesel finds what ops have written.
        let found: i64 = scratch
            .db
            .read(|conn| {
                visits::table
                    .filter(visits::made.eq(visit("").made).and(visits::seen.eq(visit("").seen)))
                    .filter(visits::note.eq(json!("found")).or(visits::note.is_null()))
                    .count()
                    .get_result(conn)
            })
            .unwrap();
        assert_eq!(found, 1);
    }
}

#[test]
fn json_that_is_kept_as_a_value_selects_rows_by_what_it_is() {
    let ops = emitted(|ops| {
        ops.insert(visits::table, visit("a"))?;
        ops.insert(visits::table, Visit { data: Some(json!([1])), ..visit("b") })?;
        ops.insert(visits::table, nothing("c"))?;
        let same: BTreeMap<_, _> =
            visit("").data.unwrap().as_object().unwrap().clone().into_iter().collect();
        let same = serde_json::to_value(same).unwrap();
        ops.update_where(visits::table, (visits::data, same), (visits::note, json!(1)))?;
        ops.delete_where(visits::table, (visits::data, json!([1])))
    });
    let rows = after(&ops);
    assert_eq!(rows, [Visit { note: Some(json!(1)), ..visit("a") }, nothing("c")]);
    let refused = Ops::new("p".into()).delete_where(visits::table, (visits::note, json!(1)));
    assert!(refused.unwrap_err().to_string().contains("column note of table visits (Json)"));
}

#[test]
fn decimal_numbers_are_added_exactly() {
    let by = |number: &str| BigDecimal::from_str(number).unwrap();
    let ops = emitted(|ops| {
        ops.insert(visits::table, Visit { price: Some(by("0.1")), ..nothing("a") })?;
        ops.insert(visits::table, nothing("b"))?;
        for _ in 0..7 {
            ops.increment(visits::price, "a", by("0.1"))?;
            ops.increment(visits::price, "b", by("-1e-3"))?;
        }
        ops.increment_where(visits::price, (visits::id, "a"), by("0.2"))?;
        ops.increment_where(visits::price, (visits::made, None::<NaiveDateTime>), by("1000.0"))
    });
    for schema in SCHEMAS {
        let scratch = Scratch::new(schema);
        Owner::of(&scratch.db.store()).apply(ops.clone()).unwrap();
        let sums = scratch.text("SELECT id || ' ' || price AS line FROM visits ORDER BY id");
        assert_eq!(sums, ["a 1001", "b 999.993"], "{schema}");
    }
    // Beyond what a floating-point number holds, in a column of text.
    let scratch = Scratch::new(SCHEMAS[0]);
    let mut owner = Owner::of(&scratch.db.store());
    let (large, small) = ("123456789012345678901234567890", "0.000000000000000000001");
    owner
        .apply(emitted(|ops| {
            ops.insert(visits::table, Visit { price: Some(by(large)), ..nothing("a") })?;
            ops.increment(visits::price, "a", by(small))
        }))
        .unwrap();
    let sum = scratch.text("SELECT price AS line FROM visits");
    assert_eq!(sum, ["123456789012345678901234567890.000000000000000000001"]);
    scratch.execute("UPDATE visits SET price = 'much'");
    let refused = owner.apply(emitted(|ops| ops.increment(visits::price, "a", by("1"))));
    assert_eq!(
        rejection(refused),
        "column price of table visits holds 'much', not a number, in the row with key 'a'"
    );
}

#[test]
fn elements_are_added_to_json() {
    let ops = emitted(|ops| {
        ops.insert(visits::table, nothing("a"))?;
        ops.insert(visits::table, visit("b"))?;
        for element in ["x", "y", "x"] {
            ops.array_push_uniq(visits::note, "a", element)?;
            ops.array_push_uniq(visits::data, "a", element)?;
        }
        ops.array_push_uniq(visits::data, "a", json!({"b": 1, "a": [0.5]}))?;
        ops.array_delete(visits::data, "a", "x")?;
        ops.array_delete(visits::note, "a", "y")
    });
    let rows = after(&ops);
    assert_eq!(rows[0].note, Some(json!(["x"])));
    assert_eq!(rows[0].data, Some(json!(["y", {"a": [0.5], "b": 1}])));
    let scratch = Scratch::new(SCHEMAS[0]);
    let mut owner = Owner::of(&scratch.db.store());
    owner.apply(emitted(|ops| ops.insert(visits::table, visit("b")))).unwrap();
    let refused = owner.apply(emitted(|ops| ops.array_delete(visits::data, "b", 1)));
    let message = rejection(refused);
    assert!(message.contains("column data of table visits holds"), "{message}");
}

#[test]
fn the_types_of_the_crate_time_are_written_and_read_too() {
    use time::macros::{date, datetime, time};

    let timed = Timed {
        id: "a".to_owned(),
        made: Some(datetime!(2026-11-23 13:29:22)),
        seen: Some(datetime!(2026-11-23 13:29:22.5 UTC)),
        day: Some(date!(0001 - 01 - 01)),
        hour: Some(time!(00:00)),
    };
    let ops = emitted(|ops| {
        ops.insert(visits::table, timed.clone())?;
        ops.modify(visits::table, "a", |row: &mut Timed| {
            row.made = row.made.map(|made| made + time::Duration::microseconds(1));
            row.seen = row.seen.map(|seen| seen.to_offset(time::macros::offset!(+2)));
            row.hour = Some(time!(23:59:59.999_999));
            Ok(())
        })
    });
    let expected = Timed {
        made: Some(datetime!(2026-11-23 13:29:22.000_001)),
        hour: Some(time!(23:59:59.999_999)),
        ..timed
    };
    let memory = MemoryStore::new();
    Owner::of(&memory).apply(ops.clone()).unwrap();
    assert_eq!(memory.row_of(visits::table, "a"), Ok(Some(expected.clone())));
    let scratch = Scratch::new(SCHEMAS[0]);
    Owner::of(&scratch.db.store()).apply(ops).unwrap();
    let rows = scratch.db.read(|conn| visits::table.select(Timed::as_select()).load(conn));
    assert_eq!(rows.unwrap(), [expected]);
}

#[test]
fn text_that_is_no_value_of_its_column_is_refused_before_anything_is_written() {
    #[derive(Insertable, Serialize)]
    #[diesel(table_name = visits)]
    struct Odd {
        id: String,
        #[serde(rename = "day")]
        #[diesel(column_name = note)]
        odd: serde_json::Value,
    }
    let odd = |value: serde_json::Value| {
        let mut ops = Ops::new("p".into());
        let refused = ops.insert(visits::table, Odd { id: "a".into(), odd: value }).unwrap_err();
        assert!(ops.as_slice().is_empty());
        refused.to_string()
    };
    assert_eq!(
        odd(json!("2026-02-30")),
        "column day of table visits (Date) cannot take the text \"2026-02-30\""
    );
    assert_eq!(odd(json!(7)), "column day of table visits (Date) cannot take the number 7");
    assert_eq!(odd(json!([1])), "column day of table visits (Date) cannot take a sequence");
    assert!(odd(json!("x".repeat(1000))).len() < 300);
}
