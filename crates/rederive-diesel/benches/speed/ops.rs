//! Commits of ops, in transactions of several sizes.

use std::time::{Duration, Instant};

use rederive_core::{
    Change, ColumnKind, Cursor, CursorKind, Op, Opening, PartitionId, PartitionWrite, ReducerWrite,
    RowOp, Store, Table, Value,
};

use crate::{
    ON_POSTGRES, SCHEMA, cpu, id, rate,
    support::{Db, PostgresScratch, Scratch},
};

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

pub(crate) fn on_sqlite() {
    measure::<Scratch>(SCHEMA, &[(200_000, 1000), (200_000, 10_000), (20_000, 100)]);
}

pub(crate) fn on_postgres() {
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

fn op(number: usize, change: Change) -> Op {
    let key = [Value::from(id(number))].into_iter().collect();
    Op::Row(RowOp { table: &ACCOUNTS, key, change })
}

fn row(number: usize) -> Vec<(usize, Value)> {
    vec![(1, format!("owner {number}").into()), (2, 0.into()), (3, 0.into())]
}
