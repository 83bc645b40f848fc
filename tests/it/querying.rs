//! Querying: the log is a table of the user's, read by their own queries.

use std::sync::Weak;

use actix_rt::time::timeout;
use diesel::{connection::SimpleConnection, dsl::max, prelude::*};
use rederive::{
    Await, Cursor, CursorKind, EventLog, Handle, LogCursor, LogError, LogRow, MemoryLog,
    MemoryStore, Outcome, Rederive, Timestamp,
    core::{ReadError, Recorded, Slice, event_log::Wake},
    diesel::{QueryLog, SqliteDatabase},
};
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::fixture::{
    PATIENCE, outcomes, quiet,
    ticks::{TICKS, Tick, Ticks},
};

diesel::table! {
    numbered (id) { id -> BigInt, by -> BigInt }
}

diesel::table! {
    named (id) { id -> Text, by -> BigInt }
}

/// A row of either table.
#[derive(Queryable)]
struct Ticked<C> {
    id: C,
    by: i64,
}

/// A table, written by the test as an application would.
trait Written: LogCursor {
    fn log(db: &SqliteDatabase) -> QueryLog<Ticked<Self>>
    where
        Ticked<Self>: LogRow;

    /// Writes a row for each number and returns their cursors.
    fn write(db: &SqliteDatabase, numbers: &[i64]) -> Vec<Cursor>;
}

macro_rules! written_to {
    ($table:ident, $cursor:ty, $next:expr) => {
        impl LogRow for Ticked<$cursor> {
            type Cursor = $cursor;
            type Event = Tick;

            fn cursor(&self) -> $cursor {
                self.id.clone()
            }

            fn time(&self) -> Timestamp {
                Timestamp::default()
            }

            fn event(self) -> Result<Tick, String> {
                match self.by {
                    0 => Err("it is no tick".into()),
                    by => Ok(Tick { of: "clock", by }),
                }
            }
        }

        impl Written for $cursor {
            fn log(db: &SqliteDatabase) -> QueryLog<Ticked<$cursor>> {
                QueryLog::new(
                    db,
                    |conn, after, limit| {
                        let later = $table::table.filter($table::id.gt(after));
                        later.order($table::id).limit(limit).load(conn)
                    },
                    |conn, after| {
                        $table::table.filter($table::id.gt(after)).count().get_result(conn)
                    },
                )
            }

            fn write(db: &SqliteDatabase, numbers: &[i64]) -> Vec<Cursor> {
                let write = |conn: &mut SqliteConnection| {
                    let mut written = Vec::new();
                    for number in numbers {
                        let newest = $table::table.select(max($table::id)).first(conn)?;
                        let next: fn(Option<$cursor>) -> $cursor = $next;
                        let id = next(newest);
                        let row = ($table::id.eq(&id), $table::by.eq(number));
                        diesel::insert_into($table::table).values(row).execute(conn)?;
                        written.push(id.cursor());
                    }
                    Ok(written)
                };
                db.write(write).expect("it is written")
            }
        }
    };
}

written_to!(numbered, i64, |newest| newest.map_or(0, |newest| newest + 1));
written_to!(named, String, |newest| newest.map_or("a".into(), |newest: String| newest + "a"));

fn database() -> (SqliteDatabase, TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let db = SqliteDatabase::open(directory.path().join("test.db")).expect("it opens");
    let tables =
        "CREATE TABLE numbered (id INTEGER PRIMARY KEY AUTOINCREMENT, by INTEGER NOT NULL);
        CREATE TABLE named (id TEXT PRIMARY KEY NOT NULL, by INTEGER NOT NULL)";
    db.write(|conn| conn.batch_execute(tables)).expect("they are created");
    (db, directory)
}

async fn follow(log: impl EventLog<Event = Tick>, store: &MemoryStore) -> Handle {
    let mut config = quiet();
    config.slice = 2;
    let builder = Rederive::new(log).config(config).register(Ticks, store.clone());
    builder.start().await.expect("it starts")
}

async fn all_done(handle: &Handle, cursors: Vec<Cursor>) {
    let expected = vec![Outcome::Done; cursors.len()];
    let waited = handle.wait(Await::cursors("ticks", cursors)).await;
    assert_eq!(outcomes(waited), expected);
}

