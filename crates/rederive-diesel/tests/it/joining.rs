//! Commits that join the transaction in which the events they follow from are appended.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use diesel::{connection::SimpleConnection, sqlite::SqliteConnection};
use rederive_core::{
    Change, ColumnKind, CommitError, Cursor, CursorKind, EventLog, Op, Opening, Ops, PartitionId,
    PartitionWrite, Recorded, ReducerWrite, Revision, RowOp, Slice, Store, Table, Tentative, Wake,
    Writer,
};
use rederive_diesel::{AppendError, SqliteDatabase, SqliteEventLog, SqliteOps, SqliteOptions};
use tempfile::TempDir;

static NOTES: Table =
    Table::new("notes", &[("id", ColumnKind::BigInt), ("text", ColumnKind::Text)], &[0]);

const SCHEMA: &str =
    "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL CHECK (text <> 'no'))";

/// So long that a test fails when somebody waits for the end of it.
const LONG: Duration = Duration::from_secs(60);

fn note(id: i64, text: &str) -> Op {
    let change = Change::Upsert(vec![(1, text.into())]);
    Op::Row(RowOp { table: &NOTES, key: [id.into()].into_iter().collect(), change })
}

/// A log with a reducer that keeps up by hand.
struct World {
    db: SqliteDatabase,
    log: SqliteEventLog<u64>,
    reducer: Reducer,
    _directory: TempDir,
}

struct Reducer {
    name: &'static str,
    writer: Box<dyn Writer>,
    revision: Revision,
}

impl Reducer {
    fn of(db: &SqliteDatabase, name: &'static str) -> Self {
        let opened = db.store().open(&Opening::new(name, 1, CursorKind::Integer)).unwrap();
        Self { name, writer: db.store().writer().unwrap(), revision: opened.revision }
    }

    /// Commits these ops and that it has come up to the cursor, with the events or after them.
    fn commit(&mut self, upto: u64, ops: &[Op], events: &[Tentative]) -> Result<(), CommitError> {
        let (partition, cursor) = (PartitionId::from("p"), Cursor::from(upto));
        let partition = PartitionWrite {
            partition: &partition,
            ops,
            cursor: &cursor,
            guard: Some(&cursor),
            halt: None,
            skips: Vec::new(),
            record: false,
            reset: false,
        };
        let write = ReducerWrite {
            reducer: self.name,
            revision: self.revision,
            watermark: &cursor,
            partitions: vec![partition],
            skips: Vec::new(),
        };
        let writes = [write];
        let done = match events {
            [] => self.writer.commit(&writes),
            events => self.writer.commit_with(&writes, events),
        };
        if done.is_ok() {
            self.revision = self.revision.next();
        }
        done
    }
}

impl World {
    /// The first event is appended and committed: what follows is offered to the reducer.
    fn new(schema: &str, join_time: Duration) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let options = SqliteOptions::default().join_time(join_time);
        let db = SqliteDatabase::open_with(directory.path().join("test.db"), options).unwrap();
        db.write(|conn| conn.batch_execute(schema)).unwrap();
        let log = db.event_log::<u64>();
        let mut reducer = Reducer::of(&db, "notes");
        log.append_blocking(vec![1]).unwrap();
        reducer.commit(1, &[], &[]).unwrap();
        Self { db, log, reducer, _directory: directory }
    }

    /// Appends an event, and has this done as soon as the followers are told of it.
    fn while_appending<T>(
        &mut self,
        event: u64,
        then: impl FnOnce(&mut Self, Option<Slice<u64>>) -> T,
    ) -> (T, Result<Vec<Recorded<u64>>, AppendError>) {
        let (woken, wakes) = mpsc::channel();
        let wake: Arc<Wake> = Arc::new(move || {
            let _ = woken.send(());
        });
        self.log.subscribe(Arc::downgrade(&wake));
        let log = self.log.clone();
        let appending = thread::spawn(move || log.append_blocking(vec![event]));
        wakes.recv_timeout(LONG).expect("the followers are told");
        let slice = self.log.recent(&Cursor::from(event - 1), 10);
        let done = then(self, slice);
        (done, appending.join().expect("no panic"))
    }

    fn head(&self) -> Cursor {
        self.log.head().unwrap()
    }

    fn notes(&self) -> Vec<String> {
        use diesel::prelude::*;

        diesel::table! { notes (id) { id -> BigInt, text -> Text } }
        self.db.read(|conn| notes::table.select(notes::text).order(notes::id).load(conn)).unwrap()
    }
}

fn tentative(slice: Option<Slice<u64>>) -> Tentative {
    slice.expect("it is at hand").tentative.expect("it is not there yet")
}

