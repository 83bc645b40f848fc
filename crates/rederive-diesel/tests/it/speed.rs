//! Measures, rather than checks: `cargo test --release -p rederive-diesel --test it speed -- --ignored
//! --nocapture --test-threads 1`.

#![allow(clippy::print_stdout)]

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use diesel::{RunQueryDsl, sql_query, sql_types::Text};
use rederive_core::{
    Change, ColumnKind, Cursor, CursorKind, EventLog, Op, Opening, PartitionId, PartitionWrite,
    ReducerWrite, RowOp, Store, Table, Value,
};
use rederive_diesel::{SqliteDatabase, SqliteOptions, Synchronous};

use crate::support::{Db, PostgresScratch, Scratch};

static ACCOUNTS: Table = Table::new(
    "accounts",
    &[
        ("id", ColumnKind::Text),
        ("owner", ColumnKind::Text),
        ("balance", ColumnKind::BigInt),
        ("postings", ColumnKind::BigInt),
    ],
    &[0],
);

const SCHEMA: &str = "CREATE TABLE accounts (id TEXT PRIMARY KEY NOT NULL, owner TEXT NOT NULL,
    balance INTEGER NOT NULL, postings INTEGER NOT NULL) WITHOUT ROWID";

const ON_POSTGRES: &str = "CREATE TABLE accounts (id text PRIMARY KEY, owner text NOT NULL,
    balance bigint NOT NULL, postings bigint NOT NULL)";

/// The processor time of this thread: other work on the machine does not count.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

fn rate(what: &str, count: usize, time: Duration) {
    println!("{what:60} {:>9.0}/s", count as f64 / time.as_secs_f64());
}

fn id(number: usize) -> String {
    format!("account-{number:08}")
}

fn op(number: usize, change: Change) -> Op {
    let key = [Value::from(id(number))].into_iter().collect();
    Op::Row(RowOp { table: &ACCOUNTS, key, change })
}

fn row(number: usize) -> Vec<(usize, Value)> {
    vec![(1, format!("owner {number}").into()), (2, 0.into()), (3, 0.into())]
}

/// Commits `total` ops in transactions of `batch`, each op of a partition of its own.
fn commits<D: Db>(
    scratch: &D,
    total: usize,
    batch: usize,
    record: bool,
    change: impl Fn(usize) -> Change,
) -> Duration {
    let store = scratch.store();
    let mut revision = store.open(&Opening::new("speed", 1, CursorKind::Integer)).unwrap().revision;
    let mut writer = store.writer().unwrap();
    let mut spent = Duration::ZERO;
    for from in (0..total).step_by(batch) {
        let ids: Vec<PartitionId> = (from..from + batch).map(|n| id(n).into()).collect();
        let ops: Vec<Op> = (from..from + batch).map(|number| op(number, change(number))).collect();
        let cursor = Cursor::from(revision.number + 1);
        let guard = cursor.clone();
        // The server's time is not this thread's.
        let clock = Instant::now();
        let begun = cpu();
        let partitions = ids.iter().zip(&ops).map(|(partition, op)| PartitionWrite {
            partition,
            ops: std::slice::from_ref(op),
            cursor: &cursor,
            guard: record.then_some(&guard),
            halt: None,
            skips: Vec::new(),
            record,
            reset: false,
        });
        let watermark = if record { &Cursor::Start } else { &cursor };
        let write = ReducerWrite {
            reducer: "speed",
            revision,
            watermark,
            partitions: partitions.collect(),
            skips: Vec::new(),
        };
        writer.commit(&[write]).unwrap();
        spent += if D::IS_POSTGRES { clock.elapsed() } else { cpu() - begun };
        revision = revision.next();
    }
    spent
}

#[test]
#[ignore = "measures"]
fn ops() {
    measure::<Scratch>(SCHEMA, &[(200_000, 1000), (200_000, 10_000), (20_000, 100)]);
}

#[test]
#[ignore = "measures"]
fn ops_on_postgres() {
    let sizes = [(50_000, 1000), (100_000, 10_000), (5_000, 100), (500, 1)];
    measure::<PostgresScratch>(ON_POSTGRES, &sizes);
}

