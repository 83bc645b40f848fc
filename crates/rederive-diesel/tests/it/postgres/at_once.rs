//! Commits that are one statement: what is known of a table is compared in it, and all else that makes
//! a commit fail is told as ever.

use std::thread;

use diesel::connection::SimpleConnection;
use rederive_core::{Change, ColumnKind, CommitError, Op, RowOp, Table, Value};
use rederive_diesel::PostgresDatabase;
use test_postgres::{Moment, Proxy, Then};

use super::{scratch::Scratch, waiting::Other};
use crate::support::{Owner, rejection};

static ROWS: Table =
    Table::new("rows", &[("id", ColumnKind::Text), ("number", ColumnKind::BigInt)], &[0]);

const SCHEMA: &str = "CREATE TABLE rows (id text PRIMARY KEY, number bigint)";

fn row(id: &str, change: Change) -> Op {
    Op::Row(RowOp { table: &ROWS, key: [id.into()].into_iter().collect(), change })
}

fn put(id: &str, number: i64) -> Op {
    row(id, Change::Upsert(vec![(1, Value::Integer(number))]))
}

fn add(id: &str, number: i64) -> Op {
    row(id, Change::Increment(1, Value::Integer(number)))
}

/// An owner who knows the table.
fn owner(db: &PostgresDatabase) -> Owner {
    let mut owner = Owner::of(&db.store());
    owner.apply(vec![put("a", 1)]).unwrap();
    owner
}

const ALL: &str = "SELECT id || number AS line FROM rows ORDER BY id";

#[test]
fn a_commit_of_rows_of_a_known_table_is_one_statement() {
    let scratch = Scratch::new(SCHEMA);
    let (server, database) =
        scratch.url().rsplit_once('/').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let (head, port) = server.rsplit_once(':').unwrap();
    let proxy = Proxy::to(port.parse().unwrap()).unwrap();
    let through = PostgresDatabase::connect(format!("{head}:{}/{database}", proxy.port())).unwrap();
    let mut owner = owner(&through);
    // Its one message is all of the transaction.
    proxy.at(Moment::BeforeCommit, "update \"rows\"", || Then::Pass);
    owner.commit(&[("p", vec![add("a", 1)]), ("q", vec![put("b", 1)])]).unwrap();
    assert_eq!(proxy.sprung(), 1);
    proxy.at(Moment::AfterCommit, "update \"rows\"", || Then::Cut);
    let doubtful = owner.apply(vec![add("a", 1)]).unwrap_err();
    assert!(matches!(doubtful, CommitError::InDoubt(_)), "{doubtful}");
    assert_eq!(scratch.text(ALL), ["a3", "b1"]);
}

#[test]
fn a_table_that_has_changed_since_the_last_commit_is_looked_at_anew() {
    let scratch = Scratch::new(SCHEMA);
    let mut owner = owner(&scratch.db);
    // Merged, nobody would see the first.
    let both = || vec![put("a", -1), put("a", 2)];
    owner.apply(both()).unwrap();
    scratch.execute("ALTER TABLE rows ADD CONSTRAINT positive CHECK (number > 0)");
    let said = rejection(owner.apply(both()));
    assert!(said.contains("positive"), "{said}");
    owner.apply(vec![put("a", 3)]).unwrap();
    scratch.execute("ALTER TABLE rows DROP CONSTRAINT positive");
    owner.apply(both()).unwrap();
    scratch.execute("ALTER TABLE rows ALTER COLUMN number TYPE text");
    let said = rejection(owner.apply(both()));
    assert!(said.contains("column number of type text"), "{said}");
    assert_eq!(scratch.text(ALL), ["a2"]);
}

