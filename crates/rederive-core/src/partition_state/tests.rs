//! Events are numbers here: event `n` stands at cursor `n` and, unless told otherwise, leads to one
//! op whose key is `n`.

mod policy;
mod property;
mod undecodable;

use std::{collections::BTreeMap, sync::Mutex};

use super::*;
use crate::{
    Change, ColumnKind, FailureKind, Op, Ops, Partitions, Recorded, ReduceError, Reducer, Slice,
    Stateless, Table,
};

static ROWS: Table = Table::new("rows", &[("id", ColumnKind::BigInt)], &[0]);

/// Fails at some events and emits nothing for others.
#[derive(Clone, Default)]
struct Numbers {
    failing: Vec<u64>,
    quiet: Vec<u64>,
    /// How often an event still fails.
    flaky: Arc<Mutex<BTreeMap<u64, u32>>>,
    /// What becomes of an event that failed, by event and attempt.
    on_failure: Option<fn(u64, u32) -> OnFailure>,
    /// What becomes of an event that cannot be decoded.
    on_undecodable: Option<fn(&Cursor) -> OnUndecodable>,
}

impl Reducer for Numbers {
    type Event = u64;

    fn name(&self) -> &str {
        "numbers"
    }

    fn partition(&self, _: &u64) -> Partitions {
        "p".into()
    }

    fn reduce(&self, event: &Recorded<u64>, ops: &mut Ops) -> Result<(), ReduceError> {
        if self.failing.contains(&event.data) {
            return Err(ReduceError::new("it fails"));
        }
        if let Some(left) = self.flaky.lock().expect("no panic").get_mut(&event.data)
            && *left > 0
        {
            *left -= 1;
            return Err(ReduceError::new("it fails for now"));
        }
        if self.quiet.contains(&event.data) {
            return Ok(());
        }
        let id = i64::try_from(event.data).expect("a small number");
        ops.change(&ROWS, [id.into()], Change::Insert(Vec::new()))
    }

    fn on_failure(&self, event: &Recorded<u64>, _: &Failure, attempt: u32) -> OnFailure {
        self.on_failure.map_or(OnFailure::Halt, |decide| decide(event.data, attempt))
    }

    fn on_undecodable(&self, event: &Undecodable) -> OnUndecodable {
        self.on_undecodable.map_or(OnUndecodable::Block, |decide| decide(&event.cursor))
    }
}

/// All the events of a slice, for the partition.
fn delivery(number: u64, events: impl IntoIterator<Item = u64>) -> Delivery<u64> {
    delivery_with(number, events, &[])
}

/// The same, of which some cannot be decoded.
fn delivery_with(
    number: u64,
    events: impl IntoIterator<Item = u64>,
    broken: &[u64],
) -> Delivery<u64> {
    let (broken, good): (Vec<_>, Vec<_>) =
        events.into_iter().partition(|event| broken.contains(event));
    let end = good.last().max(broken.last()).map_or(Cursor::Start, |last| (*last).into());
    let recorded = |data: u64| Recorded { cursor: data.into(), time: Default::default(), data };
    let mut slice = Slice::new(good.into_iter().map(recorded).collect(), end, false);
    let undecodable = |event: u64| Undecodable::new(event.into(), "gibberish");
    slice.undecodable = broken.into_iter().map(undecodable).collect();
    let events = slice.entries(&Cursor::Start).map(|entry| entry.index() as u32).collect();
    Delivery { slice: Arc::new(slice), number, events }
}

/// A partition of this reducer that stands at `cursor`.
fn state_at(cursor: impl Into<Cursor>, reducer: Numbers) -> PartitionState<u64> {
    PartitionState::new(engine(reducer), "p".into(), cursor.into(), None)
}

fn engine(reducer: Numbers) -> Box<dyn PartitionEngine<u64>> {
    Box::new(Stateless::new(Arc::new(reducer)))
}

fn next(state: &mut PartitionState<u64>) -> Next {
    state.next(100, Timestamp::default)
}

/// The events that these ops are of.
fn applied(ops: &[Op]) -> Vec<u64> {
    let event = |op: &Op| match op {
        Op::Row(row) => match row.key[0] {
            crate::Value::Integer(id) => id as u64,
            _ => unreachable!("keys are numbers"),
        },
        other => unreachable!("no reducer here emits {other}"),
    };
    ops.iter().map(event).collect()
}

#[track_caller]
fn commit(next: Next) -> (PartitionCommit, Settles) {
    match next {
        Next::Commit(commit, settles) => (commit, settles),
        other => panic!("a commit was expected, not {other:?}"),
    }
}

#[track_caller]
fn settled(next: Next) -> Vec<(u64, usize)> {
    match next {
        Next::Settled(settles) => settles.to_vec(),
        other => panic!("settles were expected, not {other:?}"),
    }
}

fn is_wait(next: Next) -> bool {
    matches!(next, Next::Wait)
}

/// A rejection of the event at `cursor`, with those up to `committed` in the store.
fn rejection(committed: Option<u64>, cursor: u64) -> Rejection {
    let message = "no such account".to_owned();
    let committed = committed.map(Cursor::from);
    Rejection { committed, cursor: cursor.into(), kind: FailureKind::Rejected, message }
}

