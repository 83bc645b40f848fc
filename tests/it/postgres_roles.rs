//! The roles of docs/postgres.md: what they are granted is enough, and no more.

use std::{collections::BTreeMap, fs, path::Path};

use diesel::{PgConnection, connection::SimpleConnection as _, prelude::*};
use rederive::{
    Await, Handle, Outcome, Rederive,
    diesel::{PostgresDatabase, PostgresError},
};
use test_postgres::{Cluster, Moment, Proxy, Then};

use crate::fixture::{
    bank::{AccountRow, Accounts, Event, Model, model_of_rows},
    outcomes, quiet,
};

/// The blocks of SQL of the document, each with the role that it is to be run as.
fn blocks() -> Vec<(String, String)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a folder");
    let text = fs::read_to_string(file.join("docs/postgres.md")).expect("it is there");
    let sql = text.split("```sql\n").skip(1).map(|rest| rest.split("```").next().expect("an end"));
    let block = |sql: &str| {
        let (role, sql) = sql.split_once('\n').expect("a line");
        let role = role.strip_prefix("-- as: ").unwrap_or_else(|| panic!("whose is {sql}?"));
        (role.to_owned(), sql.to_owned())
    };
    sql.map(block).collect()
}

fn url(cluster: &Cluster, role: &str) -> String {
    let role = if role == "superuser" { "postgres" } else { role };
    cluster.url("bank").replace("postgres@", &format!("{role}@"))
}

fn try_run(cluster: &Cluster, role: &str, sql: &str) -> Result<(), String> {
    let url = url(cluster, role);
    let mut conn = PgConnection::establish(&url).map_err(|error| error.to_string())?;
    conn.batch_execute(sql).map_err(|error| error.to_string())
}

#[track_caller]
fn run(cluster: &Cluster, role: &str, sql: &str) {
    try_run(cluster, role, sql).unwrap_or_else(|error| panic!("{role}: {error}: {sql}"));
}

#[track_caller]
fn refused(connected: Result<PostgresDatabase, PostgresError>, told: &str) {
    let error = connected.expect_err("it has no right to connect").to_string();
    assert!(error.contains(told), "{error}");
}

fn accounts(db: &PostgresDatabase) -> Model {
    let rows = db.read(|conn| diesel::sql_query("SELECT * FROM accounts").load::<AccountRow>(conn));
    model_of_rows(rows.expect("it can be read"))
}

async fn appended(db: &PostgresDatabase, handle: &Handle, event: Event) -> Outcome {
    let recorded = db.event_log().append(vec![event]).await.expect("it is appended");
    outcomes(handle.wait(Await::events("accounts", &recorded)).await).remove(0)
}

#[actix_rt::test]
async fn the_role_that_docs_postgres_md_sets_up_can_do_all_that_is_needed_and_no_more() {
    let cluster = Cluster::start().expect("a cluster");
    let admin = PgConnection::establish(&cluster.url("postgres"));
    admin.expect("it connects").batch_execute("CREATE DATABASE bank").expect("it is created");
    let app = url(&cluster, "bank_app");

    let mut is_set_up = false;
    for (role, sql) in blocks() {
        if role == "bank_owner" && !is_set_up {
            // Whoever connects too early is told what is missing.
            refused(PostgresDatabase::connect(&app), "grant USAGE");
            run(&cluster, "superuser", "GRANT USAGE ON SCHEMA bank TO bank_app");
            refused(PostgresDatabase::connect(&app), "another user sets them up first");
            run(&cluster, "superuser", "REVOKE USAGE ON SCHEMA bank FROM bank_app");
            drop(PostgresDatabase::connect(url(&cluster, &role)).expect("the owner may"));
            is_set_up = true;
        }
        run(&cluster, &role, &sql);
    }

    let proxy = Proxy::to(cluster.port()).expect("a proxy");
    let through = app.replace(&cluster.port().to_string(), &proxy.port().to_string());
    let db = PostgresDatabase::connect(through).expect("it may connect");
    // It may know all that appending by one statement takes.
    proxy.at(Moment::BeforeStatement, "pg_advisory_xact_lock(1919247465", || Then::Pass);
    let builder = Rederive::new(db.event_log::<Event>()).config(quiet());
    let handle = builder.register(Accounts::new(), db.store()).start().await.expect("it starts");
    for event in [Event::opened("a"), Event::opened("b"), Event::deposited("a", 5)] {
        assert_eq!(appended(&db, &handle, event).await, Outcome::Done);
    }
    handle.rebuild_partition("accounts", "a").await.expect("a partition is rebuilt");
    handle.rebuild("accounts").await.expect("it is rebuilt");
    let rows = accounts(&db);
    let balances: BTreeMap<_, _> = rows.iter().map(|(id, row)| (id.as_str(), row.0)).collect();
    assert_eq!(balances, [("a", 5), ("b", 0)].into());
    let halted = appended(&db, &handle, Event::poison("b")).await;
    assert!(matches!(halted, Outcome::Halted(_)), "{halted:?}");
    let halts = handle.halted("accounts", None, 9).await.expect("they are told");
    let event = halts[0].halt.as_ref().expect("it is halted").cursor.clone();
    handle.skip("accounts", "b", event).await.expect("it is skipped");
    let long = "é".repeat(5000);
    assert!(matches!(appended(&db, &handle, Event::poison(&long)).await, Outcome::Halted(_)));

    assert_eq!(proxy.sprung(), 0);

    // What is taken away is named, and nothing is lost.
    run(&cluster, "bank_owner", "REVOKE INSERT ON accounts FROM bank_app");
    let Outcome::Halted(halt) = appended(&db, &handle, Event::opened("c")).await else {
        panic!("it has no right to insert")
    };
    assert!(halt.message.contains("permission denied for table accounts"), "{}", halt.message);
    run(&cluster, "bank_owner", "GRANT INSERT ON accounts TO bank_app");
    handle.retry("accounts", "c").await.expect("it can be done now");
    assert!(accounts(&db).contains_key("c"));
    handle.stop().await;

    for (sql, told) in [
        ("UPDATE rederive_events SET data = '1'", "permission denied for table rederive_events"),
        ("DELETE FROM rederive_events", "permission denied for table rederive_events"),
        ("TRUNCATE accounts", "permission denied for table accounts"),
        ("UPDATE rederive_schema SET version = 9", "permission denied for table rederive_schema"),
        ("CREATE TABLE mine (id int)", "permission denied for schema bank"),
        ("ALTER TABLE rederive_events DISABLE TRIGGER ALL", "must be owner"),
    ] {
        let error = try_run(&cluster, "bank_app", sql).expect_err(sql);
        assert!(error.contains(told), "{sql}: {error}");
    }
}
