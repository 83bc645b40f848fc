//! What `Reducer::on_failure` decides.

use super::*;

fn retry_then(attempt: u32, retries: u32, then: OnFailure) -> OnFailure {
    OnFailure::retry(attempt, retries).unwrap_or(then)
}

fn failing_at(event: u64, on_failure: fn(u64, u32) -> OnFailure) -> Numbers {
    Numbers { failing: vec![event], on_failure: Some(on_failure), ..Default::default() }
}

#[test]
fn an_event_that_is_tried_again_is_held_back_with_those_behind_it() {
    let reducer = Numbers {
        flaky: Arc::new(Mutex::new([(2, 1)].into())),
        on_failure: Some(|_, attempt| retry_then(attempt, 3, OnFailure::Halt)),
        ..Default::default()
    };
    let mut state = state_at(Cursor::Start, reducer);
    state.deliver(delivery(0, [1, 2, 3]));
    let (prefix, settles) = commit(next(&mut state));
    assert_eq!((applied(&prefix.ops), prefix.halt), (vec![1], None));
    assert_eq!(settles.to_vec(), [(0, 1)], "only what is committed");
    let backoff = state.take_backoff().expect("a pause begins");
    assert_eq!((backoff.failure.cursor, backoff.attempts), (2.into(), 1));
    assert_eq!(state.take_backoff(), None, "told once");
    state.committed();
    state.deliver(delivery(1, [4]));
    assert!(is_wait(next(&mut state)), "the pause is not over");
    state.resume(state.pauses);
    let (rest, settles) = commit(next(&mut state));
    assert_eq!(applied(&rest.ops), [2, 3, 4]);
    assert_eq!(settles.to_vec(), [(0, 2), (1, 1)]);
}

#[test]
fn an_event_that_was_tried_often_enough_halts_and_tells_how_often() {
    let reducer = failing_at(1, |_, attempt| retry_then(attempt, 2, OnFailure::Halt));
    let mut state = state_at(Cursor::Start, reducer);
    state.deliver(delivery(0, [1, 2]));
    for attempt in 1..=2 {
        assert!(is_wait(next(&mut state)));
        assert_eq!(state.take_backoff().map(|backoff| backoff.attempts), Some(attempt));
        state.resume(state.pauses);
    }
    let (halting, settles) = commit(next(&mut state));
    assert_eq!(halting.halt.map(|halt| halt.attempts), Some(3));
    assert_eq!(settles.to_vec(), [(0, 2)]);
}

#[test]
fn a_quiet_prefix_is_settled_when_the_next_event_is_to_be_tried_again() {
    let reducer =
        Numbers { quiet: vec![1], ..failing_at(2, |_, _| OnFailure::Retry(Duration::ZERO)) };
    let mut state = state_at(Cursor::Start, reducer);
    state.deliver(delivery(0, [1, 2]));
    assert_eq!(settled(next(&mut state)), [(0, 1)]);
    assert_eq!(*state.cursor(), Cursor::from(1));
}

#[test]
fn a_skipped_event_is_recorded_in_the_commit_that_passes_it() {
    let reducer = failing_at(2, |_, _| OnFailure::Skip);
    let mut state = state_at(Cursor::Start, reducer);
    state.deliver(delivery(0, [1, 2, 3]));
    let (passing, settles) = commit(next(&mut state));
    assert_eq!((applied(&passing.ops), passing.cursor), (vec![1], 2.into()));
    let ends: Vec<_> = passing.steps.iter().map(|step| step.ops_end).collect();
    assert_eq!(ends, [1, 1], "a skipped event is a step without ops");
    let skip = passing.skip.expect("it is skipped");
    assert_eq!((&skip.cursor, skip.by), (&2.into(), SkippedBy::Policy));
    assert_eq!(settles.to_vec(), [(0, 2)]);
    assert_eq!(state.take_skipped(), [], "not before it is stored");
    state.committed();
    assert_eq!(state.take_skipped(), [skip]);
    let (rest, settles) = commit(next(&mut state));
    assert_eq!((applied(&rest.ops), settles.to_vec()), (vec![3], vec![(0, 1)]));
}

#[test]
fn a_rejected_event_is_tried_again_with_those_behind_it() {
    let decide = |_, attempt| retry_then(attempt, 1, OnFailure::Halt);
    let reducer = Numbers { on_failure: Some(decide), ..Default::default() };
    let mut state = state_at(Cursor::Start, reducer);
    state.deliver(delivery(0, [1, 2, 3]));
    commit(next(&mut state));
    assert!(is_wait(state.rejected(rejection(Some(1), 2), Timestamp::default)));
    assert_eq!(
        state.take_backoff().map(|backoff| backoff.failure.kind),
        Some(FailureKind::Rejected)
    );
    state.resume(state.pauses);
    let (again, settles) = commit(next(&mut state));
    assert_eq!(applied(&again.ops), [2, 3]);
    assert_eq!(settles.to_vec(), [(0, 3)], "nothing of it had been settled");
    let (halting, _) = commit(state.rejected(rejection(None, 2), Timestamp::default));
    assert_eq!(halting.halt.map(|halt| halt.attempts), Some(2));
}

