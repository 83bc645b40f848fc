use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU32, Ordering},
};

use rederive_core::{
    Change, ColumnKind, CustomOp, Failure, Fold, MemoryStore, OnFailure, Op, Ops, Partitions,
    Recorded, ReduceError, Reducer, Table, Timestamp, error::panic_message,
};
use serde::{Deserialize, Serialize};

use super::*;
use crate::{readable, rows};

static ACCOUNTS: Table =
    Table::new("accounts", &[("id", ColumnKind::Text), ("balance", ColumnKind::BigInt)], &[0]);

#[derive(Clone, Debug)]
enum Event {
    Opened(&'static str),
    Deposited(&'static str, i64),
    Withdrawn(&'static str, i64),
    Moved(&'static str, &'static str),
    Stamped(&'static str),
    Statement(&'static str),
    Noise,
}
use Event::*;

#[derive(Debug)]
struct Statements;
impl CustomOp for Statements {}

struct Accounts;

impl Reducer for Accounts {
    type Event = Event;

    fn name(&self) -> &str {
        "accounts"
    }

    fn partition(&self, event: &Event) -> Partitions {
        match event {
            Opened(id) | Deposited(id, _) | Withdrawn(id, _) | Stamped(id) | Statement(id) => {
                (*id).into()
            }
            Moved(from, to) => Partitions::of([*from, *to]),
            Noise => Partitions::None,
        }
    }

    fn reduce(&self, event: &Recorded<Event>, ops: &mut Ops) -> Result<(), ReduceError> {
        let id = || [ops_id(ops)];
        match event.data {
            Opened(_) => ops.change(&ACCOUNTS, id(), Change::Insert(vec![(1, 0.into())])),
            Deposited(_, by) => ops.change(&ACCOUNTS, id(), Change::Increment(1, by.into())),
            Withdrawn(_, 1000..) => Err(ReduceError::new("insufficient funds")),
            Withdrawn(_, by) => ops.change(&ACCOUNTS, id(), Change::Increment(1, (-by).into())),
            Moved(..) => ops.change(&ACCOUNTS, id(), Change::Upsert(vec![(1, 7.into())])),
            Stamped(_) => {
                let time = event.time.as_micros();
                ops.change(&ACCOUNTS, id(), Change::Upsert(vec![(1, time.into())]))
            }
            Statement(_) => ops.push(Op::Custom(std::sync::Arc::new(Statements))),
            Noise => Ok(()),
        }
    }
}

fn ops_id(ops: &Ops) -> rederive_core::Value {
    ops.partition().as_str().into()
}

/// What a check that must fail says.
#[track_caller]
fn failure(check: impl FnOnce()) -> String {
    let caught = catch_unwind(AssertUnwindSafe(check)).expect_err("it did not fail");
    panic_message(&*caught)
}

#[test]
fn what_the_events_lead_to_is_as_expected() {
    given(&Accounts, [Opened("a"), Deposited("a", 5), Noise])
        .then_rows(&ACCOUNTS, rows![["a", 5]])
        .then_rows("accounts", rows![["a", 5]])
        .then_nothing_halted()
        .when([Withdrawn("a", 2), Moved("b", "a")])
        .then_ops(|ops| {
            ops.change(&ACCOUNTS, ["a".into()], Change::Increment(1, (-2).into()))?;
            ops.change(&ACCOUNTS, ["a".into()], Change::Upsert(vec![(1, 7.into())]))?;
            ops.change(&ACCOUNTS, ["b".into()], Change::Upsert(vec![(1, 7.into())]))
        })
        .when([Noise])
        .then_ignored()
        .then_unchanged()
        .then(|store| {
            assert_eq!(store.row(&ACCOUNTS, ["b".into()]), Some(rows![["b", 7]][0].clone()))
        });
}

#[test]
fn a_failing_event_halts_its_partition_and_later_ones_are_held() {
    given(&Accounts, [Opened("a"), Opened("b")])
        .when([Withdrawn("a", 1000), Deposited("a", 1)])
        .then_halted("a", "insufficient")
        .then_ops(|_| Ok(()))
        .then_unchanged()
        .when([Deposited("a", 1), Deposited("b", 2)])
        .then_halted("a", "cursor 3")
        .then_rows(&ACCOUNTS, rows![["a", 0], ["b", 2]]);
}

#[test]
fn what_the_store_rejects_halts_as_well() {
    given_nothing(&Accounts)
        .when([Deposited("nobody", 1)])
        .then_halted("nobody", "has no row")
        .then_rows(&ACCOUNTS, rows![]);
}

#[test]
fn cursors_and_times_are_what_the_test_says_they_are() {
    let stamped = Given::event(Stamped("a")).at("01J").recorded(Timestamp::from_micros(12));
    given(&Accounts, [stamped]).then_rows(&ACCOUNTS, rows![["a", 12]]);
}

#[test]
fn a_difference_in_rows_is_shown_with_the_halts_that_may_explain_it() {
    let said = failure(|| {
        given(&Accounts, [Opened("a"), Withdrawn("a", 5000), Deposited("a", 5)])
            .then_rows(&ACCOUNTS, rows![["a", 5]]);
    });
    assert!(said.contains("partition \"a\" is halted"), "{said}");
    assert!(said.contains("balance: 0 instead of 5"), "{said}");
}

#[test]
fn each_expectation_that_is_not_met_says_what_is_instead() {
    let account = || given(&Accounts, [Opened("a")]);
    let said = failure(|| {
        account()
            .when([Deposited("a", 1)])
            .then_ops(|ops| ops.change(&ACCOUNTS, ["a".into()], Change::Increment(1, 2.into())));
    });
    assert!(said.contains("- increment accounts 'a': balance by 2"), "{said}");
    assert!(said.contains("+ increment accounts 'a': balance by 1"), "{said}");
    let said = failure(|| drop(account().when([Deposited("a", 1)]).then_unchanged()));
    assert!(said.contains("balance: 1 instead of 0"), "{said}");
    let said = failure(|| drop(account().then_ignored()));
    assert!(said.contains("1 partitions"), "{said}");
    let said = failure(|| drop(account().then_halted("a", "")));
    assert!(said.contains("no partition is halted"), "{said}");
    let halted = || account().when([Withdrawn("a", 9999)]);
    let said = failure(|| drop(halted().then_halted("a", "because")));
    assert!(said.contains("not with \"because\"") && said.contains("insufficient"), "{said}");
    let said = failure(|| drop(halted().then_nothing_halted()));
    assert!(said.contains("insufficient"), "{said}");
    let said = failure(|| drop(account().then_rows("acounts", rows![["a", 0]])));
    assert!(said.contains("it has to: accounts"), "{said}");
}

#[test]
fn an_op_that_the_store_cannot_run_is_told_instead_of_halting() {
    let said = failure(|| drop(given(&Accounts, [Statement("a")])));
    assert!(said.contains("Statements") && said.contains("`_on`"), "{said}");
}

#[test]
fn a_scenario_runs_on_any_store_whose_rows_can_be_read() {
    let store = readable(MemoryStore::new(), |store, table| store.rows(table));
    given_on(store, &Accounts, [Opened("a")])
        .when([Deposited("a", 3)])
        .then_rows(&ACCOUNTS, rows![["a", 3]]);
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Tally {
    sum: i64,
    events: u32,
}

/// Sums up accounts; what is withdrawn must be there.
struct Tallies;

impl Fold for Tallies {
    type Event = Event;
    type State = Tally;

    fn name(&self) -> &str {
        "tallies"
    }

    fn partition(&self, event: &Event) -> Partitions {
        Accounts.partition(event)
    }

    fn fold(
        &self,
        tally: &mut Tally,
        event: &Recorded<Event>,
        _: &PartitionId,
    ) -> Result<(), ReduceError> {
        tally.events += 1;
        match event.data {
            Deposited(_, by) => tally.sum += by,
            Withdrawn(_, by) if by > tally.sum => return Err(ReduceError::new("overdrawn")),
            Withdrawn(_, by) => tally.sum -= by,
            _ => {}
        }
        Ok(())
    }

    fn is_removed(&self, tally: &Tally) -> bool {
        tally.events > 4
    }
}

#[test]
fn a_fold_has_the_state_that_is_expected() {
    given(Tallies, [Deposited("a", 5)])
        .then_state("a", &Tally { sum: 5, events: 1 })
        .then_no_state("b")
        .when([Withdrawn("a", 9), Deposited("b", 1)])
        .then_halted("a", "overdrawn")
        .then_state("a", &Tally { sum: 5, events: 1 })
        .when([Deposited("b", 1), Deposited("b", 1), Deposited("b", 1), Deposited("b", 1)])
        .then_no_state("b");
    let said = failure(|| {
        drop(given(Tallies, [Deposited("a", 5)]).then_state("a", &Tally { sum: 6, events: 1 }));
    });
    assert!(said.contains("sum: 6") && said.contains("sum: 5"), "{said}");
    let said = failure(|| drop(given(Tallies, [Deposited("a", 5)]).then_no_state("a")));
    assert!(said.contains("\"sum\":5"), "{said}");
}

#[test]
fn a_fold_has_every_property() {
    let events = [
        Deposited("a", 5),
        Deposited("b", 6),
        Withdrawn("a", 3),
        Moved("a", "b"),
        Withdrawn("b", 100),
        Deposited("a", 1),
        Deposited("b", 2),
        Deposited("c", 2),
    ];
    crate::properties::exercise(Tallies, events);
}

/// Tries an event again three times, then skips it.
struct Patient(AtomicU32);

impl Reducer for Patient {
    type Event = Event;

    fn name(&self) -> &str {
        "patient"
    }

    fn partition(&self, event: &Event) -> Partitions {
        Accounts.partition(event)
    }

    fn reduce(&self, event: &Recorded<Event>, ops: &mut Ops) -> Result<(), ReduceError> {
        if matches!(event.data, Withdrawn(..)) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        Accounts.reduce(event, ops)
    }

    fn on_failure(&self, _: &Recorded<Event>, _: &Failure, attempt: u32) -> OnFailure {
        OnFailure::retry(attempt, 3).unwrap_or(OnFailure::Skip)
    }
}

#[test]
fn a_failure_policy_is_followed_without_waiting_for_its_pauses() {
    static PATIENT: Patient = Patient(AtomicU32::new(0));
    given(&PATIENT, [Opened("a"), Withdrawn("a", 1000), Deposited("a", 2)])
        .then_nothing_halted()
        .then_rows(&ACCOUNTS, rows![["a", 2]]);
    assert_eq!(PATIENT.0.load(Ordering::Relaxed), 4);
}
