//! Opening databases, good and bad ones.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use diesel::{RunQueryDsl, connection::SimpleConnection, prelude::*, sql_query};
use rederive_diesel::{SqliteDatabase, SqliteError, SqliteOptions};

use crate::support::Scratch;

#[test]
fn opening_creates_the_tables_once_and_keeps_what_they_hold() {
    let scratch = Scratch::new("CREATE TABLE mine (id INTEGER PRIMARY KEY)");
    scratch.execute("INSERT INTO rederive_events (time, data) VALUES (0, '1')");
    let again = scratch.reopened();
    assert_eq!(again.text("SELECT data AS line FROM rederive_events"), ["1"]);
    let modes = "SELECT journal_mode AS line FROM pragma_journal_mode";
    assert_eq!(again.text(modes), ["wal"]);
}

#[test]
fn racing_openers_all_succeed() {
    for _ in 0..5 {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.db");
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| SqliteDatabase::open(&path).unwrap());
            }
        });
    }
}

#[test]
fn tables_of_a_later_version_are_refused_and_left_alone() {
    let scratch = Scratch::new("");
    scratch.execute("UPDATE rederive_schema SET version = 99");
    let path = scratch.path();
    let refused = SqliteDatabase::open(&path).unwrap_err();
    assert!(matches!(refused, SqliteError::NewerSchema { found: 99, known: 1, .. }), "{refused}");
    assert_eq!(scratch.text("SELECT '' || version AS line FROM rederive_schema"), ["99"]);
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("letter.txt");
    let letter = "Dear reader, ".repeat(500);
    fs::write(&path, &letter).unwrap();
    let refused = SqliteDatabase::open(&path).unwrap_err();
    assert!(matches!(refused, SqliteError::NotADatabase { .. }), "{refused}");
    assert!(refused.to_string().contains("letter.txt"));
    assert_eq!(fs::read_to_string(&path).unwrap(), letter);
}

#[test]
fn a_damaged_file_is_called_so() {
    let scratch = Scratch::new("CREATE TABLE t (a)");
    scratch.execute("INSERT INTO t VALUES (zeroblob(100000))");
    let path = scratch.path();
    let directory = scratch.closed();
    let mut bytes = fs::read(&path).unwrap();
    // All but the header.
    bytes[100..].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    let refused = SqliteDatabase::open(&path).unwrap_err();
    assert!(matches!(refused, SqliteError::Corrupt { .. }), "{refused:?}");
    drop(directory);
}

#[test]
fn a_directory_in_place_of_a_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let refused = SqliteDatabase::open(directory.path()).unwrap_err();
    assert!(matches!(refused, SqliteError::Unavailable { .. }), "{refused}");
    assert!(refused.to_string().contains("unable to open database file"));
}

#[test]
fn a_file_without_permission_to_write_is_called_read_only() {
    let scratch = Scratch::new("");
    let path = scratch.path();
    let directory = scratch.closed();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    if fs::OpenOptions::new().append(true).open(&path).is_ok() {
        return; // We are root, whom permissions do not bind.
    }
    let refused = SqliteDatabase::open(&path).unwrap_err();
    assert!(matches!(refused, SqliteError::ReadOnly { .. }), "{refused}");
    drop(directory);
}

#[test]
fn a_lock_that_another_process_holds_is_waited_for_and_then_reported() {
    let scratch = Scratch::new("CREATE TABLE t (a)");
    let options = SqliteOptions::default().busy_timeout(Duration::from_millis(50));
    let impatient = SqliteDatabase::open_with(scratch.path(), options).unwrap();
    scratch
        .db
        .write(|_| {
            let refused = impatient.write(|conn| conn.batch_execute("INSERT INTO t VALUES (1)"));
            let error = refused.unwrap_err();
            assert!(matches!(error, SqliteError::Locked { .. }), "{error}");
            assert!(error.to_string().contains("more than 50ms; nothing was changed"), "{error}");
            Ok(())
        })
        .unwrap();
    impatient.write(|conn| conn.batch_execute("INSERT INTO t VALUES (1)")).unwrap();
    assert_eq!(scratch.text("SELECT '' || a AS line FROM t"), ["1"]);
}

#[test]
fn a_reader_sees_one_state_and_cannot_write() {
    let scratch = Scratch::new("CREATE TABLE t (a)");
    let count = |conn: &mut SqliteConnection| {
        diesel::dsl::sql::<diesel::sql_types::BigInt>("SELECT count(*) FROM t")
            .get_result::<i64>(conn)
    };
    let (before, after) = scratch
        .db
        .read(|conn| {
            let before = count(conn)?;
            scratch.execute("INSERT INTO t VALUES (1)");
            Ok((before, count(conn)?))
        })
        .unwrap();
    assert_eq!((before, after), (0, 0));
    assert_eq!(scratch.db.read(count).unwrap(), 1);
    let refused = scratch.db.read(|conn| sql_query("DELETE FROM t").execute(conn));
    assert!(matches!(refused, Err(SqliteError::ReadOnly { .. })), "{refused:?}");
}

#[test]
fn a_write_that_fails_or_panics_leaves_nothing_and_the_next_one_works() {
    let scratch = Scratch::new("CREATE TABLE t (a UNIQUE)");
    let insert = |conn: &mut SqliteConnection| conn.batch_execute("INSERT INTO t VALUES (1)");
    let failed = scratch.db.write(|conn| {
        insert(conn)?;
        insert(conn)
    });
    assert!(matches!(failed, Err(SqliteError::Query(_))), "{failed:?}");
    let db = scratch.db.clone();
    let panicked = std::thread::spawn(move || {
        db.write(|conn| -> QueryResult<()> {
            insert(conn)?;
            panic!("on purpose")
        })
    });
    assert!(panicked.join().is_err());
    assert!(scratch.text("SELECT '' || a AS line FROM t").is_empty());
    scratch.db.write(insert).unwrap();
}

#[test]
fn more_readers_than_connections_take_turns() {
    let directory = tempfile::tempdir().unwrap();
    let options = SqliteOptions::default().readers(1);
    let db = SqliteDatabase::open_with(directory.path().join("x.db"), options).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| db.read(|conn| sql_query("SELECT 1").execute(conn)).unwrap());
        }
    });
}
