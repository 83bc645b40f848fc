use std::cell::RefCell;

use super::*;
use crate::{Change, ColumnKind, Partitions, ReduceError, Table};

static ROWS: Table = Table::new("rows", &[("id", ColumnKind::BigInt)], &[0]);

/// Emits two ops for each event and then does what the event says.
struct Obedient;

#[derive(Clone, Copy)]
enum Event {
    Good,
    Quiet,
    Fails,
    Panics,
    /// Panics with a payload that is no text.
    PanicsOddly,
    /// Asks for an op that does not fit its table, and passes the error on.
    Misfits,
}

impl Reducer for Obedient {
    type Event = Event;

    fn name(&self) -> &str {
        "obedient"
    }

    fn partition(&self, _: &Event) -> Partitions {
        Partitions::None
    }

    fn reduce(&self, event: &Recorded<Event>, ops: &mut Ops) -> Result<(), ReduceError> {
        if let Event::Quiet = event.data {
            return Ok(());
        }
        let Cursor::Integer(number) = event.cursor else { unreachable!("cursors are numbers") };
        let id = i64::try_from(number).expect("a small number");
        ops.change(&ROWS, [id.into()], Change::InsertNew(Vec::new()))?;
        ops.change(&ROWS, [(-id).into()], Change::Delete)?;
        match event.data {
            Event::Good | Event::Quiet => Ok(()),
            Event::Fails => Err(ReduceError::new("it fails")),
            Event::Panics => panic!("it panics at {id}"),
            Event::PanicsOddly => std::panic::panic_any(42),
            Event::Misfits => ops.change(&ROWS, [], Change::Delete),
        }
    }
}

fn recorded(events: &[Event]) -> Vec<Recorded<Event>> {
    let number = |(index, data): (usize, &Event)| Recorded {
        cursor: Cursor::from(index as u64 + 1),
        time: Default::default(),
        data: *data,
    };
    events.iter().enumerate().map(number).collect()
}

fn reduced(events: &[Event]) -> Reduction {
    reduce(&Obedient, &"p".into(), &recorded(events))
}

/// The steps as (cursor, end of its ops).
fn steps(reduction: &Reduction) -> Vec<(Cursor, usize)> {
    reduction.steps.iter().map(|step| (step.cursor.clone(), step.ops_end)).collect()
}

#[test]
fn each_event_has_a_step_and_its_ops_in_order() {
    let reduction = reduced(&[Event::Good, Event::Quiet, Event::Good]);
    assert_eq!(steps(&reduction), [(1.into(), 2), (2.into(), 2), (3.into(), 4)]);
    assert!(reduction.failure.is_none());
    let keys: Vec<_> = reduction.ops.iter().map(|op| format!("{op:?}")).collect();
    assert_eq!(keys.len(), 4);
    for (key, id) in keys.iter().zip([1, -1, 3, -3]) {
        assert!(key.contains(&format!("Integer({id})")), "{key}");
    }
}

#[test]
fn the_good_prefix_is_kept_when_an_event_fails_and_its_own_ops_are_dropped() {
    let cases = [
        (Event::Fails, FailureKind::Reduce, "it fails"),
        (Event::Panics, FailureKind::Panic, "it panics at 3"),
        (Event::PanicsOddly, FailureKind::Panic, "a panic whose payload is not text"),
        (Event::Misfits, FailureKind::Reduce, "the key of table rows has 1 columns"),
    ];
    for (bad, kind, said) in cases {
        let reduction = reduced(&[Event::Good, Event::Quiet, bad, Event::Good]);
        assert_eq!(steps(&reduction), [(1.into(), 2), (2.into(), 2)]);
        assert_eq!(reduction.ops.len(), 2);
        let failure = reduction.failure.expect("it failed");
        assert_eq!((failure.cursor, failure.kind), (3.into(), kind));
        assert!(failure.message.starts_with(said), "{}", failure.message);
    }
}

#[test]
fn nothing_after_a_failed_event_is_looked_at() {
    let looked_at = RefCell::new(Vec::new());
    let events = recorded(&[Event::Good, Event::Fails, Event::Good]);
    let watched = events.iter().inspect(|event| looked_at.borrow_mut().push(&event.cursor));
    reduce(&Obedient, &"p".into(), watched);
    assert_eq!(looked_at.into_inner(), [&Cursor::from(1), &Cursor::from(2)]);
}

#[test]
fn the_first_event_may_fail() {
    let reduction = reduced(&[Event::Panics, Event::Good]);
    assert!(reduction.ops.is_empty() && reduction.steps.is_empty());
    assert_eq!(reduction.failure.map(|failure| failure.cursor), Some(1.into()));
}

#[test]
fn no_events_reduce_to_nothing() {
    let reduction = reduced(&[]);
    assert!(reduction.ops.is_empty() && reduction.steps.is_empty());
    assert!(reduction.failure.is_none());
}

#[test]
fn a_reducer_sees_for_which_partition_it_reduces() {
    struct Named;
    impl Reducer for Named {
        type Event = Event;
        fn name(&self) -> &str {
            "named"
        }
        fn partition(&self, _: &Event) -> Partitions {
            Partitions::of(["left", "right"])
        }
        fn reduce(&self, _: &Recorded<Event>, ops: &mut Ops) -> Result<(), ReduceError> {
            Err(ReduceError::new(ops.partition()))
        }
    }
    for partition in ["left", "right", ""] {
        let events = recorded(&[Event::Good]);
        let reduction = reduce(&Named, &partition.into(), &events);
        assert_eq!(reduction.failure.map(|failure| failure.message), Some(partition.to_owned()));
    }
}
