//! Real faults, most of them of SQLite, and what becomes of commits and appends that meet them.

use std::{fs, time::Duration};

use diesel::{Connection, RunQueryDsl, connection::SimpleConnection, sqlite::SqliteConnection};
use rederive_core::{Change, ColumnKind, CommitError, Cursor, EventLog, Op, RowOp, Store, Table};
use rederive_diesel::{AppendError, SqliteDatabase, SqliteOptions};

use crate::support::{Db, Owner, Scratch, on_every_database};

on_every_database! {
    the_stored_revision_tells_whether_a_commit_was_done,
    an_error_of_the_users_own_is_not_taken_for_a_fault_of_the_machine,
}

static NOTES: Table =
    Table::new("notes", &[("id", ColumnKind::BigInt), ("text", ColumnKind::Text)], &[0]);

const SCHEMA: &str = "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)";

fn note(id: i64, text: &str) -> Op {
    let change = Change::Upsert(vec![(1, text.into())]);
    Op::Row(RowOp { table: &NOTES, key: [id.into()].into_iter().collect(), change })
}

fn impatient(scratch: &Scratch) -> SqliteDatabase {
    let options = SqliteOptions::default().busy_timeout(Duration::from_millis(20));
    SqliteDatabase::open_with(scratch.path(), options).unwrap()
}

fn transient(result: Result<(), CommitError>) -> String {
    match result {
        Err(CommitError::Transient(message)) => message,
        other => panic!("not transient: {other:?}"),
    }
}

#[test]
fn a_lock_of_another_process_is_transient_and_nothing_was_done() {
    let scratch = Scratch::new(SCHEMA);
    let db = impatient(&scratch);
    let mut owner = Owner::of(&db.store());
    let log = db.event_log::<u64>();
    let mut other = SqliteConnection::establish(scratch.path().to_str().unwrap()).unwrap();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    assert!(transient(owner.apply(vec![note(1, "a")])).contains("is locked"));
    let refused = log.append_blocking(vec![1]).unwrap_err();
    assert!(matches!(refused, AppendError::Unavailable { .. }), "{refused}");
    assert!(refused.to_string().contains("database is locked"), "{refused}");
    assert!(
        db.store()
            .open(&rederive_core::Opening::new("test", 1, rederive_core::CursorKind::Integer))
            .is_err()
    );
    other.batch_execute("ROLLBACK").unwrap();
    owner.apply(vec![note(1, "a")]).unwrap();
    log.append_blocking(vec![1]).unwrap();
    assert_eq!(log.head().unwrap(), Cursor::from(1));
}

#[test]
fn a_full_disk_is_transient_and_the_same_commit_succeeds_once_there_is_room() {
    let scratch = Scratch::new(SCHEMA);
    let mut owner = Owner::of(&scratch.db.store());
    let log = scratch.db.event_log::<String>();
    let limit = |pages: &str| {
        let sql = format!("PRAGMA max_page_count = {pages}");
        scratch.db.write(|conn| diesel::sql_query(sql).execute(conn)).unwrap();
    };
    let pages = scratch.text("SELECT '' || page_count AS line FROM pragma_page_count").remove(0);
    limit(&pages);
    let large = "x".repeat(100_000);
    let full = "database or disk is full";
    assert!(transient(owner.apply(vec![note(1, &large)])).contains(full));
    // SQLite ended the transaction itself, so the connection was replaced, and with it the limit.
    limit(&pages);
    let refused = log.append_blocking(vec![large.clone()]).unwrap_err();
    assert!(matches!(refused, AppendError::Unavailable { .. }), "{refused}");
    assert!(refused.to_string().contains(full), "{refused}");
    limit("1000000");
    owner.apply(vec![note(1, &large)]).unwrap();
    log.append_blocking(vec![large]).unwrap();
    assert_eq!(log.head().unwrap(), Cursor::from(1));
}

#[test]
fn a_damaged_file_is_nobodys_event_at_fault() {
    let scratch = Scratch::new(SCHEMA);
    let mut owner = Owner::of(&scratch.db.store());
    owner.apply((0..2000).map(|id| note(id, &"x".repeat(100))).collect()).unwrap();
    let path = scratch.path();
    let directory = scratch.closed();
    let mut owner = {
        drop(owner);
        let mut bytes = fs::read(&path).unwrap();
        // The pages of our tables come first, those of the notes fill the rest.
        let from = bytes.len() / 2;
        bytes[from..].fill(0xa5);
        fs::write(&path, bytes).unwrap();
        let db = SqliteDatabase::open(&path).unwrap();
        Owner::of(&db.store())
    };
    let message = transient(owner.apply((0..2000).map(|id| note(id, "y")).collect()));
    assert!(message.contains("malformed"), "{message}");
    drop(directory);
}

fn the_stored_revision_tells_whether_a_commit_was_done<D: Db>() {
    let scratch =
        D::new(&SCHEMA.replace("INTEGER", if D::IS_POSTGRES { "bigint" } else { "INTEGER" }));
    let store = scratch.store();
    let mut owner = Owner::of(&store);
    let before = owner.revision;
    owner.apply(vec![note(1, "a")]).unwrap();
    assert_eq!(owner.writer.revision("test").unwrap(), Some(before.next()));
}

fn an_error_of_the_users_own_is_not_taken_for_a_fault_of_the_machine<D: Db>() {
    // In the database's own words.
    let scratch =
        D::new(&SCHEMA.replace("INTEGER", if D::IS_POSTGRES { "bigint" } else { "INTEGER" }));
    scratch.execute(if D::IS_POSTGRES {
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             RAISE 'deadlock detected' USING ERRCODE = 'check_violation'; END $$;
         CREATE TRIGGER t BEFORE INSERT ON notes FOR EACH ROW EXECUTE FUNCTION f()"
    } else {
        "CREATE TRIGGER t BEFORE INSERT ON notes BEGIN
             SELECT RAISE(ABORT, 'the database or disk is full, says the user'); END"
    });
    let mut owner = Owner::of(&scratch.store());
    let result = owner.apply(vec![note(1, "a")]);
    assert!(matches!(result, Err(CommitError::Rejected { .. })), "{result:?}");
}
