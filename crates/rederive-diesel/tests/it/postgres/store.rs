//! What only PostgreSQL has: connections side by side, schemas, foreign keys that do not wait.

use std::{sync::mpsc, thread, time::Duration};

use diesel::connection::SimpleConnection;
use rederive_core::{Change, ColumnKind, CommitError, Op, Ops, RowOp, Table, Value};
use rederive_diesel::{PostgresDatabase, PostgresError, PostgresOps, PostgresOptions};

use crate::support::{Db, Owner, PostgresScratch, rejection};

static ACCOUNTS: Table =
    Table::new("accounts", &[("id", ColumnKind::Text), ("name", ColumnKind::Text)], &[0]);
static NODES: Table =
    Table::new("nodes", &[("id", ColumnKind::Text), ("parent", ColumnKind::Text)], &[0]);
static POSTINGS: Table =
    Table::new("postings", &[("id", ColumnKind::BigInt), ("account", ColumnKind::Text)], &[0]);

const SCHEMA: &str = "
    CREATE TABLE accounts (id text PRIMARY KEY, name varchar(5));
    CREATE TABLE postings (id bigint PRIMARY KEY, account text NOT NULL REFERENCES accounts);";

fn account(id: &str, change: Change) -> Op {
    Op::Row(RowOp { table: &ACCOUNTS, key: [id.into()].into_iter().collect(), change })
}

fn posting(id: i64, change: Change) -> Op {
    Op::Row(RowOp { table: &POSTINGS, key: [id.into()].into_iter().collect(), change })
}

fn named(name: impl Into<Value>) -> Vec<(usize, Value)> {
    vec![(1, name.into())]
}

fn run(
    work: impl Fn(&mut diesel::PgConnection) -> diesel::QueryResult<()> + Send + Sync + 'static,
) -> Op {
    let mut ops = Ops::new("p".into());
    ops.run("work", work).unwrap();
    ops.into_vec().remove(0)
}

#[test]
fn reducers_commit_side_by_side() {
    let scratch = PostgresScratch::new(SCHEMA);
    let store = scratch.db.store();
    let (inside, waits) = mpsc::channel();
    let (go_on, told) = mpsc::channel::<()>();
    let told = std::sync::Mutex::new(told);
    let slow = run(move |_| {
        inside.send(()).unwrap();
        told.lock().unwrap().recv().unwrap();
        Ok(())
    });
    let of_slow = store.clone();
    let slow = thread::spawn(move || {
        let row = account("slow", Change::Upsert(named("x")));
        Owner::of_reducer(&of_slow, "slow").apply(vec![row, slow])
    });
    waits.recv().unwrap();
    // The other has written to the same table, and is not done.
    let row = account("quick", Change::Upsert(named("x")));
    Owner::of_reducer(&store, "quick").apply(vec![row]).unwrap();
    assert_eq!(scratch.text("SELECT id AS line FROM accounts"), ["quick"]);
    go_on.send(()).unwrap();
    slow.join().unwrap().unwrap();
    assert_eq!(scratch.text("SELECT id AS line FROM accounts ORDER BY id"), ["quick", "slow"]);
}

#[test]
fn rows_of_parents_come_before_those_of_children_whatever_partition_they_are_of() {
    let scratch = PostgresScratch::new(SCHEMA);
    let mut owner = Owner::of(&scratch.store());
    owner.apply(vec![account("old", Change::Insert(named("x")))]).unwrap();
    let child = |id: i64, of: &str| posting(id, Change::Insert(named(of)));
    owner
        .commit(&[
            ("a", vec![child(1, "old")]),
            ("b", vec![account("new", Change::Insert(named("x"))), child(2, "new")]),
        ])
        .unwrap();
    owner
        .commit(&[
            ("b", vec![account("old", Change::Delete)]),
            ("a", vec![posting(1, Change::Delete)]),
        ])
        .unwrap();
    assert_eq!(scratch.text("SELECT account AS line FROM postings"), ["new"]);
}

