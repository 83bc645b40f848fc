//! Real writers, which hold their transactions open, roll back, and take numbers in advance: what is
//! followed is what was committed, in order.

use std::thread;

use diesel::{PgConnection, connection::SimpleConnection};
use rederive_core::{Cursor, EventLog};
use rederive_diesel::{PostgresEventLog, PostgresOptions};
use rederive_testkit::{Rng, Seed};

use super::scratch::{Scratch, lines};

/// How many write, and how many transactions each of them begins.
pub(super) const WRITERS: usize = 8;
const TRANSACTIONS: usize = 150;

/// Runs the transactions of one writer. `insert` is what one of them does.
pub(super) fn write(
    conn: &mut PgConnection,
    writer: u64,
    insert: impl Fn(&mut PgConnection, &mut Rng) -> diesel::QueryResult<()>,
) {
    let mut rng = Seed(writer).rng();
    for _ in 0..TRANSACTIONS {
        conn.batch_execute("BEGIN").unwrap();
        let inserted = insert(conn, &mut rng);
        if inserted.is_err() || rng.chance(0.1) {
            conn.batch_execute("ROLLBACK").unwrap();
            continue;
        }
        let open = rng.range(0..4);
        conn.batch_execute(&format!("SELECT pg_sleep(0.001 * {open}); COMMIT")).unwrap();
    }
}

/// Follows a log until `done` and then to its head: the cursors.
pub(super) fn follow(log: &impl EventLog, done: impl Fn() -> bool) -> Vec<Cursor> {
    let (mut followed, mut at) = (Vec::new(), Cursor::Start);
    loop {
        let is_last = done();
        loop {
            let slice = log.fetch(&at, 7).unwrap();
            followed.extend(slice.events.into_iter().map(|event| event.cursor));
            at = slice.end;
            if slice.at_head {
                break;
            }
        }
        if is_last {
            return followed;
        }
    }
}

#[test]
fn whoever_appends_and_however_the_log_is_followed_without_gap_and_in_order() {
    let scratch = Scratch::new("");
    let log = scratch.db.event_log::<u64>();
    let followed = thread::scope(|scope| {
        let scratch = &scratch;
        let write = |writer| {
            scope.spawn(move || {
                // Every other one by a handle, as another process would.
                if writer % 2 == 0 {
                    let elsewhere = scratch.elsewhere(PostgresOptions::default());
                    let log: PostgresEventLog<u64> = elsewhere.event_log();
                    for number in 0..TRANSACTIONS {
                        log.append_blocking(vec![number as u64; 3]).unwrap();
                    }
                } else {
                    write(&mut scratch.connection(), writer as u64, |conn, _| {
                        conn.batch_execute(
                            "INSERT INTO rederive_events (time, data) VALUES (0, '1'), (0, '2')",
                        )
                    });
                }
            })
        };
        let writers: Vec<_> = (0..WRITERS).map(write).collect();
        follow(&log, || writers.iter().all(thread::ScopedJoinHandle::is_finished))
    });
    let all = scratch.text("SELECT id AS line FROM rederive_events ORDER BY id");
    assert!(all.len() > WRITERS / 2 * TRANSACTIONS * 4, "{} events", all.len());
    assert!(
        followed.iter().map(Cursor::to_string).eq(all.iter().cloned()),
        "{} events of {}",
        followed.len(),
        all.len()
    );
}

#[test]
fn ids_that_were_given_past_the_sequence_are_passed() {
    let scratch = Scratch::new("");
    let log = scratch.db.event_log::<u64>();
    log.append_blocking(vec![1]).unwrap();
    scratch.execute("INSERT INTO rederive_events (id, time, data) VALUES (2, 0, '2'), (9, 0, '9')");
    let recorded = log.append_blocking(vec![3, 4]).unwrap();
    assert_eq!(recorded[0].cursor, Cursor::from(10));
    let ids =
        lines(&mut scratch.connection(), "SELECT id AS line FROM rederive_events ORDER BY id");
    assert_eq!(ids, ["1", "2", "9", "10", "11"]);
    // None of the numbers that come next is taken: followers have passed them all the same.
    scratch.execute("INSERT INTO rederive_events (id, time, data) VALUES (20, 0, '20')");
    assert_eq!(log.append_blocking(vec![5]).unwrap()[0].cursor, Cursor::from(21));
}