#[test]
fn events_that_arrive_while_a_commit_is_in_flight_are_reduced_together_afterwards() {
    let mut state = state_at(Cursor::Start, Numbers::default());
    state.deliver(delivery(0, [1, 2]));
    let (first, _) = commit(next(&mut state));
    assert_eq!(applied(&first.ops), [1, 2]);
    state.deliver(delivery(1, [3]));
    state.deliver(delivery(2, [5, 8]));
    assert!(is_wait(next(&mut state)), "a second commit while one is in flight");
    assert_eq!(*state.cursor(), Cursor::Start, "the cursor stands where the store does");
    state.committed();
    assert_eq!(*state.cursor(), Cursor::from(2));
    let (second, settles) = commit(next(&mut state));
    assert_eq!(applied(&second.ops), [3, 5, 8]);
    assert_eq!(second.cursor, Cursor::from(8));
    assert_eq!(settles.to_vec(), [(1, 1), (2, 2)]);
}

#[test]
fn a_batch_is_whole_deliveries_up_to_about_the_limit() {
    let mut state = state_at(Cursor::Start, Numbers::default());
    for (number, events) in [(0, vec![1, 2]), (1, vec![3, 4]), (2, vec![5])] {
        state.deliver(delivery(number, events));
    }
    let (first, settles) = commit(state.next(3, Timestamp::default));
    assert_eq!((applied(&first.ops), settles.len()), (vec![1, 2, 3, 4], 2));
    state.committed();
    let (second, _) = commit(state.next(3, Timestamp::default));
    assert_eq!(applied(&second.ops), [5]);
}

#[test]
fn events_at_or_below_the_cursor_are_dropped_and_settled() {
    let mut state = state_at(5, Numbers::default());
    state.deliver(delivery(0, [3, 5]));
    assert_eq!(settled(next(&mut state)), [(0, 2)]);
    assert_eq!(*state.cursor(), Cursor::from(5), "old events moved the cursor back");
    state.deliver(delivery(1, [4, 5, 6]));
    let (new, settles) = commit(next(&mut state));
    assert_eq!(applied(&new.ops), [6]);
    assert_eq!(settles.to_vec(), [(1, 3)]);
}

#[test]
fn an_event_delivered_twice_before_it_is_reduced_is_reduced_once() {
    let mut state = state_at(Cursor::Start, Numbers::default());
    state.deliver(delivery(0, [1, 2, 3]));
    state.deliver(delivery(1, [2, 3, 4]));
    let (both, settles) = commit(next(&mut state));
    assert_eq!(applied(&both.ops), [1, 2, 3, 4]);
    assert_eq!(settles.to_vec(), [(0, 3), (1, 3)]);
}

#[test]
fn events_that_change_nothing_are_settled_without_a_commit() {
    let mut state = state_at(Cursor::Start, Numbers { quiet: vec![1, 2, 4], ..Default::default() });
    state.deliver(delivery(0, [1, 2]));
    assert_eq!(settled(next(&mut state)), [(0, 2)]);
    assert_eq!(*state.cursor(), Cursor::from(2));
    state.deliver(delivery(1, [3, 4]));
    let (mixed, _) = commit(next(&mut state));
    assert_eq!((mixed.steps.len(), mixed.cursor), (2, Cursor::from(4)));
}

#[test]
fn a_failed_event_halts_behind_the_good_prefix_in_one_commit() {
    let mut state = state_at(Cursor::Start, Numbers { failing: vec![3], ..Default::default() });
    state.deliver(delivery(0, [1, 2, 3, 4]));
    let (prefix, settles) = commit(next(&mut state));
    assert_eq!(applied(&prefix.ops), [1, 2]);
    assert_eq!(prefix.cursor, Cursor::from(2));
    assert_eq!(settles.to_vec(), [(0, 4)], "the failed event and those after it are held");
    let halt = prefix.halt.expect("it halts");
    assert_eq!((halt.cursor, halt.kind, halt.attempts), (3.into(), FailureKind::Reduce, 1));
    assert!(state.halt().is_none(), "it halts only once that is stored");
    state.committed();
    assert_eq!(*state.cursor(), Cursor::from(2));
    assert_eq!(state.halt().map(|halt| &*halt.message), Some("it fails"));
}

#[test]
fn a_first_event_that_fails_halts_without_moving_the_cursor() {
    let mut state = state_at(7, Numbers { failing: vec![8], ..Default::default() });
    state.deliver(delivery(0, [8, 9]));
    let (only_halt, _) = commit(next(&mut state));
    assert!(only_halt.ops.is_empty() && only_halt.steps.is_empty());
    assert_eq!((only_halt.cursor, only_halt.halt.is_some()), (7.into(), true));
}

#[test]
fn later_events_of_a_halted_partition_are_held_and_never_applied() {
    let mut state = state_at(Cursor::Start, Numbers { failing: vec![2], ..Default::default() });
    state.deliver(delivery(0, [1, 2, 3]));
    commit(next(&mut state));
    state.deliver(delivery(1, [4]));
    assert!(is_wait(next(&mut state)));
    state.committed();
    assert_eq!(settled(next(&mut state)), [(1, 1)]);
    state.deliver(delivery(2, [2, 5, 6]));
    assert_eq!(settled(next(&mut state)), [(2, 3)]);
    assert_eq!(*state.cursor(), Cursor::from(1));
    assert!(state.halt().is_some());
}