#[test]
fn ops_run_in_the_order_given_where_foreign_keys_want_it() {
    let scratch = PostgresScratch::new(SCHEMA);
    let mut owner = Owner::of(&scratch.store());
    for _ in 0..2 {
        owner
            .apply(vec![
                account("a", Change::Insert(named("x"))),
                posting(1, Change::Insert(named("a"))),
                posting(1, Change::Delete),
                account("a", Change::Delete),
            ])
            .unwrap();
    }
    let orphan = posting(1, Change::Insert(named("nobody")));
    let said = rejection(owner.apply(vec![account("b", Change::Insert(named("x"))), orphan]));
    assert!(
        said.contains("(account)=(nobody)") && said.ends_with("(table postings, key 1)"),
        "{said}"
    );
    assert_eq!(scratch.text("SELECT id AS line FROM accounts"), Vec::<String>::new());
}

#[test]
fn ops_run_in_the_order_given_where_a_plan_would_break_a_foreign_key() {
    let scratch = PostgresScratch::new(
        "CREATE TABLE nodes (id text PRIMARY KEY, parent text REFERENCES nodes)",
    );
    let mut owner = Owner::of(&scratch.store());
    let node = |id: &str, columns: Vec<(usize, Value)>| {
        let key = [id.into()].into_iter().collect();
        Op::Row(RowOp { table: &NODES, key, change: Change::Insert(columns) })
    };
    owner.apply(vec![node("a", vec![])]).unwrap();
    for (child, root, grandchild) in [("b", "c", "d"), ("e", "f", "g")] {
        // Rows with the same columns are written together.
        let ops = vec![node(child, named("a")), node(root, vec![]), node(grandchild, named(root))];
        owner.apply(ops).unwrap();
    }
    let nodes = "SELECT id || coalesce(parent, '') AS line FROM nodes ORDER BY id";
    assert_eq!(scratch.text(nodes), ["a", "ba", "c", "dc", "ea", "f", "gf"]);
}

#[test]
fn a_deferred_foreign_key_is_checked_at_the_end_and_said_to_be_broken_by_name() {
    let scratch = PostgresScratch::new(
        "CREATE TABLE accounts (id text PRIMARY KEY, name text);
         CREATE TABLE postings (id bigint PRIMARY KEY,
            account text REFERENCES accounts DEFERRABLE);",
    );
    let mut owner = Owner::of(&scratch.store());
    let run_first = || run(|_| Ok(()));
    let child = || posting(1, Change::Insert(named("a")));
    owner.apply(vec![child(), run_first(), account("a", Change::Insert(named("x")))]).unwrap();
    let said = rejection(owner.apply(vec![account("a", Change::Delete)]));
    assert!(said.contains("\"postings\"") && said.contains("(id)=(a)"), "{said}");
}

#[test]
fn a_value_that_is_overwritten_must_have_been_one_that_its_column_takes() {
    let scratch = PostgresScratch::new(SCHEMA);
    let mut owner = Owner::of(&scratch.store());
    let put = |name: &str| account("a", Change::Upsert(named(name)));
    let said = rejection(owner.apply(vec![put("too long"), put("short")]));
    assert!(said.contains("character varying(5)") && said.contains("key 'a'"), "{said}");
    owner.apply(vec![put("short"), put("as it")]).unwrap();
    let said = rejection(owner.apply(vec![put("a\0b"), put("short")]));
    assert!(said.contains("column name of table accounts") && said.contains("NUL"), "{said}");
    assert_eq!(scratch.text("SELECT name AS line FROM accounts"), ["as it"]);
}

