//! Who waits for whom: locks are taken in one order, and what is looked at is locked where it matters.

use std::{
    fmt::Debug,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use diesel::{PgConnection, connection::SimpleConnection};
use rederive_core::{
    Change, Claim, ColumnKind, Cursor, CursorKind, EffectMarks, EffectsError, Op, OpenError,
    Opening, ReducerWrite, RowOp, Store, Table,
};

use super::scratch::{Scratch, lines};
use crate::support::Owner;

static ROWS: Table =
    Table::new("rows", &[("id", ColumnKind::Text), ("n", ColumnKind::BigInt)], &[0]);

const SCHEMA: &str = "CREATE TABLE rows (id text PRIMARY KEY, n bigint)";

fn upsert(id: &str) -> Op {
    let change = Change::Upsert(vec![(1, 1.into())]);
    Op::Row(RowOp { table: &ROWS, key: [id.into()].into_iter().collect(), change })
}

fn update(id: &str) -> Op {
    let change = Change::Update(vec![(1, 2.into())]);
    Op::Row(RowOp { table: &ROWS, key: [id.into()].into_iter().collect(), change })
}

/// Somebody else in a transaction.
pub(super) struct Other {
    conn: PgConnection,
    pid: String,
    /// A transaction sees one state of who waits for whom.
    observer: PgConnection,
}

impl Other {
    pub(super) fn begin(scratch: &Scratch, sql: &str) -> Self {
        let mut conn = scratch.connection();
        let pid = lines(&mut conn, "SELECT pg_backend_pid() AS line").remove(0);
        conn.batch_execute(&format!("BEGIN; {sql}")).unwrap();
        Self { conn, pid, observer: scratch.connection() }
    }

    /// Commits once this work waits for the transaction, and returns what it led to.
    #[track_caller]
    pub(super) fn commits_when_waited_for<T: Debug>(self, work: JoinHandle<T>) -> T {
        self.lets_wait(work, || {})
    }

    /// The same, with something to be done before.
    #[track_caller]
    pub(super) fn lets_wait<T: Debug>(mut self, work: JoinHandle<T>, first: impl FnOnce()) -> T {
        self.is_waited_for(&work, &[]);
        first();
        self.conn.batch_execute("COMMIT").unwrap();
        work.join().unwrap()
    }

    /// The same, and commits once the work waits for the transaction on another connection.
    #[track_caller]
    pub(super) fn lets_wait_twice<T: Debug>(
        mut self,
        work: JoinHandle<T>,
        first: impl FnOnce(),
    ) -> T {
        let before = self.is_waited_for(&work, &[]);
        first();
        self.is_waited_for(&work, &before);
        self.conn.batch_execute("COMMIT").unwrap();
        work.join().unwrap()
    }

    /// Waits until somebody waits for the transaction, other than these: who does.
    #[track_caller]
    fn is_waited_for<T>(&mut self, work: &JoinHandle<T>, others: &[String]) -> Vec<String> {
        let waits = format!(
            "SELECT pid AS line FROM pg_stat_activity WHERE {} = ANY (pg_blocking_pids(pid))",
            self.pid
        );
        let begun = Instant::now();
        loop {
            let waiting = lines(&mut self.observer, &waits);
            if waiting.iter().any(|pid| !others.contains(pid)) {
                return waiting;
            }
            assert!(!work.is_finished(), "it did not wait");
            assert!(begun.elapsed() < Duration::from_secs(30), "it does not wait");
            thread::yield_now();
        }
    }
}

/// Has `work` wait for what `first` locks, and checks that it has not locked what `second` does.
#[track_caller]
fn locks_in_order<T: Debug + Send + 'static>(
    scratch: &Scratch,
    first: &str,
    second: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let other = Other::begin(scratch, &format!("SELECT FROM {first} FOR UPDATE"));
    other.lets_wait(thread::spawn(work), || {
        let is_free = scratch
            .connection()
            .batch_execute(&format!("BEGIN; SELECT FROM {second} FOR UPDATE NOWAIT; ROLLBACK"));
        assert!(is_free.is_ok(), "{second} was locked before {first}");
    })
}

#[test]
fn rows_are_locked_in_the_order_of_their_keys_whatever_the_order_of_ops() {
    let scratch = Scratch::new(SCHEMA);
    scratch.execute("INSERT INTO rows VALUES ('z', 0), ('m', 0), ('a', 0)");
    for op in [upsert, update] {
        let store = scratch.db.store();
        let ops = vec![op("z"), op("a")];
        let (first, second) = ("rows WHERE id = 'a'", "rows WHERE id = 'z'");
        let done = locks_in_order(&scratch, first, second, move || Owner::of(&store).apply(ops));
        done.unwrap();
    }
}

