//! Whoever holds a log back is named.

use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use rederive_core::{EventLog, Holder, Holds};
use rederive_diesel::PostgresOptions;

use super::scratch::{Scratch, lines};

pub(super) const INSERT: &str = "INSERT INTO rederive_events (time, data) VALUES (0, '1')";

/// Asks until there is an answer.
#[track_caller]
pub(super) fn holders(log: &impl EventLog) -> Vec<Holder> {
    let begun = Instant::now();
    loop {
        let holders = log.held_back().unwrap();
        if !holders.is_empty() {
            return holders;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "nobody is named");
        std::thread::yield_now();
    }
}

#[test]
fn a_transaction_that_appends_wait_for_is_named_until_it_ends() {
    let options = PostgresOptions::default().held_back_after(Duration::ZERO);
    let scratch = Scratch::with("", options);
    let log = scratch.db.event_log::<u64>();
    let mut other = scratch.connection();
    other.batch_execute(&format!("SET application_name = 'import'; BEGIN; {INSERT}")).unwrap();
    let process = lines(&mut other, "SELECT pg_backend_pid() AS line");
    // It waits for nobody's sake.
    assert_eq!(log.held_back().unwrap(), []);
    std::thread::scope(|scope| {
        let appending = scope.spawn(|| log.append_blocking(vec![2]));
        let holders = holders(&log);
        let [holder] = &holders[..] else { panic!("{holders:?}") };
        assert_eq!((holder.holds, holder.application.as_deref()), (Holds::Appends, Some("import")));
        assert_eq!(holder.process.map(|pid| pid.to_string()).as_ref(), process.first());
        assert_eq!(holder.state.as_deref(), Some("idle in transaction"));
        assert!(
            holder.age.is_some()
                && holder.query.as_ref().is_some_and(|it| it.contains("pg_backend"))
        );
        other.batch_execute("COMMIT").unwrap();
        appending.join().unwrap().unwrap();
    });
    assert_eq!(log.held_back().unwrap(), []);
    assert_eq!(log.count(&0.into()).unwrap(), 2);
}

#[test]
fn a_transaction_that_has_been_open_for_a_moment_only_is_not_named() {
    let scratch = Scratch::with("", PostgresOptions::default().held_back_after(Duration::MAX));
    let log = scratch.db.event_log::<u64>();
    let mut other = scratch.connection();
    other.batch_execute(&format!("BEGIN; {INSERT}")).unwrap();
    std::thread::scope(|scope| {
        let appending = scope.spawn(|| log.append_blocking(vec![2]));
        let waits =
            "SELECT count(*) AS line FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        while scratch.text(waits) != ["1"] {
            std::thread::yield_now();
        }
        assert_eq!(log.held_back().unwrap(), []);
        other.batch_execute("COMMIT").unwrap();
        appending.join().unwrap().unwrap();
    });
}
