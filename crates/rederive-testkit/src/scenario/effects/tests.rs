use std::panic::{AssertUnwindSafe, catch_unwind};

use rederive_core::{
    Change, ColumnKind, Failure, Fold, FoldEffects, OnFailure, Ops, PartitionId, Partitions,
    Recorded, ReduceError, Reducer, Table, error::panic_message,
};

use crate::{given, properties, rows};

static SEEN: Table =
    Table::new("seen", &[("id", ColumnKind::Text), ("last", ColumnKind::BigInt)], &[0]);

/// A letter and a number: a negative one fails, zero is rejected by the store, and one above ten is
/// skipped after it has been written.
type Event = (&'static str, i64);

struct Letters;

impl Reducer for Letters {
    type Event = Event;

    fn name(&self) -> &str {
        "letters"
    }

    fn partition(&self, event: &Event) -> Partitions {
        Partitions::of(event.0.chars().map(String::from))
    }

    fn reduce(&self, event: &Recorded<Event>, ops: &mut Ops) -> Result<(), ReduceError> {
        let (id, number) = (ops.partition().to_string(), event.data.1);
        ops.effect(&(&id, number))?;
        match number {
            ..0 => Err(ReduceError::new("below zero")),
            0 => ops.change(&SEEN, [id.into()], Change::Increment(1, 1.into())),
            11.. => Err(ReduceError::new("too much")),
            _ => ops.change(&SEEN, [id.into()], Change::Upsert(vec![(1, number.into())])),
        }
    }

    fn on_failure(&self, event: &Recorded<Event>, _: &Failure, _: u32) -> OnFailure {
        if event.data.1 > 10 { OnFailure::Skip } else { OnFailure::Halt }
    }
}

/// The sum of each letter; each time that ten is passed there is an effect.
struct Sums;

impl Fold for Sums {
    type Event = Event;
    type State = i64;

    fn name(&self) -> &str {
        "sums"
    }

    fn partition(&self, event: &Event) -> Partitions {
        Letters.partition(event)
    }

    fn fold(
        &self,
        sum: &mut i64,
        event: &Recorded<Event>,
        _: &PartitionId,
    ) -> Result<(), ReduceError> {
        *sum += event.data.1;
        Ok(())
    }

    fn effects(
        &self,
        sum: &i64,
        event: &Recorded<Event>,
        effects: &mut FoldEffects<'_>,
    ) -> Result<(), ReduceError> {
        let before = sum - event.data.1;
        match sum / 10 - before / 10 {
            ..=0 => Ok(()),
            1 => effects.push(&format!("{} has {sum}", effects.partition())),
            _ => Err(ReduceError::new("faster than we can tell")),
        }
    }

    fn is_removed(&self, sum: &i64) -> bool {
        *sum < 0
    }
}

#[track_caller]
fn failure(check: impl FnOnce()) -> String {
    let caught = catch_unwind(AssertUnwindSafe(check)).expect_err("it did not fail");
    panic_message(&*caught)
}

#[test]
fn effects_are_those_of_the_last_events_that_are_written() {
    given(&Letters, [("a", 1), ("b", 2)])
        .then_effects([("a", 1), ("b", 2)])
        .then_ops(|ops| {
            ops.change(&SEEN, ["a".into()], Change::Upsert(vec![(1, 1.into())]))?;
            ops.change(&SEEN, ["b".into()], Change::Upsert(vec![(1, 2.into())]))
        })
        .when([("ba", 3)])
        .then_effects([("a", 3), ("b", 3)])
        .when([("a", 11), ("a", 4)])
        .then_effects([("a", 4)])
        .when([("c", 0), ("a", -1), ("a", 5), ("b", 6)])
        .then_effects([("b", 6)])
        .when([("c", 7)])
        .then_no_effects()
        .then_unchanged();
}

#[test]
fn other_effects_than_expected_are_told() {
    let text = failure(|| drop(given(&Letters, [("a", 1)]).then_effects([("a", 2)])));
    assert!(text.contains("[\"a\",2]") && text.contains("[\"a\",1]    (effect 0"), "{text}");
    let text = failure(|| drop(given(&Letters, [("a", 1)]).then_no_effects()));
    assert!(text.contains("(none)"), "{text}");
    let text = failure(|| drop(given(&Letters, [("a", -1)]).then_effects([("a", -1)])));
    assert!(text.contains("partition \"a\" is halted"), "{text}");
}

#[test]
fn a_fold_has_effects_that_follow_from_its_states() {
    given(Sums, [("a", 9), ("b", 5)])
        .then_no_effects()
        .when([("ab", 1), ("b", 4)])
        .then_effects(["a has 10", "b has 10"])
        .then_state("a", &10)
        .when([("a", 70), ("a", 1)])
        .then_halted("a", "faster than we can tell")
        .then_no_effects()
        .then_state("a", &10)
        .when([("b", -11), ("b", 10)])
        .then_effects(["b has 10"]);
}

#[test]
fn what_has_effects_keeps_every_property() {
    let events =
        [("a", 1), ("b", 5), ("a", 9), ("ab", 10), ("b", 0), ("a", 3), ("b", 6), ("a", -1)];
    properties::exercise(&Letters, &events);
    properties::exercise(Sums, &events);
    given(&Letters, [("a", 4)]).then_rows(&SEEN, rows![["a", 4]]);
}