#[test]
fn reducers_are_locked_in_the_order_of_their_names() {
    let scratch = Scratch::new(SCHEMA);
    let store = scratch.db.store();
    let mut epochs = Vec::new();
    for name in ["z", "a"] {
        let opened = store.open(&Opening::new(name, 1, CursorKind::Integer)).unwrap();
        epochs.push((name, opened.revision));
    }
    let reducer = |name: &str| format!("rederive_reducers WHERE name = '{name}'");
    let (first, second) = (reducer("a"), reducer("z"));
    let (committing, revisions) = (store.clone(), epochs.clone());
    let done = locks_in_order(&scratch, &first, &second, move || {
        let write = |(reducer, revision): &(&'static str, _)| ReducerWrite {
            reducer,
            revision: *revision,
            watermark: &Cursor::Start,
            partitions: Vec::new(),
            skips: Vec::new(),
        };
        let writes: Vec<_> = revisions.iter().map(write).collect();
        committing.writer().unwrap().commit(&writes)
    });
    done.unwrap();
    let renewed = locks_in_order(&scratch, &first, &second, move || {
        store.renew(&[("z", epochs[0].1.epoch), ("a", epochs[1].1.epoch)])
    });
    assert_eq!(renewed.unwrap(), [true, true]);
}

/// What somebody does who takes the reducer over.
const TAKE_OVER: &str = "UPDATE rederive_reducers SET epoch = epoch + 1, owner = 'bob',
    lease = 3600000000,
    lease_until = (extract(epoch FROM clock_timestamp()) * 1000000)::int8 + 3600000000";

#[test]
fn who_opens_or_resets_a_reducer_waits_for_another_who_does_so() {
    let scratch = Scratch::new(SCHEMA);
    for resets in [false, true] {
        scratch.execute("DELETE FROM rederive_reducers");
        let store = scratch.db.store();
        store.open(&Opening::new("r", 1, CursorKind::Integer)).unwrap();
        let bob = Other::begin(&scratch, TAKE_OVER);
        let alice = thread::spawn(move || {
            let claim =
                Claim { owner: "alice", lease: Duration::from_secs(60), ..Claim::default() };
            let opening = Opening { claim, ..Opening::new("r", 1, CursorKind::Integer) };
            if resets { store.reset(&opening, &Cursor::Start) } else { store.open(&opening) }
        });
        let refused = bob.commits_when_waited_for(alice);
        assert!(matches!(&refused, Err(OpenError::Owned { by, .. }) if by == "bob"), "{refused:?}");
    }
}

#[test]
fn who_marks_effects_waits_for_somebody_who_takes_the_reducer_over() {
    let scratch = Scratch::new(SCHEMA);
    let store = scratch.db.store();
    let opened = store.open(&Opening::new("r", 1, CursorKind::Integer)).unwrap();
    let bob = Other::begin(&scratch, TAKE_OVER);
    let marks = thread::spawn(move || {
        store.outbox().mark("r", opened.revision.epoch, &EffectMarks::default())
    });
    let refused = bob.commits_when_waited_for(marks);
    assert!(matches!(refused, Err(EffectsError::Fenced)), "{refused:?}");
}

#[test]
fn what_the_owner_commits_while_its_reducer_is_forgotten_goes_with_it() {
    let scratch = Scratch::new(SCHEMA);
    let store = scratch.db.store();
    store.open(&Opening::new("r", 1, CursorKind::Integer)).unwrap();
    let owner = Other::begin(
        &scratch,
        "UPDATE rederive_reducers SET revision = revision + 1;
         INSERT INTO rederive_partitions (reducer, id, cursor) VALUES ('r', 'p', 'i1')",
    );
    let forgotten = thread::spawn(move || store.forget("r"));
    assert!(owner.commits_when_waited_for(forgotten).unwrap());
    assert_eq!(scratch.text("SELECT id AS line FROM rederive_partitions"), Vec::<String>::new());
}

/// Else a commit that is in doubt could be taken for undone just before it is done.
#[test]
fn who_looks_for_what_became_of_a_commit_waits_for_it() {
    let scratch = Scratch::new(SCHEMA);
    let store = scratch.db.store();
    let opened = store.open(&Opening::new("r", 1, CursorKind::Integer)).unwrap();
    let lost = Other::begin(&scratch, "UPDATE rederive_reducers SET revision = revision + 1");
    let looks = thread::spawn(move || store.writer().unwrap().revision("r"));
    assert_eq!(lost.commits_when_waited_for(looks).unwrap(), Some(opened.revision.next()));
}
