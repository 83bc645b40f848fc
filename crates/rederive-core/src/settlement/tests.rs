//! Events are numbers here: event `n` stands at cursor `n` and leads to ops with the key `n`.

mod doubt;
mod model;
mod property;
mod rejection;
mod tentative;

use model::{Fault, Model};

use super::*;
use crate::{
    Change, ColumnKind, Failure, Halt, Op, PartitionCommit, RowOp, Table, Timestamp, Value,
    reduce::{Step, Steps},
};

static ROWS: Table = Table::new("rows", &[("event", ColumnKind::BigInt)], &[0]);

fn op(event: u64) -> Op {
    let key = [Value::Integer(event as i64)].into_iter().collect();
    Op::Row(RowOp { table: &ROWS, key, change: Change::Insert(Vec::new()) })
}

/// A commit of these events, each with so many ops.
fn commit_of(partition: &str, events: impl IntoIterator<Item = (u64, usize)>) -> PartitionCommit {
    let mut ops = Vec::new();
    let mut steps = Steps::new();
    for (event, count) in events {
        ops.extend((0..count).map(|_| op(event)));
        steps.push(Step::of(&event.into(), ops.len()));
    }
    let cursor = steps.last().map(|step| step.cursor.clone()).unwrap_or_default();
    PartitionCommit {
        partition: partition.into(),
        ops,
        steps,
        cursor,
        halt: None,
        skip: None,
        repair: Repair::None,
    }
}

/// A commit of these events, each with one op.
fn commit(partition: &str, events: impl IntoIterator<Item = u64>) -> PartitionCommit {
    commit_of(partition, events.into_iter().map(|event| (event, 1)))
}

/// The partition stands at `cursor` and halts at the event after that.
fn halting(partition: &str, cursor: u64) -> PartitionCommit {
    let failure =
        Failure { cursor: (cursor + 1).into(), kind: FailureKind::Reduce, message: String::new() };
    let halt = Some(Halt::new(failure, 1, Timestamp::default()));
    PartitionCommit { cursor: cursor.into(), halt, ..commit(partition, []) }
}

/// A group of a reducer that the model has just opened.
fn group(model: &mut Model, name: &str, watermark: u64, commits: Vec<PartitionCommit>) -> Group {
    let (revision, stored) = model.open(name);
    Group {
        reducer: name.into(),
        revision,
        stored,
        watermark: watermark.into(),
        commits,
        skips: vec![],
        tentative: None,
    }
}

/// Runs until it is finished, again and again; counts how often it had to be resumed.
fn finish(settlement: &mut Settlement, model: &mut Model) -> usize {
    for resumed in 0..1000 {
        let progress = settlement.run(model);
        assert_eq!(model.violations, [""; 0]);
        if progress == Progress::Finished {
            return resumed;
        }
    }
    panic!("it does not finish");
}

fn settle(groups: Vec<Group>, model: &mut Model) -> Vec<Settled> {
    let mut settlement = Settlement::new(groups);
    finish(&mut settlement, model);
    settlement.into_settled()
}

/// Per commit: `None` when it is committed, else the last event committed and the rejected one.
fn rejections(settled: &Settled) -> Vec<Option<(Option<Cursor>, Cursor)>> {
    let rejection = |result: &Option<Result<(), Rejection>>| match result {
        Some(Ok(())) => None,
        Some(Err(rejection)) => Some((rejection.committed.clone(), rejection.cursor.clone())),
        None => panic!("a commit without a result"),
    };
    settled.results.iter().map(rejection).collect()
}

#[test]
fn all_groups_are_committed_in_one_transaction_when_nothing_is_wrong() {
    let mut model = Model::default();
    let commits = || vec![commit("a", [1, 2]), commit("b", [3]), commit("c", [4, 9])];
    let groups = vec![
        group(&mut model, "first", 4, commits()),
        group(&mut model, "second", 2, commits()),
        group(&mut model, "third", 9, vec![]),
    ];
    let settled = settle(groups, &mut model);
    assert_eq!((model.transactions, model.lookups), (1, 0));
    for (settled, (name, watermark)) in
        settled.iter().zip([("first", 4_u64), ("second", 2), ("third", 9)])
    {
        assert_eq!((&*settled.reducer, &settled.stored), (name, &Cursor::from(watermark)));
        assert!(settled.results.iter().all(|result| *result == Some(Ok(()))));
        assert!(!settled.fenced);
        assert_eq!(settled.revision, model.revision(name));
        assert_eq!(model.watermark(name), Cursor::from(watermark));
    }
    for name in ["first", "second"] {
        assert_eq!(model.applied(name, "a"), [1, 2]);
        assert_eq!(model.applied(name, "c"), [4, 9]);
    }
}

#[test]
fn a_partition_row_is_written_only_if_the_watermark_does_not_say_as_much() {
    let mut model = Model::default();
    let commits =
        vec![commit("below", [1, 3]), commit("at", [4]), commit("above", [2, 5]), halting("h", 1)];
    let groups = vec![group(&mut model, "r", 4, commits)];
    settle(groups, &mut model);
    assert_eq!(model.rows("r"), [("above", 5.into(), false), ("h", 1.into(), true)]);
}

#[test]
fn a_group_without_commits_stores_its_watermark() {
    let mut model = Model::default();
    let groups = vec![group(&mut model, "r", 7, vec![])];
    let settled = settle(groups, &mut model);
    assert_eq!((settled[0].stored.clone(), settled[0].results.len()), (7.into(), 0));
    assert_eq!(model.watermark("r"), Cursor::from(7));
}

#[test]
fn without_groups_the_store_is_left_alone() {
    let mut model = Model::default();
    assert!(settle(vec![], &mut model).is_empty());
    assert_eq!(model.transactions, 0);
}

#[test]
fn each_write_is_guarded_by_its_first_event() {
    let mut model = Model::default();
    let groups = vec![group(&mut model, "r", 0, vec![commit("p", [5, 6])])];
    settle(groups, &mut model);
    // The same events again, as a dispatcher that lost count would send them.
    let (revision, stored) = model.current("r");
    let again = Group {
        reducer: "r".into(),
        revision,
        stored,
        watermark: 6.into(),
        commits: vec![commit("p", [6, 7])],
        skips: vec![],
        tentative: None,
    };
    let settled = settle(vec![again], &mut model);
    assert!(settled[0].fenced);
    assert_eq!(model.applied("r", "p"), [5, 6]);
}
