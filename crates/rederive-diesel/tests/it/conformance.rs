//! The store and the event log keep every promise of their traits.

use std::{cell::Cell, ops::Range};

use diesel::{connection::SimpleConnection, prelude::*};
use rederive_core::{Cursor, Table, Value};
use rederive_diesel::{PostgresDatabase, PostgresStore, SqliteEventLog, SqliteStore, Upcasts};
use rederive_testkit::conformance::{
    append_once::{self, OnceUnderTest},
    event_log::{self, LogUnderTest},
    store::{self, CREATE_TABLES, StoreUnderTest},
};

use serde::{Deserialize, Serialize};

use crate::support::{PostgresScratch, Scratch};

diesel::table! {
    things (id) {
        id -> Text,
        small -> Nullable<SmallInt>,
        middle -> Nullable<Integer>,
        big -> Nullable<BigInt>,
        real -> Nullable<Double>,
        flag -> Nullable<Bool>,
        name -> Nullable<Text>,
        data -> Nullable<Binary>,
    }
}

diesel::table! {
    places (x, y) { y -> Text, n -> Nullable<BigInt>, x -> BigInt }
}

diesel::table! {
    tags (tag) { tag -> Text }
}

type Thing = (
    String,
    Option<i16>,
    Option<i32>,
    Option<i64>,
    Option<f64>,
    Option<bool>,
    Option<String>,
    Option<Vec<u8>>,
);

/// All rows of one of the tables, read as Diesel reads them from any database.
macro_rules! rows {
    ($conn:expr, $table:expr) => {
        match $table.name {
            "things" => things::table
                .load::<Thing>($conn)?
                .into_iter()
                .map(|(id, small, middle, big, real, flag, name, data)| {
                    vec![
                        id.into(),
                        small.into(),
                        middle.into(),
                        big.into(),
                        real.into(),
                        flag.into(),
                        name.into(),
                        data.into(),
                    ]
                })
                .collect(),
            "places" => places::table
                .load::<(String, Option<i64>, i64)>($conn)?
                .into_iter()
                .map(|(y, n, x)| vec![y.into(), n.into(), x.into()])
                .collect(),
            _ => tags::table
                .select(tags::tag)
                .load::<String>($conn)?
                .into_iter()
                .map(|tag| vec![tag.into()])
                .collect(),
        }
    };
}

struct StoreOnSqlite(SqliteStore, Scratch);

impl StoreUnderTest for StoreOnSqlite {
    type Store = SqliteStore;

    fn store(&self) -> &SqliteStore {
        &self.0
    }

    fn rows(&self, table: &'static Table) -> Vec<Vec<Value>> {
        self.1.db.read(|conn| Ok(rows!(conn, table))).unwrap()
    }
}

struct StoreOnPostgres(PostgresStore);

impl StoreUnderTest for StoreOnPostgres {
    type Store = PostgresStore;

    fn store(&self) -> &PostgresStore {
        &self.0
    }

    fn rows(&self, table: &'static Table) -> Vec<Vec<Value>> {
        self.0.database().read(|conn| Ok(rows!(conn, table))).unwrap()
    }

    fn binary(&self) -> &str {
        "BYTEA"
    }
}

#[test]
fn the_store_keeps_every_promise() {
    store::exercise(|| {
        let scratch = Scratch::new(CREATE_TABLES);
        StoreOnSqlite(scratch.db.store(), scratch)
    });
}

#[test]
fn the_store_on_postgres_keeps_every_promise() {
    // To make a schema takes much less time than to make a database.
    let scratch = PostgresScratch::new("");
    let count = Cell::new(0);
    store::exercise(|| {
        count.set(count.get() + 1);
        let schema = format!("check_{}", count.get());
        scratch.execute(&format!("CREATE SCHEMA {schema}"));
        let and = if scratch.url().contains('?') { '&' } else { '?' };
        let url = format!("{}{and}options=-csearch_path%3D{schema}", scratch.url());
        let db = PostgresDatabase::connect(url).unwrap();
        let tables = CREATE_TABLES.replace("BLOB", "BYTEA");
        db.write(|conn| conn.batch_execute(&tables)).unwrap();
        StoreOnPostgres(db.store())
    });
}

/// An event whose types are known to the log.
#[derive(Serialize, Deserialize)]
enum Number {
    Even(u64),
    Odd { number: u64 },
}

struct LogOnSqlite(SqliteEventLog<Number>, Scratch);

impl LogUnderTest for LogOnSqlite {
    type Log = SqliteEventLog<Number>;

    fn log(&self) -> &SqliteEventLog<Number> {
        &self.0
    }

    fn append(&self, numbers: Range<u64>) -> Vec<Cursor> {
        let events = numbers.map(|number| self.event(number)).collect();
        let recorded = self.0.append_blocking(events).unwrap();
        recorded.into_iter().map(|event| event.cursor).collect()
    }

    fn number(&self, event: &Number) -> u64 {
        match event {
            Number::Even(number) | Number::Odd { number } => *number,
        }
    }

    fn append_at(&self, cursor: Cursor, number: u64) -> bool {
        let Cursor::Integer(id) = cursor else { return false };
        if i64::try_from(id).is_err() {
            return false;
        }
        let sql = "INSERT INTO rederive_events (id, time, data) VALUES";
        self.1.execute(&format!("{sql} ({id}, 0, '{{\"Even\":{number}}}')"));
        true
    }

    fn spoil(&self, cursor: &Cursor) -> bool {
        self.1.execute(&format!("UPDATE rederive_events SET data = '\"x' WHERE id = {cursor}"));
        true
    }

    // With `append_at`, ids have gaps.
    fn counts_exactly(&self) -> bool {
        false
    }
}

impl OnceUnderTest for LogOnSqlite {
    fn event(&self, number: u64) -> Number {
        match number % 2 {
            0 => Number::Even(number),
            _ => Number::Odd { number },
        }
    }
}

#[test]
fn the_event_log_appends_once() {
    append_once::exercise(|| {
        let scratch = Scratch::new("");
        LogOnSqlite(scratch.db.event_log(), scratch)
    });
}

#[test]
fn the_event_log_with_a_history_keeps_every_promise() {
    event_log::exercise(|| {
        let scratch = Scratch::new("");
        let history = Upcasts::new().rename("Half", "Odd").change("Odd", |_, _| Ok(()));
        LogOnSqlite(scratch.db.event_log().upcast(history), scratch)
    });
}

#[test]
fn the_event_log_keeps_every_promise() {
    event_log::exercise(|| {
        let scratch = Scratch::new("");
        LogOnSqlite(scratch.db.event_log(), scratch)
    });
}