async fn a_table_is_followed<C: Written>()
where
    Ticked<C>: LogRow<Event = Tick>,
{
    let (db, _directory) = database();
    let (log, store) = (C::log(&db), MemoryStore::new());
    C::write(&db, &[1, 2, 3, 4, 5]);
    let handle = follow(log.clone(), &store).await;
    handle.wait(Await::caught_up("ticks")).await.expect("caught up");
    assert_eq!(store.rows(&TICKS), [vec!["clock".into(), 15.into()]]);
    // It does not poll: it is woken.
    let written = C::write(&db, &[10, 20, 30]);
    log.notify();
    all_done(&handle, written).await;
    handle.stop().await;
    // A row that is not decoded stops the reducer there; new code or a corrected row goes on.
    let bad = C::write(&db, &[100, 0, 200]);
    let handle = follow(log, &store).await;
    all_done(&handle, bad[..1].to_vec()).await;
    let waited = outcomes(handle.wait(Await::cursors("ticks", [bad[1].clone()])).await);
    assert!(matches!(&waited[..], [Outcome::Blocked(_)]), "{waited:?}");
    handle.stop().await;
    assert_eq!(store.rows(&TICKS), [vec!["clock".into(), 175.into()]]);
}

#[actix_rt::test]
async fn a_table_ordered_by_integers_is_followed() {
    a_table_is_followed::<i64>().await;
}

#[actix_rt::test]
async fn a_table_ordered_by_text_is_followed() {
    a_table_is_followed::<String>().await;
}

#[actix_rt::test]
async fn one_log_serves_two_supervisors() {
    let (db, _directory) = database();
    let log = i64::log(&db);
    let stores = [MemoryStore::new(), MemoryStore::new()];
    let [one, other] = &stores;
    let (one, other) = (follow(log.clone(), one).await, follow(log.clone(), other).await);
    for round in 0..10 {
        let written = i64::write(&db, &[round * 2 + 1, round * 2 + 2]);
        // Both are woken by it.
        log.notify();
        all_done(&one, written.clone()).await;
        all_done(&other, written).await;
    }
    // The end of one does not touch the other.
    one.stop().await;
    let written = i64::write(&db, &[1000]);
    log.notify();
    all_done(&other, written).await;
    other.stop().await;
    let sums = stores.map(|store| store.rows(&TICKS));
    assert_eq!(sums, [210, 1210].map(|sum: i64| [vec!["clock".into(), sum.into()]]));
}

/// A log that says when it is dropped.
struct Guarded(MemoryLog<Tick>, Option<oneshot::Sender<()>>);

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Some(dropped) = self.1.take() {
            let _ = dropped.send(());
        }
    }
}

impl EventLog for Guarded {
    type Event = Tick;

    fn cursor_kind(&self) -> CursorKind {
        self.0.cursor_kind()
    }

    fn fetch(&self, after: &Cursor, limit: usize) -> Result<Slice<Tick>, LogError> {
        self.0.fetch(after, limit)
    }

    fn find(&self, cursor: &Cursor) -> Result<Option<Recorded<Tick>>, ReadError> {
        self.0.find(cursor)
    }

    fn head(&self) -> Result<Cursor, LogError> {
        self.0.head()
    }

    fn count(&self, after: &Cursor) -> Result<u64, LogError> {
        self.0.count(after)
    }

    fn subscribe(&self, wake: Weak<Wake>) {
        self.0.subscribe(wake);
    }
}

#[actix_rt::test]
async fn a_log_given_to_a_supervisor_is_dropped_at_its_stop() {
    let (log, store) = (MemoryLog::new(), MemoryStore::new());
    let (sender, mut dropped) = oneshot::channel();
    let handle = follow(Guarded(log.clone(), Some(sender)), &store).await;
    let recorded = log.append([Tick { of: "clock", by: 1 }]);
    all_done(&handle, vec![recorded[0].cursor.clone()]).await;
    assert!(dropped.try_recv().is_err(), "it is dropped while it is followed");
    handle.stop().await;
    // The handle is still there.
    timeout(PATIENCE, dropped).await.expect("it is dropped").expect("it says so");
    handle.stop().await;
}
