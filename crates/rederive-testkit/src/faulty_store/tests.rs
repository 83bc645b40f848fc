use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
    time::Duration,
};

use rederive_core::{
    Change, ColumnKind, CommitError, Cursor, CursorKind, MemoryStore, Op, PartitionWrite,
    ReducerWrite, Revision, RowOp, Table,
};

use super::*;
use crate::{Gate, Seed};

static ROWS: Table =
    Table::new("rows", &[("id", ColumnKind::BigInt), ("n", ColumnKind::BigInt)], &[0]);
const LONG: Duration = Duration::from_secs(10);

/// Commits one op of partition `p`.
fn commit(writer: &mut dyn Writer, revision: Revision) -> Result<(), CommitError> {
    let (partition, cursor) = (PartitionId::from("p"), Cursor::from(1));
    let key = [1.into()].into_iter().collect();
    let ops = [Op::Row(RowOp { table: &ROWS, key, change: Change::Upsert(vec![(1, 1.into())]) })];
    let partitions = vec![PartitionWrite {
        partition: &partition,
        ops: &ops,
        cursor: &cursor,
        guard: None,
        halt: None,
        skips: Vec::new(),
        record: false,
        reset: false,
    }];
    writer.commit(&[ReducerWrite {
        reducer: "r",
        revision,
        watermark: &cursor,
        partitions,
        skips: vec![],
    }])
}

fn opened() -> (FaultyStore<MemoryStore>, StoreFaults, Revision, Box<dyn Writer>) {
    let store = FaultyStore::new(MemoryStore::new());
    let revision =
        store.open(&Opening::new("r", 1, CursorKind::Integer)).expect("it opens").revision;
    let writer = store.writer().expect("it writes");
    (store.clone(), store.faults(), revision, writer)
}

#[test]
fn each_fault_does_what_it_says_and_no_more() {
    let (store, faults, revision, mut writer) = opened();
    let mut is_done = |faults: &StoreFaults| {
        let stored = writer.revision("r").expect("it tells").expect("it is known");
        (stored != revision, faults.counts().committed)
    };
    assert_eq!(is_done(&faults), (false, 0));
    let mut writer = store.writer().expect("it writes");
    for fault in [CommitFault::Transient, CommitFault::InDoubtLost, CommitFault::PanicBefore] {
        faults.on_commit(fault);
        let attempt = catch_unwind(AssertUnwindSafe(|| commit(&mut *writer, revision)));
        assert!(!matches!(attempt, Ok(Ok(()))));
        assert_eq!(is_done(&faults), (false, 0));
    }
    faults.on_commit(CommitFault::InDoubtDone);
    let answer = commit(&mut *writer, revision);
    assert!(matches!(answer, Err(CommitError::InDoubt(_))), "{answer:?}");
    assert_eq!(is_done(&faults), (true, 1));
    faults.on_commit(CommitFault::PanicAfter);
    let attempt = catch_unwind(AssertUnwindSafe(|| commit(&mut *writer, revision.next())));
    assert!(attempt.is_err());
    assert_eq!(is_done(&faults), (true, 2));
    assert_eq!(faults.counts().running, 0);
    assert_eq!(faults.counts().commits, 5);
}

#[test]
fn a_partition_is_rejected_until_the_store_is_healed() {
    let (_, faults, revision, mut writer) = opened();
    faults.reject("p");
    let answer = commit(&mut *writer, revision);
    assert!(matches!(answer, Err(CommitError::Rejected { .. })), "{answer:?}");
    faults.heal();
    commit(&mut *writer, revision).expect("it is healed");
    assert_eq!((faults.counts().rejected, faults.counts().committed), (1, 1));
}

#[test]
fn a_stalled_commit_waits_for_its_gate_and_is_counted_as_running() {
    let (_, faults, revision, mut writer) = opened();
    let gate = Gate::closed();
    faults.on_commit(CommitFault::Stall(gate.clone()));
    let commit = thread::spawn(move || commit(&mut *writer, revision));
    gate.wait_for_arrivals(1, LONG);
    assert_eq!((faults.counts().running, faults.counts().committed), (1, 0));
    gate.open();
    commit.join().expect("no panic").expect("it commits");
    let counts = faults.wait_for(|counts| counts.running == 0, LONG);
    assert_eq!((counts.most_at_once, counts.committed), (1, 1));
}

#[test]
fn opening_writers_and_revisions_fail_as_often_as_scripted() {
    let (store, faults, _, mut writer) = opened();
    faults.fail_open(2);
    faults.fail_writer(1);
    faults.fail_revision(1);
    let opens: Vec<_> =
        (0..3).map(|_| store.open(&Opening::new("r", 1, CursorKind::Integer)).is_ok()).collect();
    assert_eq!(opens, [false, false, true]);
    assert_eq!([store.writer().is_ok(), store.writer().is_ok()], [false, true]);
    assert_eq!([writer.revision("r").is_ok(), writer.revision("r").is_ok()], [false, true]);
}

#[test]
fn chaos_is_the_same_for_the_same_seed() {
    let run = || {
        let (store, faults, _, _) = opened();
        faults.chaos(StoreChaos { open: 0.5, ..StoreChaos::default() }, Seed(3).rng());
        (0..32)
            .map(|_| store.open(&Opening::new("r", 1, CursorKind::Integer)).is_ok())
            .collect::<Vec<_>>()
    };
    let first = run();
    assert_eq!(first, run());
    assert!(first.contains(&true) && first.contains(&false));
}
