use rederive_core::{Ops, Partitions, Recorded, ReduceError, Reducer, Stateless, Timestamp};

use super::*;

/// Events are (partition, what to do).
type Event = (&'static str, &'static str);

struct Scripted;

impl Reducer for Scripted {
    type Event = Event;

    fn name(&self) -> &str {
        "scripted"
    }

    fn partition(&self, event: &Event) -> Partitions {
        event.0.into()
    }

    fn reduce(&self, event: &Recorded<Event>, ops: &mut Ops) -> Result<(), ReduceError> {
        match event.data.1 {
            "fail" => Err(ReduceError::new("it was told to")),
            "panic" => panic!("it was told to"),
            "nothing" => Ok(()),
            what => ops.effect(what),
        }
    }
}

fn engine() -> Stateless<Event> {
    Stateless::new(Arc::new(Scripted))
}

/// A slice whose events follow each other from this cursor on.
fn slice(from: u64, events: &[Event]) -> Arc<Slice<Event>> {
    let recorded = |(cursor, data): (u64, &Event)| Recorded {
        cursor: Cursor::from(cursor),
        time: Timestamp::default(),
        data: *data,
    };
    let events: Vec<_> = (from..).zip(events).map(recorded).collect();
    let end = events.last().map_or(Cursor::Start, |last| last.cursor.clone());
    Arc::new(Slice::new(events, end, false))
}

/// All events of the slices, numbered from 0.
fn gathered(slices: &[&[Event]]) -> Gathering<Event> {
    let (mut gathering, mut from) = (Gathering::default(), 1);
    for (number, events) in (0..).zip(slices) {
        let slice = slice(from, events);
        for (index, (partition, _)) in (0..).zip(*events) {
            gathering.push(PartitionId::from(*partition), number, &slice, index);
        }
        from += events.len() as u64;
    }
    gathering
}

fn reduced(gathering: &mut Gathering<Event>) {
    while !gathering.reduce(&engine(), 1000, 1) {}
}

fn committed(gathering: &Gathering<Event>) -> Vec<(&str, usize, Cursor)> {
    let all = gathering.committing();
    all.map(|(partition, events, last)| (partition.as_str(), events, last.clone())).collect()
}

#[test]
fn each_partition_has_one_commit_of_its_events_in_the_order_of_the_log() {
    let mut all = gathered(&[&[("a", "1"), ("b", "2")], &[("a", "3")]]);
    reduced(&mut all);
    assert_eq!(committed(&all), [("a", 2, Cursor::from(3)), ("b", 1, Cursor::from(2))]);
    let commits = all.take_commits();
    let cursors = commits.iter().map(|commit| {
        let steps: Vec<_> = commit
            .steps
            .iter()
            .map(|step| (step.first().clone(), step.cursor.clone(), step.events()))
            .collect();
        (commit.partition.as_str(), steps, commit.ops.len())
    });
    let expected =
        [("a", vec![(1.into(), 3.into(), 2)], 2), ("b", vec![(2.into(), 2.into(), 1)], 1)];
    assert_eq!(cursors.collect::<Vec<_>>(), expected);
    assert_eq!(all.settles().as_slice(), [(0, 2), (1, 1)]);
}

#[test]
fn events_without_ops_are_settled_with_the_others() {
    let mut all = gathered(&[&[("a", "nothing"), ("b", "1")]]);
    reduced(&mut all);
    assert_eq!(committed(&all), [("b", 1, Cursor::from(2))]);
    assert_eq!(all.settles().as_slice(), [(0, 2)]);
    assert!(all.take_trouble().is_empty());
}

#[test]
fn a_partition_with_a_failure_is_taken_out_whole() {
    for trouble in ["fail", "panic"] {
        let mut all = gathered(&[&[("a", "1"), ("b", "2"), ("a", trouble)], &[("a", "3")]]);
        reduced(&mut all);
        assert_eq!(all.take_trouble(), [PartitionId::from("a")]);
        let out = all.take_out(&PartitionId::from("a"));
        let out: Vec<_> =
            out.iter().map(|(number, _, events)| (*number, events.to_vec())).collect();
        assert_eq!(out, [(0, vec![0, 2]), (1, vec![0])]);
        assert_eq!(all.settles().as_slice(), [(0, 1)]);
        assert_eq!(committed(&all), [("b", 1, Cursor::from(2))]);
        assert_eq!(all.take_commits().len(), 1);
    }
}

#[test]
fn a_partition_that_is_taken_out_before_its_trouble_is_dealt_with_is_no_trouble_any_more() {
    let mut all = gathered(&[&[("a", "fail"), ("b", "fail"), ("c", "3")]]);
    reduced(&mut all);
    // As when the store has rejected what came before.
    assert_eq!(all.take_out(&PartitionId::from("a")).len(), 1);
    assert_eq!(all.take_trouble(), [PartitionId::from("b")]);
}

#[test]
fn what_is_taken_out_after_it_was_reduced_has_no_commit() {
    let mut all = gathered(&[&[("a", "1"), ("b", "2"), ("c", "3")]]);
    reduced(&mut all);
    assert_eq!(all.take_out(&PartitionId::from("b")).len(), 1);
    assert!(all.take_out(&PartitionId::from("b")).is_empty());
    assert_eq!(committed(&all), [("a", 1, Cursor::from(1)), ("c", 1, Cursor::from(3))]);
    let commits = all.take_commits();
    let left: Vec<_> = commits.iter().map(|commit| commit.partition.as_str()).collect();
    assert_eq!(left, ["a", "c"]);
    assert!(!all.holds(&PartitionId::from("b"), None));
}

#[test]
fn more_events_of_a_partition_than_a_batch_are_for_its_own_state_machine() {
    let mut all = gathered(&[&[("a", "1"), ("a", "2"), ("a", "3"), ("b", "4")]]);
    while !all.reduce(&engine(), 2, 1) {}
    assert_eq!(all.take_trouble(), [PartitionId::from("a")]);
    assert_eq!(committed(&all), [("b", 1, Cursor::from(4))]);
}

#[test]
fn it_is_known_from_which_event_on_a_partition_is_in_it() {
    let all = gathered(&[&[("a", "1"), ("b", "2"), ("b", "3")]]);
    let b = PartitionId::from("b");
    assert!(
        all.holds(&b, None) && all.holds(&b, Some(&2.into())) && all.holds(&b, Some(&9.into()))
    );
    assert!(!all.holds(&b, Some(&1.into())));
    assert!(!all.holds(&PartitionId::from("c"), None));
    assert_eq!((all.partitions(), all.events()), (2, 3));
}
