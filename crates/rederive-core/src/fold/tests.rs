//! Events are added to a list; some of them make trouble.

mod property;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::*;
use crate::{Change, Cursor, Engine, FailureKind, Op, PartitionEngine, Reduction, RowOp, Value};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    Add,
    /// Fails after it has changed the state.
    Fail,
    /// Panics after it has changed the state.
    Panic,
    /// Leads to a state that is no JSON.
    Spoil,
    /// The state is removed.
    Close,
}

/// The cursors of the events that were added.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct List {
    seen: Vec<u64>,
    /// Not empty: JSON has no such keys.
    spoilt: BTreeMap<(u8, u8), u8>,
    closed: bool,
}

#[derive(Default)]
struct Lists {
    /// Whether an event that fails is skipped.
    skips: bool,
}

impl Fold for Lists {
    type Event = Event;
    type State = List;

    fn name(&self) -> &str {
        "lists"
    }

    fn partition(&self, _: &Event) -> Partitions {
        "p".into()
    }

    fn fold(
        &self,
        list: &mut List,
        event: &Recorded<Event>,
        partition: &PartitionId,
    ) -> Result<(), ReduceError> {
        assert_eq!(partition.as_str(), "p");
        let Cursor::Integer(cursor) = event.cursor else { unreachable!("cursors are numbers") };
        list.seen.push(cursor);
        match event.data {
            Event::Add => {}
            Event::Fail => return Err(ReduceError::new("it fails")),
            Event::Panic => panic!("it panics"),
            Event::Spoil => drop(list.spoilt.insert((0, 0), 0)),
            Event::Close => list.closed = true,
        }
        Ok(())
    }

    fn on_failure(&self, _: &Recorded<Event>, _: &Failure, _: u32) -> OnFailure {
        if self.skips { OnFailure::Skip } else { OnFailure::Halt }
    }

    fn is_removed(&self, list: &List) -> bool {
        list.closed
    }
}

fn engine() -> Box<dyn PartitionEngine<Event>> {
    Folded::new(Lists::default()).start(&"p".into(), &Cursor::Start, true)
}

/// Events with cursors from `first` on.
fn recorded(first: u64, events: &[Event]) -> Vec<Recorded<Event>> {
    let event = |(cursor, data): (u64, &Event)| Recorded {
        cursor: cursor.into(),
        time: Default::default(),
        data: *data,
    };
    (first..).zip(events).map(event).collect()
}

fn reduce(engine: &mut Box<dyn PartitionEngine<Event>>, first: u64, events: &[Event]) -> Reduction {
    let events = recorded(first, events);
    engine.reduce(&"p".into(), &events.iter().collect::<Vec<_>>())
}

/// What these ops store: `None` when they store nothing, and within when they remove the state.
fn stored(ops: &[Op]) -> Option<Option<Vec<u64>>> {
    let [Op::Row(RowOp { change, .. })] = ops else {
        assert!(ops.is_empty(), "more than one op");
        return None;
    };
    Some(match change {
        Change::Delete => None,
        Change::Upsert(row) => match &row[1].1 {
            Value::Text(json) => Some(serde_json::from_str::<List>(json).expect("JSON").seen),
            other => unreachable!("{other} is no text"),
        },
        other => unreachable!("{other:?}"),
    })
}

/// The events of each step.
fn steps(reduction: &Reduction) -> Vec<(Cursor, Cursor, usize, usize)> {
    let step = |step: &crate::Step| {
        (step.first().clone(), step.cursor.clone(), step.events(), step.ops_end)
    };
    reduction.steps.iter().map(step).collect()
}

#[test]
fn a_batch_is_folded_into_one_step_that_stores_the_last_state() {
    let mut engine = engine();
    let first = reduce(&mut engine, 1, &[Event::Add; 3]);
    assert_eq!(steps(&first), [(1.into(), 3.into(), 3, 1)]);
    assert_eq!(stored(&first.ops), Some(Some(vec![1, 2, 3])));
    engine.committed();
    let second = reduce(&mut engine, 4, &[Event::Add]);
    assert_eq!(steps(&second), [(4.into(), 4.into(), 1, 1)]);
    assert_eq!(stored(&second.ops), Some(Some(vec![1, 2, 3, 4])));
}

#[test]
fn an_event_that_fails_leaves_nothing_behind_and_the_events_before_it_are_kept() {
    for (bad, kind) in [(Event::Fail, FailureKind::Reduce), (Event::Panic, FailureKind::Panic)] {
        let mut engine = engine();
        let reduction = reduce(&mut engine, 1, &[Event::Add, Event::Add, bad, Event::Add]);
        assert_eq!(stored(&reduction.ops), Some(Some(vec![1, 2])));
        assert_eq!(steps(&reduction), [(1.into(), 2.into(), 2, 1)]);
        let failure = reduction.failure.expect("it failed");
        assert_eq!((failure.cursor, failure.kind), (3.into(), kind));
        engine.committed();
        assert_eq!(stored(&reduce(&mut engine, 4, &[Event::Add]).ops), Some(Some(vec![1, 2, 4])));
    }
}