#[test]
fn a_rejected_event_that_is_skipped_is_passed_without_its_ops() {
    let reducer = Numbers { on_failure: Some(|_, _| OnFailure::Skip), ..Default::default() };
    let mut state = state_at(Cursor::Start, reducer);
    state.deliver(delivery(0, [1, 2, 3]));
    commit(next(&mut state));
    assert!(is_wait(state.rejected(rejection(Some(1), 2), Timestamp::default)));
    let (passing, settles) = commit(next(&mut state));
    assert_eq!((applied(&passing.ops), passing.cursor), (vec![], 2.into()));
    assert_eq!(passing.skip.map(|skip| skip.cursor.clone()), Some(2.into()));
    assert_eq!(settles.to_vec(), [(0, 2)]);
    state.committed();
    assert_eq!(applied(&commit(next(&mut state)).0.ops), [3]);
}

#[test]
fn a_skip_that_the_store_rejects_halts_rather_than_being_tried_for_ever() {
    let reducer = failing_at(2, |_, _| OnFailure::Skip);
    let mut state = state_at(Cursor::Start, reducer);
    state.deliver(delivery(0, [1, 2]));
    commit(next(&mut state));
    let next = state.rejected(rejection(Some(1), 2), Timestamp::default);
    assert_eq!(commit(next).0.halt.map(|halt| halt.cursor), Some(2.into()));
}

#[test]
fn a_skip_behind_a_rejected_event_is_not_told() {
    let decide = |event, _| if event == 3 { OnFailure::Halt } else { OnFailure::Skip };
    let reducer = Numbers { failing: vec![4], on_failure: Some(decide), ..Default::default() };
    let mut state = state_at(Cursor::Start, reducer);
    state.deliver(delivery(0, [2, 3, 4]));
    assert!(commit(next(&mut state)).0.skip.is_some());
    commit(state.rejected(rejection(Some(2), 3), Timestamp::default));
    state.committed();
    assert_eq!(state.take_skipped(), []);
}

#[test]
fn a_policy_that_panics_halts_the_partition_and_says_so() {
    let reducer = failing_at(1, |_, _| panic!("no idea"));
    let mut state = state_at(Cursor::Start, reducer);
    state.deliver(delivery(0, [1]));
    let (halting, _) = commit(next(&mut state));
    let halt = halting.halt.expect("it halts");
    assert_eq!(halt.message, "it fails; on_failure panicked: no idea");
}

#[test]
fn an_operator_skips_the_event_that_halted_the_partition_without_it_being_reduced() {
    let reducer = Numbers { failing: vec![2], ..Default::default() };
    let failure = Failure { cursor: 2.into(), kind: FailureKind::Panic, message: "bad".to_owned() };
    let halt = Arc::new(Halt::new(failure, 3, Timestamp::default()));
    let skip = Arc::new(Skip::of_halt(&halt, Timestamp::default()));
    let mut state = PartitionState::repair(
        engine(reducer),
        "p".into(),
        1.into(),
        halt,
        Some(Arc::clone(&skip)),
    );
    state.deliver(delivery(0, [2, 3]));
    let (passing, _) = commit(next(&mut state));
    assert_eq!((applied(&passing.ops), passing.repair), (vec![], Repair::Going));
    assert_eq!(passing.skip, Some(skip));
    state.committed();
    assert_eq!(applied(&commit(next(&mut state)).0.ops), [3]);
    state.committed();
    let (recovered, _) = commit(state.recover());
    assert_eq!((recovered.cursor, recovered.halt), (3.into(), None));
}

#[test]
fn attempts_go_on_being_counted_when_a_halted_event_is_retried() {
    let reducer = failing_at(2, |_, attempt| retry_then(attempt, 3, OnFailure::Halt));
    let failure =
        Failure { cursor: 2.into(), kind: FailureKind::Reduce, message: "bad".to_owned() };
    let halt = Arc::new(Halt::new(failure, 4, Timestamp::default()));
    let mut state = PartitionState::repair(engine(reducer), "p".into(), 1.into(), halt, None);
    state.deliver(delivery(0, [2]));
    let (halting, _) = commit(next(&mut state));
    assert_eq!(halting.halt.map(|halt| halt.attempts), Some(5));
}

#[test]
fn attempts_at_two_events_that_fail_in_turn_are_counted_for_each() {
    let decide = |_, attempt| retry_then(attempt, 2, OnFailure::Halt);
    let reducer = failing_at(3, decide);
    let mut state = state_at(Cursor::Start, reducer);
    state.deliver(delivery(0, [2, 3]));
    for attempt in 1..=2 {
        commit(next(&mut state));
        let rejected = state.rejected(rejection(None, 2), Timestamp::default);
        assert!(is_wait(rejected));
        assert_eq!(state.take_backoff().map(|backoff| backoff.attempts), Some(attempt));
        state.resume(state.pauses);
    }
    commit(next(&mut state));
    let rejected = state.rejected(rejection(None, 2), Timestamp::default);
    assert_eq!(commit(rejected).0.halt.map(|halt| halt.cursor), Some(2.into()));
}

#[test]
fn the_end_of_an_earlier_pause_does_not_end_a_later_one() {
    let reducer = failing_at(1, |_, _| OnFailure::Retry(Duration::ZERO));
    let mut state = state_at(Cursor::Start, reducer);
    state.deliver(delivery(0, [1]));
    assert!(is_wait(next(&mut state)));
    let first = state.take_backoff().expect("a pause").number;
    state.resume(first);
    assert!(is_wait(next(&mut state)));
    let second = state.take_backoff().expect("another pause").number;
    state.resume(first);
    assert!(is_wait(next(&mut state)) && state.take_backoff().is_none(), "it went on");
    state.resume(second);
    assert!(is_wait(next(&mut state)) && state.take_backoff().is_some());
}