#[test]
fn what_follows_from_an_event_is_committed_with_it() {
    let mut world = World::new(SCHEMA, LONG);
    let (events, appended) = world.while_appending(2, |world, slice| {
        let events = tentative(slice);
        assert_eq!((world.head(), events.outcome()), (Cursor::from(1), None));
        world.reducer.commit(2, &[note(1, "a")], std::slice::from_ref(&events)).unwrap();
        // By one transaction: it is there as soon as the commit is.
        assert_eq!((world.head(), world.notes()), (Cursor::from(2), vec!["a".to_owned()]));
        events
    });
    assert_eq!(appended.unwrap()[0].cursor, Cursor::from(2));
    assert_eq!(events.outcome(), Some(true));
    // And so on.
    let (_, appended) = world.while_appending(3, |world, slice| {
        world.reducer.commit(3, &[note(1, "b")], &[tentative(slice)]).unwrap();
    });
    appended.unwrap();
    assert_eq!((world.head(), world.notes()), (Cursor::from(3), vec!["b".to_owned()]));
}

#[test]
fn what_is_rejected_keeps_nobody_from_appending() {
    let mut world = World::new(SCHEMA, LONG);
    let (_, appended) = world.while_appending(2, |world, slice| {
        let events = [tentative(slice)];
        let ops = [note(1, "a"), note(2, "no")];
        let refused = world.reducer.commit(2, &ops, &events);
        assert!(matches!(refused, Err(CommitError::Rejected { .. })), "{refused:?}");
        // It is tried again in parts, which are committed behind the events.
        world.reducer.commit(2, &ops[..1], &events).unwrap();
    });
    appended.unwrap();
    assert_eq!((world.head(), world.notes()), (Cursor::from(2), vec!["a".to_owned()]));
}

#[test]
fn what_could_harm_the_events_is_committed_after_them() {
    let mut custom = Ops::new("p".into());
    let insert =
        |conn: &mut SqliteConnection| conn.batch_execute("INSERT INTO notes VALUES (1, 'a')");
    custom.run("a note", insert).unwrap();
    let custom = custom.into_vec().remove(0);
    let key =
        "CREATE TABLE other (id INTEGER REFERENCES notes (id) DEFERRABLE INITIALLY DEFERRED);";
    for (schema, op) in [(SCHEMA.to_owned(), custom), (format!("{key} {SCHEMA}"), note(1, "a"))] {
        let mut world = World::new(&schema, LONG);
        let (_, appended) = world.while_appending(2, |world, slice| {
            world.reducer.commit(2, &[op], &[tentative(slice)]).unwrap();
        });
        appended.unwrap();
        assert_eq!((world.head(), world.notes()), (Cursor::from(2), vec!["a".to_owned()]));
    }
}

#[test]
fn a_commit_that_ends_the_transaction_keeps_nobody_from_appending() {
    let trigger =
        "CREATE TRIGGER t BEFORE INSERT ON notes BEGIN SELECT RAISE(ROLLBACK, 'never'); END";
    let mut world = World::new(&format!("{SCHEMA}; {trigger}"), LONG);
    let (events, appended) = world.while_appending(2, |world, slice| {
        let events = tentative(slice);
        let refused = world.reducer.commit(2, &[note(1, "a")], std::slice::from_ref(&events));
        assert!(matches!(refused, Err(CommitError::Rejected { .. })), "{refused:?}");
        events
    });
    // It was appended once more, by itself: whoever has seen it before has seen another one.
    appended.unwrap();
    assert!(events.is_lost());
    assert_eq!(world.reducer.commit(2, &[], &[events]), Err(CommitError::Lost));
    assert_eq!(world.head(), Cursor::from(2));
    assert!(world.log.recent(&1.into(), 10).is_none_or(|slice| slice.tentative.is_none()));
    // Nor is it tried again soon.
    world.reducer.commit(2, &[], &[]).unwrap();
    let (slice, appended) = world.while_appending(3, |_, slice| slice);
    appended.unwrap();
    assert!(slice.expect("at hand").tentative.is_none());
}

#[test]
fn a_commit_that_fails_at_its_end_keeps_nobody_from_appending() {
    static TRAP: Table = Table::new("rederive_trap", &[("id", ColumnKind::BigInt)], &[0]);
    // By its name it passes for a table of ours, whose foreign keys are known to hold.
    let trap = "CREATE TABLE rederive_trap (id INTEGER PRIMARY KEY REFERENCES notes (id) \
                DEFERRABLE INITIALLY DEFERRED)";
    let mut world = World::new(&format!("{SCHEMA}; {trap}"), LONG);
    let key = [7.into()].into_iter().collect();
    let op = Op::Row(RowOp { table: &TRAP, key, change: Change::Insert(vec![]) });
    let (events, appended) = world.while_appending(2, |world, slice| {
        let events = tentative(slice);
        let refused = world.reducer.commit(2, &[op], std::slice::from_ref(&events));
        assert!(matches!(refused, Err(CommitError::Rejected { .. })), "{refused:?}");
        events
    });
    appended.unwrap();
    assert!(events.is_lost());
    assert_eq!(world.head(), Cursor::from(2));
}

#[test]
fn whoever_else_wants_to_write_does_not_wait_for_reducers() {
    let mut world = World::new(SCHEMA, LONG);
    let (events, appended) = world.while_appending(2, |world, slice| {
        let insert = "INSERT INTO notes VALUES (1, 'a')";
        world.db.write(|conn| conn.batch_execute(insert)).unwrap();
        tentative(slice)
    });
    appended.unwrap();
    assert_eq!(events.outcome(), Some(true));
    assert_eq!((world.head(), world.notes()), (Cursor::from(2), vec!["a".to_owned()]));
    world.reducer.commit(2, &[], &[events]).unwrap();
}

