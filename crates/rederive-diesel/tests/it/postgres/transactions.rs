//! Transactions: what ends them, and that nobody takes one for committed that is not.

use std::{
    thread,
    time::{Duration, Instant},
};

use diesel::{PgConnection, RunQueryDsl, connection::SimpleConnection, sql_query};
use rederive_core::{ColumnKind, Cursor, CursorKind, EventLog, Opening, OwnedTable, Store, Table};
use rederive_diesel::{PostgresError, PostgresOptions};

use super::scratch::{Scratch, lines};

const TABLE: &str = "CREATE TABLE t (a bigint PRIMARY KEY)";

fn rows(scratch: &Scratch) -> Vec<String> {
    scratch.text("SELECT a AS line FROM t ORDER BY a")
}

/// PostgreSQL answers its COMMIT with success.
#[test]
fn a_write_that_hides_an_error_is_not_said_to_be_done() {
    let scratch = Scratch::new(TABLE);
    let hidden = scratch.db.write(|conn| {
        conn.batch_execute("INSERT INTO t VALUES (1)")?;
        let _ = conn.batch_execute("INSERT INTO t VALUES (1)");
        Ok(())
    });
    assert!(matches!(hidden, Err(PostgresError::Query(_))), "{hidden:?}");
    scratch.db.write(|conn| conn.batch_execute("INSERT INTO t VALUES (2)")).unwrap();
    assert_eq!(rows(&scratch), ["2"]);
}

#[test]
fn a_write_that_fails_or_panics_leaves_nothing_and_the_next_one_works() {
    let scratch = Scratch::with(TABLE, PostgresOptions::default().connections(1));
    let insert = |conn: &mut PgConnection| conn.batch_execute("INSERT INTO t VALUES (1)");
    let failed = scratch.db.write(|conn| {
        insert(conn)?;
        insert(conn)
    });
    assert!(matches!(failed, Err(PostgresError::Query(_))), "{failed:?}");
    let db = scratch.db.clone();
    let panicked = thread::spawn(move || {
        db.write(|conn| -> diesel::QueryResult<()> {
            insert(conn)?;
            panic!("on purpose")
        })
    });
    assert!(panicked.join().is_err());
    for transaction in ["COMMIT", "ROLLBACK", "COMMIT; BEGIN", "SAVEPOINT mine"] {
        // Nobody else is to go on in what is left.
        let _ = scratch.db.write(|conn| conn.batch_execute(transaction));
    }
    let begun = scratch.db.write(|conn| {
        use diesel::connection::{AnsiTransactionManager, TransactionManager};
        AnsiTransactionManager::begin_transaction(conn)
    });
    assert!(begun.is_err(), "a transaction was left open");
    assert_eq!(rows(&scratch), Vec::<String>::new());
    scratch.db.write(insert).unwrap();
    assert_eq!(rows(&scratch), ["1"]);
}

#[test]
fn a_reader_sees_one_state_and_cannot_write() {
    let scratch = Scratch::new(TABLE);
    let count = |conn: &mut PgConnection| {
        diesel::dsl::sql::<diesel::sql_types::BigInt>("SELECT count(*) FROM t")
            .get_result::<i64>(conn)
    };
    let seen = scratch.db.read(|conn| {
        let before = count(conn)?;
        scratch.execute("INSERT INTO t VALUES (1)");
        Ok((before, count(conn)?))
    });
    assert_eq!(seen.unwrap(), (0, 0));
    assert_eq!(scratch.db.read(count).unwrap(), 1);
    let refused = scratch.db.read(|conn| sql_query("DELETE FROM t").execute(conn));
    assert!(matches!(refused, Err(PostgresError::ReadOnly { .. })), "{refused:?}");
}

/// So that the lock of appends, and the rows that it has changed, are free again.
#[test]
fn a_transaction_that_lies_idle_is_ended_by_the_server() {
    let scratch = Scratch::new(TABLE);
    let options = PostgresOptions::default().idle_timeout(Duration::from_millis(500));
    let (frozen, mut other) = (scratch.elsewhere(options), scratch.connection());
    let begun = Instant::now();
    let ended = frozen.write(|conn| {
        conn.batch_execute("SET LOCAL application_name = 'frozen'; INSERT INTO t VALUES (1)")?;
        let lives = "SELECT pid AS line FROM pg_stat_activity WHERE application_name = 'frozen'";
        while !lines(&mut other, lives).is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(30), "nobody ends it");
            thread::yield_now();
        }
        conn.batch_execute("SELECT")
    });
    assert!(matches!(ended, Err(PostgresError::Unavailable { .. })), "{ended:?}");
    scratch.execute("INSERT INTO t VALUES (2)");
    assert_eq!(rows(&scratch), ["2"]);
}

