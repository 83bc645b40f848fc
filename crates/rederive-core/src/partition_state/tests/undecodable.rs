//! Events of the partition that cannot be decoded.

use super::*;

fn saying(on_undecodable: fn(&Cursor) -> OnUndecodable) -> Numbers {
    Numbers { on_undecodable: Some(on_undecodable), ..Default::default() }
}

#[test]
fn the_partition_halts_before_it_and_the_good_prefix_is_kept() {
    let mut state = state_at(Cursor::Start, saying(|_| OnUndecodable::Halt("p".into())));
    state.deliver(delivery_with(0, [1, 2, 3, 4], &[3]));
    let (halting, settles) = commit(next(&mut state));
    assert_eq!(applied(&halting.ops), [1, 2]);
    let halt = halting.halt.expect("it halts");
    assert_eq!((&halt.cursor, halt.kind), (&3.into(), FailureKind::Undecodable));
    assert_eq!((&*halt.message, halt.attempts), ("gibberish", 1));
    assert_eq!((halting.cursor, settles.to_vec()), (2.into(), vec![(0, 4)]));
}

#[test]
fn it_is_skipped_alone_and_in_order() {
    let mut state = state_at(Cursor::Start, saying(|_| OnUndecodable::Skip("p".into())));
    state.deliver(delivery_with(0, [1, 2, 3, 4], &[2]));
    let (skipping, settles) = commit(next(&mut state));
    assert_eq!((applied(&skipping.ops), skipping.cursor.clone()), (vec![1], 2.into()));
    let skip = skipping.skip.clone().expect("it is skipped");
    assert_eq!((&skip.cursor, skip.kind), (&2.into(), FailureKind::Undecodable));
    assert_eq!((skip.by, settles.to_vec()), (SkippedBy::Policy, vec![(0, 2)]));
    state.committed();
    assert_eq!(state.take_skipped(), [skip]);
    let (rest, settles) = commit(next(&mut state));
    assert_eq!((applied(&rest.ops), settles.to_vec()), (vec![3, 4], vec![(0, 2)]));
}

#[test]
fn a_policy_that_panics_halts() {
    let mut state = state_at(Cursor::Start, saying(|_| panic!("no idea")));
    state.deliver(delivery_with(0, [1], &[1]));
    let (halting, _) = commit(next(&mut state));
    assert_eq!(halting.halt.map(|halt| halt.kind), Some(FailureKind::Undecodable));
}

#[test]
fn an_operator_has_it_skipped() {
    let halting = || saying(|_| OnUndecodable::Halt("p".into()));
    let mut state = state_at(Cursor::Start, halting());
    state.deliver(delivery_with(0, [1, 2], &[1]));
    let (commit_of_halt, _) = commit(next(&mut state));
    let halt = Arc::new(commit_of_halt.halt.expect("it halts"));
    let skip = Arc::new(Skip::of_halt(&halt, Timestamp::default()));
    let (engine, start) = (engine(halting()), Cursor::Start);
    let mut repair = PartitionState::repair(engine, "p".into(), start, halt, Some(skip.clone()));
    repair.deliver(delivery_with(0, [1, 2], &[1]));
    let (skipping, _) = commit(next(&mut repair));
    assert_eq!((skipping.skip, skipping.cursor), (Some(skip), 1.into()));
    repair.committed();
    let (rest, _) = commit(next(&mut repair));
    assert_eq!(applied(&rest.ops), [2]);
}

#[test]
fn a_repair_that_meets_it_again_halts_and_counts_the_attempt() {
    let mut state = state_at(Cursor::Start, saying(|_| OnUndecodable::Halt("p".into())));
    state.deliver(delivery_with(0, [1], &[1]));
    let (first, _) = commit(next(&mut state));
    let halt = Arc::new(first.halt.expect("it halts"));
    let engine = engine(saying(|_| OnUndecodable::Halt("p".into())));
    let mut repair = PartitionState::repair(engine, "p".into(), Cursor::Start, halt, None);
    repair.deliver(delivery_with(0, [1], &[1]));
    let (again, _) = commit(next(&mut repair));
    assert_eq!(again.halt.map(|halt| halt.attempts), Some(2));
}