#[test]
fn whoever_reads_the_log_before_the_events_are_there_is_told_again() {
    let mut world = World::new(SCHEMA, LONG);
    let (woken, wakes) = mpsc::channel();
    let wake: Arc<Wake> = Arc::new(move || {
        let _ = woken.send(());
    });
    world.log.subscribe(Arc::downgrade(&wake));
    for (event, reads) in [(2, true), (3, false)] {
        let (_, appended) = world.while_appending(event, |world, slice| {
            if reads {
                let slice = world.log.fetch(&(event - 1).into(), 10).unwrap();
                assert!(slice.events.is_empty() && slice.at_head, "{slice:?}");
            }
            world.reducer.commit(event, &[], &[tentative(slice)]).unwrap();
        });
        appended.unwrap();
        assert_eq!(wakes.try_iter().count(), 1 + usize::from(reads));
    }
}

#[test]
fn whoever_has_to_wait_for_the_events_does_not_wait_for_reducers() {
    let mut world = World::new(SCHEMA, LONG);
    let (come, appended) = world.while_appending(2, |_, slice| tentative(slice).wait());
    appended.unwrap();
    assert!(come);
    assert_eq!(world.head(), Cursor::from(2));
}

#[test]
fn the_first_reducer_takes_the_events_along_and_others_come_after() {
    let mut world = World::new(SCHEMA, LONG);
    let mut other = Reducer::of(&world.db, "other");
    let (_, appended) = world.while_appending(2, |world, slice| {
        let events = [tentative(slice)];
        world.reducer.commit(2, &[note(1, "a")], &events).unwrap();
        other.commit(2, &[note(2, "b")], &events).unwrap();
    });
    appended.unwrap();
    assert_eq!(world.notes(), ["a", "b"]);
}

#[test]
fn where_no_reducer_comes_appends_wait_for_none() {
    let mut world = World::new(SCHEMA, Duration::from_millis(1));
    let (slice, appended) = world.while_appending(2, |_, slice| slice);
    appended.unwrap();
    assert_eq!(tentative_or_there(slice), Some(true));
    // Though one may keep up that never joins.
    world.reducer.commit(2, &[], &[]).unwrap();
    let (slice, appended) = world.while_appending(3, |_, slice| slice);
    appended.unwrap();
    assert!(slice.expect("at hand").tentative.is_none());

    // One that has fallen behind is not waited for at all, nor is any if that is not wanted.
    for (time, upto) in [(LONG, 1), (Duration::ZERO, 2)] {
        let mut world = World::new(SCHEMA, time);
        if upto == 1 {
            let refused = world.while_appending(2, |world, _| {
                world.db.write(|_| Ok(())).unwrap();
            });
            refused.1.unwrap();
        } else {
            world.log.append_blocking(vec![2]).unwrap();
            world.reducer.commit(2, &[], &[]).unwrap();
        }
        let (slice, appended) = world.while_appending(3, |_, slice| slice);
        appended.unwrap();
        assert!(slice.expect("at hand").tentative.is_none());
    }
}

/// What has become of it, which may have been known when it was looked at.
fn tentative_or_there(slice: Option<Slice<u64>>) -> Option<bool> {
    match slice.expect("at hand").tentative {
        None => Some(true),
        Some(events) => events.outcome(),
    }
}

#[test]
fn who_is_told_of_events_may_write_at_once() {
    let mut world = World::new(SCHEMA, LONG);
    let (db, wrote) = (world.db.clone(), Arc::new(AtomicUsize::new(0)));
    let writes = Arc::clone(&wrote);
    let wake: Arc<Wake> = Arc::new(move || {
        let number = writes.fetch_add(1, Ordering::SeqCst);
        let insert = format!("INSERT INTO notes VALUES ({number}, 'told')");
        db.write(|conn| conn.batch_execute(&insert)).unwrap();
    });
    world.log.subscribe(Arc::downgrade(&wake));
    for event in [2, 3] {
        let appended = world.log.append_blocking(vec![event]).unwrap();
        assert_eq!((&appended[0].cursor, world.head()), (&event.into(), event.into()));
        world.reducer.commit(event, &[], &[]).unwrap();
    }
    assert_eq!((world.notes(), wrote.load(Ordering::SeqCst)), (vec!["told".to_owned(); 2], 2));
}

#[test]
fn a_join_time_without_end_is_ended_by_whoever_joins() {
    let mut world = World::new(SCHEMA, Duration::MAX);
    let (_, appended) = world.while_appending(2, |world, slice| {
        world.reducer.commit(2, &[note(1, "a")], &[tentative(slice)]).unwrap();
    });
    appended.unwrap();
    assert_eq!((world.head(), world.notes()), (Cursor::from(2), vec!["a".to_owned()]));
}
