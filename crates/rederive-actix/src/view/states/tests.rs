use super::*;

fn set(states: &mut States<i64>, partition: &str, state: impl Into<Option<i64>>) {
    states.set(&partition.into(), state.into().map(Arc::new));
}

/// All that has not been seen: the newest state of each partition, `None` for those removed.
fn drain(states: &States<i64>, seen: &mut Seen) -> Vec<(String, Option<i64>)> {
    std::iter::from_fn(|| states.next(seen))
        .map(|change| match change {
            ViewChange::State(partition, state) => (partition.to_string(), Some(*state)),
            ViewChange::Removed(partition) => (partition.to_string(), None),
            ViewChange::Missed => ("missed".to_owned(), None),
        })
        .collect()
}

fn told<const N: usize>(changes: [(&str, Option<i64>); N]) -> Vec<(String, Option<i64>)> {
    changes.map(|(partition, state)| (partition.to_owned(), state)).to_vec()
}

#[test]
fn whoever_follows_is_told_the_newest_state_of_each_partition_in_the_order_of_changes() {
    let mut states = States::default();
    set(&mut states, "before", 0);
    let mut seen = states.follow();
    for (partition, state) in [("a", 1), ("b", 1), ("a", 2), ("c", 1), ("a", 3), ("b", 2)] {
        set(&mut states, partition, state);
    }
    let all = told([("c", Some(1)), ("a", Some(3)), ("b", Some(2))]);
    assert_eq!(drain(&states, &mut seen), all);
    assert_eq!(drain(&states, &mut seen), []);
    set(&mut states, "c", 2);
    assert_eq!(drain(&states, &mut seen), told([("c", Some(2))]));
}

#[test]
fn a_removal_is_told_unless_the_state_has_come_again() {
    let mut states = States::default();
    ["a", "b"].into_iter().for_each(|partition| set(&mut states, partition, 1));
    let mut seen = states.follow();
    ["a", "b"].into_iter().for_each(|partition| set(&mut states, partition, None));
    set(&mut states, "b", 2);
    assert_eq!((states.len(), states.get("a"), states.page(None, 9).len()), (1, None, 1));
    assert_eq!(drain(&states, &mut seen), told([("a", None), ("b", Some(2))]));
}

#[test]
fn removals_cost_nothing_when_nobody_follows() {
    let mut states = States::default();
    drop(states.follow());
    for number in 0..1000 {
        set(&mut states, &number.to_string(), 1);
        set(&mut states, &number.to_string(), None);
    }
    assert_eq!((states.entries.len(), states.changed.len(), states.removed.len()), (0, 0, 0));
    let mut seen = states.follow();
    assert_eq!(drain(&states, &mut seen), []);
}

#[test]
fn whoever_is_too_slow_for_all_removals_is_told_so_and_nothing_piles_up() {
    let mut states = States::default();
    let mut slow = states.follow();
    for number in 0..States::<i64>::MOST_REMOVED + 10 {
        set(&mut states, &number.to_string(), 1);
        set(&mut states, &number.to_string(), None);
    }
    assert_eq!(states.entries.len(), States::<i64>::MOST_REMOVED);
    assert_eq!(drain(&states, &mut slow), told([("missed", None)]));
    set(&mut states, "a", 1);
    assert_eq!(drain(&states, &mut slow), told([("a", Some(1))]));
}

#[test]
fn watches_that_ended_do_not_pile_up() {
    let mut states = States::<i64>::default();
    let kept = states.watch("kept".into());
    for number in 0..10_000 {
        drop(states.watch(number.into()));
        assert!(states.watched.len() <= 200);
    }
    set(&mut states, "kept", 5);
    assert_eq!(kept.borrow().as_deref(), Some(&5));
}