#[test]
fn a_partition_that_was_stored_as_halted_holds_everything() {
    let failure = crate::Failure {
        cursor: 2.into(),
        kind: FailureKind::Panic,
        message: "long ago".to_owned(),
    };
    let halt = Arc::new(Halt::new(failure, 3, Timestamp::default()));
    let mut state = PartitionState::new(
        engine(Numbers::default()),
        "p".into(),
        1.into(),
        Some(Arc::clone(&halt)),
    );
    state.deliver(delivery(0, [2, 3]));
    assert_eq!(settled(next(&mut state)), [(0, 2)]);
    assert_eq!(state.halt(), Some(&halt));
}

#[test]
fn a_rejected_commit_keeps_its_committed_prefix_and_halts_before_the_rejected_event() {
    let mut state = state_at(Cursor::Start, Numbers { quiet: vec![2], ..Default::default() });
    state.deliver(delivery(0, [1, 2, 4, 5]));
    commit(next(&mut state));
    let (halting, settles) = commit(state.rejected(rejection(Some(2), 4), Timestamp::default));
    assert!(halting.ops.is_empty() && halting.steps.is_empty(), "the prefix is in the store");
    assert_eq!(halting.cursor, Cursor::from(2));
    let halt = halting.halt.expect("it halts");
    assert_eq!((halt.cursor, &*halt.message), (4.into(), "no such account"));
    assert_eq!(settles.to_vec(), [(0, 4)], "settled once the halt is stored");
    assert!(is_wait(next(&mut state)), "the halt is in flight");
    state.committed();
    assert_eq!(*state.cursor(), Cursor::from(2));
    state.deliver(delivery(1, [6]));
    assert_eq!(settled(next(&mut state)), [(1, 1)]);
}

#[test]
fn a_commit_rejected_at_its_first_event_leaves_the_cursor() {
    let mut state = state_at(3, Numbers::default());
    state.deliver(delivery(0, [4, 5]));
    commit(next(&mut state));
    let (halting, _) = commit(state.rejected(rejection(None, 4), Timestamp::default));
    assert_eq!(halting.cursor, Cursor::from(3));
}

#[test]
fn a_rejection_before_the_event_that_failed_is_what_halts() {
    let mut state = state_at(Cursor::Start, Numbers { failing: vec![3], ..Default::default() });
    state.deliver(delivery(0, [1, 2, 3]));
    commit(next(&mut state));
    let (halting, _) = commit(state.rejected(rejection(Some(1), 2), Timestamp::default));
    assert_eq!(halting.halt.map(|halt| halt.cursor), Some(2.into()));
    state.committed();
    assert_eq!(*state.cursor(), Cursor::from(1));
}

#[test]
fn nothing_happens_without_events() {
    let mut state = state_at(Cursor::Start, Numbers::default());
    assert!(is_wait(next(&mut state)));
    state.committed();
    assert!(is_wait(state.rejected(rejection(None, 1), Timestamp::default)));
    assert_eq!(*state.cursor(), Cursor::Start);
}

fn reset(state: &mut PartitionState<u64>) {
    let failure =
        Failure { cursor: 7.into(), kind: FailureKind::State, message: "anew".to_owned() };
    state.reset(Halt::new(failure, 0, Timestamp::default()));
}

#[test]
fn a_reset_waits_for_the_commit_in_flight_and_what_is_buffered_is_held_after_it() {
    let mut state = state_at(Cursor::Start, Numbers::default());
    state.deliver(delivery(0, [1, 2]));
    commit(next(&mut state));
    state.deliver(delivery(1, [3]));
    reset(&mut state);
    assert!(is_wait(next(&mut state)), "a second commit while one is in flight");
    state.committed();
    let (anew, settles) = commit(next(&mut state));
    assert_eq!((anew.repair, anew.cursor.clone()), (Repair::Reset, Cursor::Start));
    assert_eq!(anew.halt.as_ref().map(|halt| &halt.cursor), Some(&Cursor::Start));
    assert_eq!((anew.steps.len(), anew.events()), (1, 0), "a rejection needs a step to be at");
    assert!(settles.is_empty(), "held before it is stored that the partition is halted");
    state.committed();
    assert_eq!(*state.cursor(), Cursor::Start);
    assert_eq!(settled(next(&mut state)), [(1, 1)]);
}

#[test]
fn a_rejected_reset_leaves_everything_as_it_was() {
    let mut state = state_at(2, Numbers::default());
    reset(&mut state);
    commit(next(&mut state));
    state.deliver(delivery(0, [3]));
    assert!(is_wait(state.rejected(rejection(None, 0), Timestamp::default)));
    let (third, _) = commit(next(&mut state));
    assert_eq!((applied(&third.ops), third.repair), (vec![3], Repair::None));
    assert!(state.halt().is_none());
}
