//! An event log over a table of the user's keeps every promise of the trait, with integers and with
//! text for cursors, and with or without a query for its head.

use std::ops::Range;

use diesel::{dsl::max, prelude::*};
use rederive_core::{Cursor, EventLog, LogCursor, LogRow, Timestamp};
use rederive_diesel::QueryLog;
use rederive_testkit::conformance::event_log::{self, LogUnderTest};

use crate::support::Scratch;

const CREATE_TABLES: &str =
    "CREATE TABLE lines (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT NOT NULL);
     CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, text TEXT NOT NULL)";

diesel::table! {
    lines (id) { id -> BigInt, text -> Text }
}

diesel::table! {
    notes (id) { id -> Text, text -> Text }
}

/// A row of either table, whose text is a number.
#[derive(Queryable)]
struct Numbered<C> {
    id: C,
    text: String,
}

macro_rules! log_over {
    ($table:ident, $cursor:ty, $log:ident, $next:expr) => {
        impl LogRow for Numbered<$cursor> {
            type Cursor = $cursor;
            type Event = u64;

            fn cursor(&self) -> $cursor {
                self.id.clone()
            }

            fn time(&self) -> Timestamp {
                Timestamp::from_micros(7)
            }

            fn event(self) -> Result<u64, String> {
                self.text.parse().map_err(|error| format!("{:?} is no number: {error}", self.text))
            }
        }

        struct $log {
            log: QueryLog<Numbered<$cursor>>,
            scratch: Scratch,
        }

        impl $log {
            fn new() -> Self {
                let scratch = Scratch::new(CREATE_TABLES);
                let log = QueryLog::new(
                    &scratch.db,
                    |conn, after, limit| {
                        let later = $table::table.filter($table::id.gt(after));
                        later.order($table::id).limit(limit).load(conn)
                    },
                    |conn, after| {
                        $table::table.filter($table::id.gt(after)).count().get_result(conn)
                    },
                );
                Self { log, scratch }
            }

            fn with_head() -> Self {
                let Self { log, scratch } = Self::new();
                let log = log.with_head(|conn| $table::table.select(max($table::id)).first(conn));
                Self { log, scratch }
            }

            fn insert(&self, rows: impl Iterator<Item = (Option<$cursor>, u64)>) -> Vec<$cursor> {
                let written = self.scratch.db.write(|conn| {
                    let mut written = Vec::new();
                    for (id, number) in rows {
                        // Chosen in the transaction that writes it.
                        let newest = $table::table.select(max($table::id)).first(conn)?;
                        let next: fn(Option<$cursor>) -> $cursor = $next;
                        let id = id.unwrap_or_else(|| next(newest));
                        let row = ($table::id.eq(&id), $table::text.eq(number.to_string()));
                        diesel::insert_into($table::table).values(row).execute(conn)?;
                        written.push(id);
                    }
                    Ok(written)
                });
                self.log.notify();
                written.unwrap()
            }
        }

        impl LogUnderTest for $log {
            type Log = QueryLog<Numbered<$cursor>>;

            fn log(&self) -> &Self::Log {
                &self.log
            }

            fn append(&self, numbers: Range<u64>) -> Vec<Cursor> {
                let ids = self.insert(numbers.map(|number| (None, number)));
                ids.iter().map(LogCursor::cursor).collect()
            }

            fn number(&self, event: &u64) -> u64 {
                *event
            }

            fn append_at(&self, cursor: Cursor, number: u64) -> bool {
                let id = <$cursor as LogCursor>::place(&cursor).unwrap();
                self.insert([(Some(id), number)].into_iter());
                true
            }

            fn spoil(&self, cursor: &Cursor) -> bool {
                let id = <$cursor as LogCursor>::place(cursor).unwrap();
                let row = $table::table.filter($table::id.eq(id));
                let spoil =
                    |conn: &mut _| diesel::update(row).set($table::text.eq("spoilt")).execute(conn);
                self.scratch.db.write(spoil).unwrap() == 1
            }
        }
    };
}

log_over!(lines, i64, Lines, |newest| newest.map_or(0, |newest| newest + 1));
log_over!(notes, String, Notes, |newest| {
    let newest = newest.map_or(0, |newest: String| newest[1..].parse::<u64>().unwrap());
    format!("n{:08}", newest + 1)
});

#[test]
fn a_log_over_integers_keeps_every_promise() {
    event_log::exercise(Lines::new);
    event_log::exercise(Lines::with_head);
}

#[test]
fn a_log_over_text_keeps_every_promise() {
    event_log::exercise(Notes::new);
    event_log::exercise(Notes::with_head);
}

/// What a query that is wrong is told.
fn said(fetch: fn(&mut SqliteConnection, i64, i64) -> QueryResult<Vec<Numbered<i64>>>) -> String {
    let lines = Lines::new();
    lines.append(0..4);
    let log = QueryLog::new(&lines.scratch.db, fetch, |_, _| Ok(0));
    let after = Cursor::from(1);
    log.fetch(&after, 2).map(|slice| slice.end).expect_err("it is refused").to_string()
}

#[test]
fn a_query_without_its_filter_is_told_so() {
    let error = said(|conn, _, limit| lines::table.order(lines::id).limit(limit).load(conn));
    assert!(error.contains("row 0, but it was asked for rows after 1"), "{error}");
}

#[test]
fn a_query_in_the_wrong_order_is_told_so() {
    let error = said(|conn, after, limit| {
        lines::table.filter(lines::id.gt(after)).order(lines::id.desc()).limit(limit).load(conn)
    });
    assert!(
        error.contains("row 2 behind row 3; it must return rows in ascending order"),
        "{error}"
    );
}

#[test]
fn a_query_without_its_limit_is_told_so() {
    let error = said(|conn, _, _| lines::table.filter(lines::id.gt(0)).load(conn));
    assert!(error.contains("3 rows, but at most 2 were asked for"), "{error}");
}

#[test]
fn a_query_that_writes_is_refused() {
    let error = said(|conn, _, _| {
        diesel::sql_query("DROP TABLE lines").execute(conn)?;
        Ok(Vec::new())
    });
    assert!(error.contains("read-only"), "{error}");
}
