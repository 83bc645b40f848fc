//! A pooler between us and PostgreSQL: the real pgbouncer.

use diesel::{PgConnection, connection::SimpleConnection as _, prelude::*};
use rederive::{
    Await, Config, Handle, Outcome, Rederive,
    diesel::{PostgresDatabase, PostgresError, PostgresOptions},
};
use test_postgres::{Cluster, Pgbouncer};

use crate::fixture::{
    bank::{AccountRow, Accounts, Event, Model, model_of_rows},
    outcomes, quiet,
};

const TRANSACTION: &str = "pool_mode = transaction";

/// A cluster with the tables of the bank.
fn cluster() -> Cluster {
    // What it is asked for is in its log.
    let cluster = Cluster::start_with(&[("log_statement", "all")]).expect("a cluster");
    run(
        &cluster.url("postgres"),
        "CREATE TABLE accounts
            (id text PRIMARY KEY, balance bigint NOT NULL, changes bigint NOT NULL, last bigint)",
    );
    cluster
}

fn run(url: &str, sql: &str) {
    let mut conn = PgConnection::establish(url).expect("it connects");
    conn.batch_execute(sql).expect(sql);
}

fn accounts(db: &PostgresDatabase) -> Model {
    let rows = db.read(|conn| diesel::sql_query("SELECT * FROM accounts").load::<AccountRow>(conn));
    model_of_rows(rows.expect("it can be read"))
}

async fn started(db: &PostgresDatabase, config: Config) -> Handle {
    let builder = Rederive::new(db.event_log::<Event>()).config(config);
    builder.register(Accounts::new(), db.store()).start().await.expect("it starts")
}

/// Has several threads append and read at once, so that each transaction gets another connection of
/// the server, then waits for all of it.
async fn work(db: &PostgresDatabase, handle: &Handle) -> Model {
    let appending = (0..4).map(|nth| {
        let db = db.clone();
        std::thread::spawn(move || {
            let (log, id) = (db.event_log(), format!("account-{nth}"));
            let mut recorded = log.append_blocking(vec![Event::opened(&id)]).expect("appended");
            for amount in 0..25 {
                recorded.extend(log.append_blocking(vec![Event::deposited(&id, amount)]).unwrap());
                db.read(|conn| conn.batch_execute("SELECT")).expect("it can be read");
            }
            recorded
        })
    });
    let appending: Vec<_> = appending.collect();
    for thread in appending {
        let recorded = thread.join().expect("no panic");
        let told = outcomes(handle.wait(Await::events("accounts", &recorded)).await);
        assert!(told.iter().all(|outcome| *outcome == Outcome::Done), "{told:?}");
    }
    accounts(db)
}

fn all() -> Model {
    (0..4).map(|nth| (format!("account-{nth}"), (300, 26, 0))).collect()
}

/// Without the numbers of the last events, which depend on who was first.
fn without_last(rows: Model) -> Model {
    rows.into_iter().map(|(id, row)| (id, (row.0, row.1, 0))).collect()
}

#[actix_rt::test]
async fn reducers_run_through_pgbouncer_in_transaction_mode() {
    let cluster = cluster();
    let pooler = Pgbouncer::start(&cluster, &[TRANSACTION, "default_pool_size = 5"]).unwrap();
    let db = PostgresDatabase::connect(pooler.url("postgres")).expect("it connects");
    let handle = started(&db, quiet()).await;
    assert_eq!(without_last(work(&db, &handle).await), all());
    handle.rebuild("accounts").await.expect("it is rebuilt");
    assert_eq!(without_last(accounts(&db)), all());
    handle.stop().await;
}

#[actix_rt::test]
async fn a_pgbouncer_that_drops_settings_of_the_first_message_is_found_as_well() {
    let cluster = cluster();
    let settings = [TRANSACTION, "ignore_startup_parameters = options"];
    let pooler = Pgbouncer::start(&cluster, &settings).unwrap();
    let db = PostgresDatabase::connect(pooler.url("postgres")).expect("it connects");
    let handle = started(&db, quiet()).await;
    assert_eq!(without_last(work(&db, &handle).await), all());
    handle.stop().await;
}

#[actix_rt::test]
async fn what_others_append_through_pgbouncer_is_found_by_polling() {
    let cluster = cluster();
    let pooler = Pgbouncer::start(&cluster, &[TRANSACTION]).unwrap();
    let connect = || PostgresDatabase::connect(pooler.url("postgres")).expect("it connects");
    let (here, elsewhere) = (connect(), connect());
    let poll_interval = std::time::Duration::from_millis(5);
    let handle = started(&here, Config { poll_interval, ..quiet() }).await;
    let events = vec![Event::opened("a"), Event::deposited("a", 5)];
    let recorded = elsewhere.event_log().append(events).await.expect("it is appended");
    let told = outcomes(handle.wait(Await::events("accounts", &recorded)).await);
    assert_eq!(told, [Outcome::Done, Outcome::Done]);
    handle.stop().await;
    // Nobody has tried to listen.
    let log = cluster.log();
    assert!(log.contains("rederive_events") && !log.contains("LISTEN"), "{log}");
}

#[test]
fn a_direct_connection_keeps_its_statements_and_one_through_a_pooler_keeps_none() {
    let cluster = cluster();
    let pooler = Pgbouncer::start(&cluster, &["pool_mode = session"]).unwrap();
    let kept = |url: String, options: PostgresOptions| {
        let db = PostgresDatabase::connect_with(url, options).expect("it connects");
        db.read(|conn| {
            #[derive(QueryableByName)]
            struct Count {
                #[diesel(sql_type = diesel::sql_types::BigInt)]
                count: i64,
            }
            // A statement that Diesel keeps if it may.
            diesel::select(1.into_sql::<diesel::sql_types::Integer>()).execute(conn)?;
            let text = "SELECT count(*) FROM pg_prepared_statements WHERE name <> ''";
            diesel::sql_query(text).get_result::<Count>(conn).map(|row| row.count > 0)
        })
    };
    let options = PostgresOptions::default;
    assert_eq!(kept(cluster.url("postgres"), options()).ok(), Some(true));
    assert_eq!(kept(pooler.url("postgres"), options()).ok(), Some(false));
    let told = options().prepared_statements(true);
    assert_eq!(kept(pooler.url("postgres"), told).ok(), Some(true));
}

#[test]
fn a_pooler_whose_server_is_away_is_an_error_that_passes() {
    let mut cluster = cluster();
    let settings = [TRANSACTION, "server_login_retry = 1", "query_wait_timeout = 2"];
    let pooler = Pgbouncer::start(&cluster, &settings).unwrap();
    let db = PostgresDatabase::connect(pooler.url("postgres")).expect("it connects");
    cluster.stop_immediate().expect("it stops");
    let error = db.read(|conn| conn.batch_execute("SELECT")).expect_err("the server is away");
    assert!(matches!(error, PostgresError::Unavailable { .. }), "{error}");
    cluster.start_again().expect("it starts");
    let begun = std::time::Instant::now();
    while let Err(error) = db.read(|conn| conn.batch_execute("SELECT")) {
        assert!(begun.elapsed() < crate::fixture::PATIENCE, "{error}");
    }
}
