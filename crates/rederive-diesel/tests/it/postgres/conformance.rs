//! The event log keeps every promise of the trait.

use std::{
    ops::Range,
    sync::atomic::{AtomicU32, Ordering},
};

use diesel::connection::SimpleConnection;
use rederive_core::Cursor;
use rederive_diesel::{PostgresEventLog, PostgresOptions, Upcasts};
use rederive_testkit::conformance::event_log::{self, LogUnderTest};
use serde::{Deserialize, Serialize};

use super::scratch::Scratch;

/// An event whose types are known to the log.
#[derive(Serialize, Deserialize)]
enum Number {
    Even(u64),
    Odd { number: u64 },
}

/// A log in a schema of its own, which takes less time to make than a database.
struct LogOnPostgres {
    log: PostgresEventLog<Number>,
    schema: String,
}

impl LogOnPostgres {
    fn new(scratch: &Scratch, options: PostgresOptions) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let schema = format!("Its \"own\" {}", NEXT.fetch_add(1, Ordering::Relaxed));
        let quoted = schema.replace('"', "\"\"");
        scratch.execute(&format!("CREATE SCHEMA \"{quoted}\""));
        let log = scratch.elsewhere(options.schema(&schema)).event_log();
        Self { log, schema: quoted }
    }

    fn execute(&self, sql: &str) {
        let sql = sql.replace("rederive_events", &format!("\"{}\".rederive_events", self.schema));
        self.log.database().write(|conn| conn.batch_execute(&sql)).unwrap();
    }
}

impl LogUnderTest for LogOnPostgres {
    type Log = PostgresEventLog<Number>;

    fn log(&self) -> &PostgresEventLog<Number> {
        &self.log
    }

    fn append(&self, numbers: Range<u64>) -> Vec<Cursor> {
        let event = |number| match number % 2 {
            0 => Number::Even(number),
            _ => Number::Odd { number },
        };
        let recorded = self.log.append_blocking(numbers.map(event).collect()).unwrap();
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
        self.execute(&format!("{sql} ({id}, 0, '{{\"Even\":{number}}}')"));
        true
    }

    fn spoil(&self, cursor: &Cursor) -> bool {
        self.execute(&format!("UPDATE rederive_events SET data = '[1]' WHERE id = {cursor}"));
        true
    }

    // With `append_at`, ids have gaps.
    fn counts_exactly(&self) -> bool {
        false
    }
}

#[test]
fn the_event_log_keeps_every_promise() {
    let scratch = Scratch::new("");
    event_log::exercise(|| LogOnPostgres::new(&scratch, PostgresOptions::default()));
}

#[test]
fn the_event_log_with_a_history_keeps_every_promise() {
    let scratch = Scratch::new("");
    event_log::exercise(|| {
        let history = Upcasts::new().rename("Half", "Odd").change("Odd", |_, _| Ok(()));
        let LogOnPostgres { log, schema } =
            LogOnPostgres::new(&scratch, PostgresOptions::default());
        LogOnPostgres { log: log.upcast(history), schema }
    });
}

#[test]
fn the_event_log_keeps_every_promise_with_the_options_that_a_pooler_needs() {
    let scratch = Scratch::new("");
    event_log::exercise(|| {
        let options = PostgresOptions::default().notifications(false).prepared_statements(false);
        LogOnPostgres::new(&scratch, options)
    });
}