fn measure<D: Db>(schema: &str, sizes: &[(usize, usize)]) {
    for (total, batch) in sizes.iter().copied() {
        let scratch = D::new(schema);
        let kinds: [(&str, fn(usize) -> Change); 6] = [
            ("insert", |n| Change::Insert(row(n))),
            ("upsert", |n| Change::Upsert(row(n))),
            ("insert_new", |n| Change::InsertNew(row(n))),
            ("increment", |_| Change::Increment(2, 1.into())),
            ("update", |n| Change::Update(row(n))),
            ("delete", |_| Change::Delete),
        ];
        for (name, change) in kinds {
            let time = commits(&scratch, total, batch, false, change);
            rate(&format!("{name}, {batch} a transaction"), total, time);
        }
    }
    let scratch = D::new(schema);
    let total = sizes[0].0;
    let time = commits(&scratch, total, 1000, true, |n| Change::Upsert(row(n)));
    rate("upsert and partition row (new), 1000 a transaction", total, time);
}

/// Other ways to hand many rows to PostgreSQL, each in a transaction of its own.
#[test]
#[ignore = "measures"]
fn ways_on_postgres() {
    use diesel::sql_types::{Array, BigInt};
    type Statement = (&'static str, &'static str);
    const TYPED: &str = "AS v (id text, owner text, balance bigint, postings bigint)";
    for (total, batch) in [(50_000, 1000), (100_000, 10_000)] {
        let scratch = PostgresScratch::new(ON_POSTGRES);
        let upserted = "ON CONFLICT (id) DO UPDATE SET owner = excluded.owner,
            balance = excluded.balance, postings = excluded.postings";
        let added = "UPDATE accounts AS t SET balance = t.balance + v.balance FROM";
        let of: [Statement; 3] = [
            ("insert", "INSERT INTO accounts SELECT * FROM {rows}"),
            ("upsert", "INSERT INTO accounts SELECT * FROM {rows} {upserted}"),
            ("increment", "{added} {rows} WHERE t.id = v.id"),
        ];
        for way in ["unnest", "json_to_recordset", "VALUES"] {
            scratch.execute("DELETE FROM accounts");
            for (name, text) in of {
                let mut spent = Duration::ZERO;
                for from in (0..total).step_by(batch) {
                    let numbers = from..from + batch;
                    let ids: Vec<String> = numbers.clone().map(id).collect();
                    let owners: Vec<String> =
                        numbers.clone().map(|number| format!("owner {number}")).collect();
                    let begun = Instant::now();
                    let rows = match way {
                        "unnest" => {
                            "unnest($1, $2, $3, $4) AS v (id, owner, balance, postings)".to_owned()
                        }
                        "VALUES" => {
                            let rows = (0..batch).map(|row| {
                                let at = row * 4;
                                format!(
                                    "(${}::text, ${}::text, ${}::bigint, ${}::bigint)",
                                    at + 1,
                                    at + 2,
                                    at + 3,
                                    at + 4
                                )
                            });
                            let rows = rows.collect::<Vec<_>>().join(",");
                            format!("(VALUES {rows}) AS v (id, owner, balance, postings)")
                        }
                        way => format!("{way}($1::json) {TYPED}"),
                    };
                    let text = text
                        .replace("{rows}", &rows)
                        .replace("{upserted}", upserted)
                        .replace("{added}", added);
                    let done = scratch.db.write(|conn| match way {
                        "unnest" => sql_query(&text)
                            .bind::<Array<Text>, _>(&ids)
                            .bind::<Array<Text>, _>(&owners)
                            .bind::<Array<BigInt>, _>(vec![1_i64; batch])
                            .bind::<Array<BigInt>, _>(vec![0_i64; batch])
                            .execute(conn),
                        "VALUES" => {
                            let mut query = sql_query(&text).into_boxed();
                            for (id, owner) in ids.iter().zip(&owners) {
                                query = query
                                    .bind::<Text, _>(id)
                                    .bind::<Text, _>(owner)
                                    .bind::<BigInt, _>(1)
                                    .bind::<BigInt, _>(0);
                            }
                            query.execute(conn)
                        }
                        _ => {
                            let rows = ids.iter().zip(&owners).map(|(id, owner)| {
                                serde_json::json!({
                                    "id": id, "owner": owner, "balance": 1, "postings": 0
                                })
                            });
                            let rows = rows.collect::<Vec<_>>();
                            let json = serde_json::to_string(&rows).unwrap();
                            sql_query(&text).bind::<Text, _>(json).execute(conn)
                        }
                    });
                    assert_eq!(done.unwrap(), batch);
                    spent += begun.elapsed();
                }
                rate(&format!("{way}: {name}, {batch} a transaction"), total, spent);
            }
        }
    }
}