#[test]
fn the_tables_of_rederive_may_be_in_a_schema_of_their_own() {
    let set_up = format!("{SCHEMA} CREATE SCHEMA \"My ledger\";");
    let scratch = PostgresScratch::new(&set_up);
    scratch.execute("DROP TABLE rederive_schema, rederive_reducers, rederive_partitions");
    let db = scratch.elsewhere(PostgresOptions::default().schema("My ledger"));
    assert_eq!(db.schema(), "My ledger");
    let mut owner = Owner::of(&db.store());
    owner.apply(vec![account("a", Change::Insert(named("x")))]).unwrap();
    let text = "SELECT DISTINCT schemaname::text AS line FROM pg_tables
        WHERE tablename = 'rederive_partitions'";
    assert_eq!(scratch.text(text), ["My ledger"]);
    assert_eq!(
        scratch.text("SELECT current_setting('search_path') AS line"),
        ["\"$user\", public"]
    );
    let missing = PostgresOptions::default().schema("nowhere");
    let refused = PostgresDatabase::connect_with(scratch.url(), missing).unwrap_err();
    assert!(matches!(refused, PostgresError::Schema { .. }), "{refused}");
    assert!(refused.to_string().contains("CREATE SCHEMA"), "{refused}");
}

#[test]
fn of_many_that_connect_at_once_one_creates_the_tables() {
    let scratch = PostgresScratch::new("CREATE SCHEMA fresh");
    let url = scratch.url();
    let connect = || {
        let url = url.clone();
        thread::spawn(move || {
            PostgresDatabase::connect_with(url, PostgresOptions::default().schema("fresh"))
                .map(drop)
        })
    };
    let all: Vec<_> = (0..6).map(|_| connect()).collect();
    all.into_iter().for_each(|one| one.join().unwrap().unwrap());
}

#[test]
fn tables_of_a_later_version_are_left_alone() {
    let scratch = PostgresScratch::new("");
    scratch.execute("UPDATE rederive_schema SET version = 99");
    let refused = PostgresDatabase::connect(scratch.url()).unwrap_err();
    assert!(matches!(refused, PostgresError::NewerSchema { found: 99, .. }), "{refused}");
}

#[test]
fn a_connection_that_breaks_is_replaced_and_nothing_is_lost() {
    let scratch = PostgresScratch::new(SCHEMA);
    let mut owner = Owner::of(&scratch.store());
    let row = account("a", Change::Insert(named("x")));
    let cut = run(|conn| conn.batch_execute("SELECT pg_terminate_backend(pg_backend_pid())"));
    let done = owner.apply(vec![row.clone(), cut]);
    assert!(matches!(done, Err(CommitError::Transient(_))), "{done:?}");
    owner.apply(vec![row]).unwrap();
    assert_eq!(scratch.text("SELECT id AS line FROM accounts"), ["a"]);
}

#[test]
fn a_lock_that_is_not_to_be_had_blames_nobody() {
    let options = PostgresOptions::default().lock_timeout(Duration::from_millis(50));
    let scratch = PostgresScratch::with(SCHEMA, options);
    let mut owner = Owner::of(&scratch.store());
    owner.apply(vec![account("a", Change::Insert(named("x")))]).unwrap();
    let change = || vec![account("a", Change::Update(named("y")))];
    let held = scratch.db.write(|conn| {
        conn.batch_execute("SELECT FROM accounts FOR UPDATE")?;
        Ok(owner.apply(change()))
    });
    let held = held.unwrap();
    assert!(
        matches!(&held, Err(CommitError::Transient(said)) if said.contains("lock")),
        "{held:?}"
    );
    owner.apply(change()).unwrap();
}

#[test]
fn no_error_tells_the_password() {
    let refused = PostgresDatabase::connect("postgres://me:secret@127.0.0.1:1/bank").unwrap_err();
    assert!(matches!(refused, PostgresError::Unreachable { .. }), "{refused}");
    let said = format!("{refused} {refused:?}");
    assert!(said.contains("127.0.0.1:1/bank") && !said.contains("secret"), "{said}");
}