/// As when the server was started again, or somebody between has cut them.
#[test]
fn connections_of_the_pool_that_were_lost_while_idle_are_not_noticed_by_anybody() {
    let scratch = Scratch::with(TABLE, PostgresOptions::default().connections(3));
    let log = scratch.db.event_log::<u64>();
    let mut other = scratch.connection();
    let mut lose_all = || {
        let one =
            |conn: &mut PgConnection| lines(conn, "SELECT pg_backend_pid() AS line").remove(0);
        // Three at once are all that the pool has.
        let all = scratch.db.read(|first| {
            let rest = scratch.db.read(|second| {
                let third = scratch.db.read(|third| Ok(one(third)));
                Ok([one(second), third.unwrap()])
            });
            Ok([one(first), rest.unwrap().join(", ")].join(", "))
        });
        let these = format!("FROM pg_stat_activity WHERE pid IN ({})", all.unwrap());
        assert_eq!(
            lines(&mut other, &format!("SELECT pg_terminate_backend(pid) AS line {these}")).len(),
            3
        );
        let begun = Instant::now();
        while !lines(&mut other, &format!("SELECT pid AS line {these}")).is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(30), "they do not end");
            thread::yield_now();
        }
    };
    lose_all();
    scratch.db.write(|conn| conn.batch_execute("INSERT INTO t VALUES (1)")).unwrap();
    lose_all();
    let count = |conn: &mut PgConnection| Ok(lines(conn, "SELECT a AS line FROM t"));
    assert_eq!(scratch.db.read(count).unwrap(), ["1"]);
    lose_all();
    // By a single query, without a transaction.
    assert_eq!(log.head().unwrap(), Cursor::Start);
}

/// A large table takes its time.
#[test]
fn emptying_the_tables_of_a_reducer_may_take_longer_than_a_statement() {
    static OWNED: Table = Table::new("owned", &[("id", ColumnKind::Text)], &[0]);
    let scratch = Scratch::new(
        "CREATE TABLE owned (id text PRIMARY KEY);
         CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             PERFORM pg_sleep(0.5); RETURN NULL; END $$;
         CREATE TRIGGER slow BEFORE TRUNCATE OR DELETE ON owned EXECUTE FUNCTION slow()",
    );
    let patience = Duration::from_millis(200);
    let store = scratch.elsewhere(PostgresOptions::default().statement_timeout(patience)).store();
    let tables = [OwnedTable::new(&OWNED)];
    let opening = Opening { tables: &tables, ..Opening::new("r", 1, CursorKind::Integer) };
    let begun = Instant::now();
    store.reset(&opening, &Cursor::Start).unwrap();
    assert!(begun.elapsed() > patience, "it was not slow");
}

/// A setting that protects people from mistakes; a server that takes no writes is something else.
#[test]
fn what_writes_says_so_where_transactions_only_read_by_default() {
    let scratch = Scratch::new(TABLE);
    let database = lines(&mut scratch.connection(), "SELECT current_database() AS line").remove(0);
    scratch.execute(&format!("ALTER DATABASE {database} SET default_transaction_read_only = on"));
    let cautious = scratch.elsewhere(PostgresOptions::default());
    cautious.write(|conn| conn.batch_execute("INSERT INTO t VALUES (1)")).unwrap();
    let log = cautious.event_log::<u64>();
    let recorded = log.append_blocking(vec![1]).unwrap();
    assert_eq!(log.head().ok().as_ref(), Some(&recorded[0].cursor));
    cautious.store().open(&Opening::new("r", 1, CursorKind::Integer)).unwrap();
    assert!(cautious.store().release("r", 1).unwrap());
    crate::support::Owner::of(&cautious.store()).apply(vec![]).unwrap();
    drop(log);
    scratch.execute(&format!("ALTER DATABASE {database} RESET default_transaction_read_only"));
}