#[test]
fn a_first_event_that_fails_stores_nothing() {
    for bad in [Event::Fail, Event::Panic, Event::Spoil] {
        let mut engine = engine();
        let reduction = reduce(&mut engine, 1, &[bad, Event::Add]);
        assert!(reduction.ops.is_empty() && reduction.steps.is_empty());
        assert!(reduction.failure.is_some());
        engine.committed();
        assert_eq!(stored(&reduce(&mut engine, 2, &[Event::Add]).ops), Some(Some(vec![2])));
    }
}

#[test]
fn what_was_rejected_is_folded_again_from_the_state_before() {
    let mut engine = engine();
    reduce(&mut engine, 1, &[Event::Add]);
    engine.committed();
    for upto in [4, 2, 3] {
        let again = reduce(&mut engine, 2, &vec![Event::Add; upto]);
        let expected: Vec<u64> = (1..=upto as u64 + 1).collect();
        assert_eq!(stored(&again.ops), Some(Some(expected)));
        engine.rejected();
    }
}

#[test]
fn a_state_that_cannot_be_stored_fails_at_the_event_that_led_to_it() {
    let mut engine = engine();
    let events = [Event::Add, Event::Add, Event::Spoil, Event::Add, Event::Add];
    let reduction = reduce(&mut engine, 1, &events);
    assert_eq!(stored(&reduction.ops), Some(Some(vec![1, 2])));
    let failure = reduction.failure.expect("it failed");
    assert_eq!(failure.cursor, 3.into());
    assert!(failure.message.contains("key must be a string"), "{}", failure.message);
}

#[test]
fn a_state_that_is_removed_begins_anew_whatever_the_batches() {
    use Event::{Add, Close};
    let mut engine = engine();
    assert_eq!(stored(&reduce(&mut engine, 1, &[Close]).ops), None, "there was none");
    engine.committed();
    let both = reduce(&mut engine, 1, &[Add, Close]);
    assert_eq!(stored(&both.ops), Some(None), "nothing may come to stand between them");
    engine.committed();
    let come_again = reduce(&mut engine, 2, &[Add, Close, Add]);
    assert_eq!(stored(&come_again.ops), Some(Some(vec![4])));
    engine.committed();
    assert_eq!(stored(&reduce(&mut engine, 5, &[Add, Close]).ops), Some(None));
    engine.committed();
    assert_eq!(stored(&reduce(&mut engine, 7, &[Add]).ops), Some(Some(vec![7])));
}

fn loaded(cursor: u64, json: &str) -> Box<dyn PartitionEngine<Event>> {
    let mut engine = Folded::new(Lists { skips: true }).start(&"p".into(), &10.into(), false);
    let wanted = engine.wanted().expect("a state may be stored");
    assert_eq!(wanted.table, &STATES);
    let cursor = Cursor::from(cursor).encode();
    engine.load(Some(["lists", "p", &cursor, json].map(Value::from).to_vec()));
    assert_eq!(engine.wanted(), None);
    engine
}

#[test]
fn a_state_that_cannot_be_used_halts_whatever_the_policy_for_events() {
    let mut engine = loaded(9, "{}");
    let event = recorded(12, &[Event::Add]).remove(0);
    let failure = reduce(&mut engine, 12, &[Event::Add]).failure.expect("it failed");
    assert_eq!(engine.on_failure(&event, &failure, 1), Ok(OnFailure::Halt));
    let failure = Failure { kind: FailureKind::Reduce, ..failure };
    assert_eq!(engine.on_failure(&event, &failure, 1), Ok(OnFailure::Skip));
}

#[test]
fn a_stored_state_is_gone_on_from() {
    let mut engine = loaded(9, r#"{"seen":[7,9],"spoilt":{},"closed":false}"#);
    assert_eq!(stored(&reduce(&mut engine, 11, &[Event::Add]).ops), Some(Some(vec![7, 9, 11])));
}

#[test]
fn a_stored_state_that_cannot_be_used_fails_at_the_next_event() {
    let not_a_list = r#"{"seen":7}"#;
    let good = r#"{"seen":[],"spoilt":{},"closed":false}"#;
    for (cursor, json, said) in [(9, not_a_list, "invalid type"), (11, good, "stands at 10")] {
        let reduction = reduce(&mut loaded(cursor, json), 12, &[Event::Add, Event::Add]);
        assert!(reduction.ops.is_empty() && reduction.steps.is_empty());
        let failure = reduction.failure.expect("it failed");
        assert_eq!((&failure.cursor, failure.kind), (&12.into(), FailureKind::State));
        for said in [said, "rederive_states", "'lists', 'p'"] {
            assert!(failure.message.contains(said), "{}", failure.message);
        }
    }
}