#[test]
#[ignore = "measures"]
fn typed_ops() {
    use diesel::Insertable;
    use rederive_core::Ops;
    use rederive_diesel::DieselOps;
    diesel::table! {
        accounts (id) { id -> Text, owner -> Text, balance -> BigInt, postings -> BigInt }
    }
    #[derive(Insertable, serde::Serialize)]
    #[diesel(table_name = accounts)]
    struct Account<'a> {
        id: &'a str,
        owner: &'a str,
        balance: i64,
        postings: i64,
    }
    let count = 1_000_000;
    let emit = |name: &str, op: &dyn Fn(&mut Ops)| {
        let mut spent = Duration::ZERO;
        for _ in 0..count / 1000 {
            let mut ops = Ops::new("p".into());
            let begun = cpu();
            (0..1000).for_each(|_| op(&mut ops));
            spent += cpu() - begun;
        }
        rate(&format!("emit {name}"), count, spent);
    };
    emit("insert of 4 columns", &|ops| {
        let row = Account { id: "account-1", owner: "owner", balance: 1, postings: 0 };
        ops.insert(accounts::table, row).unwrap();
    });
    emit("increment", &|ops| ops.increment(accounts::balance, "account-1", 5_i64).unwrap());
    emit("update of 2 columns", &|ops| {
        let changes = ((accounts::owner, "owner"), (accounts::balance, 7_i64));
        ops.update(accounts::table, "account-1", changes).unwrap();
    });
}

#[test]
#[ignore = "measures"]
fn json_each_for_comparison() {
    let scratch = Scratch::new(SCHEMA);
    for (name, sql) in [
        (
            "insert",
            "INSERT INTO accounts SELECT value->>0, value->>1, value->>2, value->>3 FROM json_each(?)",
        ),
        (
            "increment",
            "UPDATE accounts SET balance = balance + (v.value->>2) FROM json_each(?) AS v
             WHERE accounts.id = v.value->>0",
        ),
    ] {
        let (total, batch) = (200_000, 1000);
        let mut spent = Duration::ZERO;
        for from in (0..total).step_by(batch) {
            let rows: Vec<_> =
                (from..from + batch).map(|n| (id(n), format!("owner {n}"), 1, 0)).collect();
            let begun = cpu();
            let json = serde_json::to_string(&rows).unwrap();
            scratch.db.write(|conn| sql_query(sql).bind::<Text, _>(json).execute(conn)).unwrap();
            spent += cpu() - begun;
        }
        rate(&format!("json_each {name}, {batch} a transaction"), total, spent);
    }
}

#[test]
#[ignore = "measures"]
fn log() {
    let scratch = Scratch::new("");
    let log = scratch.db.event_log::<(String, i64)>();
    let event = |n: usize| (id(n), n as i64);
    let begun = Instant::now();
    for from in (0..500_000).step_by(1000) {
        log.append_blocking((from..from + 1000).map(event).collect()).unwrap();
    }
    rate("append, 1000 events a call", 500_000, begun.elapsed());
    let begun = cpu();
    let mut after = Cursor::Start;
    let mut count = 0;
    loop {
        let slice = log.fetch(&after, 1000).unwrap();
        count += slice.events.len();
        after = slice.end;
        if slice.at_head {
            break;
        }
    }
    rate("fetch, 1000 events a slice", count, cpu() - begun);
    for (clients, synchronous) in
        [(1, Synchronous::Full), (32, Synchronous::Full), (32, Synchronous::Normal)]
    {
        let directory = tempfile::tempdir().unwrap();
        let options = SqliteOptions::default().synchronous(synchronous);
        let db = SqliteDatabase::open_with(directory.path().join("x.db"), options).unwrap();
        let log = Arc::new(db.event_log::<(String, i64)>());
        let begun = Instant::now();
        let each = 20_000 / clients;
        let threads: Vec<_> = (0..clients)
            .map(|_| {
                let log = Arc::clone(&log);
                thread::spawn(move || {
                    for n in 0..each {
                        log.append_blocking(vec![event(n)]).unwrap();
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        rate(
            &format!("append one by one, {clients} threads, {synchronous:?}"),
            each * clients,
            begun.elapsed(),
        );
    }
}