#[test]
fn a_table_stays_as_it_was_found_until_the_commit_is_done() {
    let scratch = Scratch::new(SCHEMA);
    let mut owner = owner(&scratch.db);
    let other = Other::begin(&scratch, "SELECT FROM rederive_reducers FOR UPDATE");
    let mut migration = scratch.connection();
    let commit = thread::spawn(move || owner.apply(vec![put("a", 2)]));
    let done = other.lets_wait(commit, || {
        let add = "SET lock_timeout = '50ms'; ALTER TABLE rows ADD CHECK (number < 2)";
        let refused = migration.batch_execute(add).unwrap_err();
        assert!(refused.to_string().contains("lock timeout"), "{refused}");
    });
    done.unwrap();
    assert_eq!(scratch.text(ALL), ["a2"]);
}

#[test]
fn whoever_waited_for_the_reducer_and_is_not_its_owner_any_more_changes_nothing() {
    let scratch = Scratch::new(SCHEMA);
    let mut owner = owner(&scratch.db);
    let other = Other::begin(&scratch, "UPDATE rederive_reducers SET epoch = epoch + 1");
    let commit = thread::spawn(move || owner.apply(vec![add("a", 1), put("b", 1)]));
    let fenced = other.commits_when_waited_for(commit).unwrap_err();
    assert!(matches!(fenced, CommitError::Fenced { .. }), "{fenced}");
    assert_eq!(scratch.text(ALL), ["a1"]);
}

#[test]
fn a_partition_that_stands_at_its_guard_is_told_before_any_row_is_blamed() {
    let scratch = Scratch::new(SCHEMA);
    let mut owner = owner(&scratch.db);
    scratch.execute("UPDATE rederive_partitions SET cursor = 'i00000000000000000009'");
    for ops in [vec![add("a", 1)], vec![row("a", Change::Insert(vec![]))]] {
        let fenced = owner.apply(ops).unwrap_err();
        assert!(matches!(fenced, CommitError::Fenced { .. }), "{fenced}");
    }
    assert_eq!(scratch.text(ALL), ["a1"]);
}

#[test]
fn what_a_row_cannot_take_is_blamed_on_it() {
    let scratch = Scratch::new(SCHEMA);
    let mut owner = owner(&scratch.db);
    let said = rejection(owner.apply(vec![add("a", 1), add("nobody", 1)]));
    assert!(said.contains("has no row") && said.contains("nobody"), "{said}");
    let said = rejection(owner.apply(vec![add("a", i64::MAX)]));
    assert!(said.contains("overflows") && said.contains("'a'"), "{said}");
    let said = rejection(owner.apply(vec![row("a", Change::Insert(vec![]))]));
    assert!(said.contains("key 'a'"), "{said}");
    assert_eq!(scratch.text(ALL), ["a1"]);
}

#[test]
fn rows_that_are_merged_and_those_that_are_missing_are_written_in_one_statement() {
    let scratch = Scratch::new(SCHEMA);
    let mut owner = owner(&scratch.db);
    let merge = |id: &str, number: i64| row(id, Change::Merge(vec![(1, Value::Integer(number))]));
    for number in [5, 6] {
        owner
            .commit(&[
                ("p", vec![merge("a", number)]),
                ("q", vec![merge("b", number), add("b", 1)]),
                ("r", vec![put("c", 1), row("c", Change::Delete), put("c", number)]),
            ])
            .unwrap();
        let all = ["a", "b", "c"].map(|id| format!("{id}{}", number + i64::from(id == "b")));
        assert_eq!(scratch.text(ALL), all);
    }
    // A row that is there and cannot take the change is neither merged nor missing.
    let said = rejection(owner.apply(vec![row("a", Change::Merge(vec![])), add("a", i64::MAX)]));
    assert!(said.contains("overflows") && said.contains("'a'"), "{said}");
}

#[test]
fn settings_in_the_url_hold_on_every_connection() {
    let scratch = Scratch::new(SCHEMA);
    let url = format!("{}?options=-c%20work_mem%3D5MB", scratch.url());
    let db = PostgresDatabase::connect(url).unwrap();
    let set = db
        .read(|conn| Ok(super::scratch::lines(conn, "SELECT current_setting('work_mem') AS line")))
        .unwrap();
    assert_eq!(set, ["5MB"]);
}
