//! Each property passes with a reducer that keeps it and fails with one that does not, and says why.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicI64, Ordering},
    time::SystemTime,
};

use rederive_core::{
    Change, ColumnKind, Ops, Partitions, Recorded, ReduceError, Reducer, Table, Timestamp, Value,
    error::panic_message,
};

use super::*;

static TOTALS: Table = Table::new(
    "totals",
    &[("id", ColumnKind::Text), ("sum", ColumnKind::BigInt), ("last", ColumnKind::BigInt)],
    &[0],
);

/// An account, and what is added to it; negative for an event that fails.
type Event = (&'static str, i64);

const EVENTS: [Event; 14] = [
    ("a", 1),
    ("b", 2),
    ("a", 3),
    ("c", 4),
    ("b", 5),
    ("c", -1),
    ("a", 6),
    ("", 0),
    ("c", 7),
    ("b", 8),
    ("a", 9),
    ("b", 10),
    ("a", 11),
    ("b", 12),
];

/// What is wrong with a reducer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Nothing,
    ReadsTheClock,
    /// All partitions write to one row.
    SharesARow,
    /// It counts what it has seen.
    Remembers,
    /// Its partitions are not those of the row.
    SpreadsARow,
}

struct Totals {
    fault: Fault,
    seen: AtomicI64,
}

impl Totals {
    fn with(fault: Fault) -> Self {
        Self { fault, seen: AtomicI64::new(0) }
    }
}

impl Reducer for Totals {
    type Event = Event;

    fn name(&self) -> &str {
        "totals"
    }

    fn partition(&self, (id, amount): &Event) -> Partitions {
        match *id {
            "" => Partitions::None,
            _ if self.fault == Fault::SpreadsARow => {
                Partitions::of([format!("{id}{}", amount % 2)])
            }
            id => id.into(),
        }
    }

    fn reduce(&self, event: &Recorded<Event>, ops: &mut Ops) -> Result<(), ReduceError> {
        let (id, amount) = event.data;
        if amount < 0 {
            return Err(ReduceError::new("a negative amount"));
        }
        let key = || [Value::from(if self.fault == Fault::SharesARow { "all" } else { id })];
        let last = match self.fault {
            Fault::ReadsTheClock => Timestamp::from(SystemTime::now()).as_micros(),
            Fault::Remembers => self.seen.fetch_add(1, Ordering::Relaxed),
            _ => amount,
        };
        ops.change(&TOTALS, key(), Change::Upsert(vec![(2, last.into())]))?;
        ops.change(&TOTALS, key(), Change::Increment(1, amount.into()))
    }
}

/// What the property says of a reducer with this fault.
#[track_caller]
fn said(property: fn(Totals, [Event; 14]), fault: Fault) -> String {
    let check = || property(Totals::with(fault), EVENTS);
    let caught = catch_unwind(AssertUnwindSafe(check));
    panic_message(&*caught.expect_err("the property holds, but must not"))
}

#[test]
fn a_good_reducer_has_every_property() {
    exercise(Totals::with(Fault::Nothing), EVENTS);
    exercise(Totals::with(Fault::Nothing), &EVENTS.to_vec());
}

#[test]
fn a_reducer_that_reads_the_clock_is_not_deterministic() {
    let said = said(deterministic, Fault::ReadsTheClock);
    assert!(said.contains("\"totals\" is not deterministic: the event at cursor"), "{said}");
    assert!(said.contains("  - upsert totals 'a': last = "), "{said}");
    assert!(said.contains("take `event.time`"), "{said}");
}

#[test]
fn a_reducer_that_remembers_is_not_deterministic() {
    let said = said(deterministic, Fault::Remembers);
    assert!(said.contains("  + upsert totals 'a': last = "), "{said}");
}

#[test]
fn a_row_that_two_partitions_change_is_named_with_both() {
    let said = said(partitions_are_independent, Fault::SharesARow);
    let expected = "the row 'all' of table totals is changed by partition \"a\" (by the event at \
                    cursor 1) and by partition \"b\" (by the event at cursor 2)";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn a_row_that_is_spread_over_partitions_is_found_as_well() {
    let said = said(partitions_are_independent, Fault::SpreadsARow);
    assert!(said.contains("partition \"b0\"") && said.contains("partition \"b1\""), "{said}");
}

#[test]
fn a_row_of_two_partitions_depends_on_how_events_arrive() {
    for fault in [Fault::SharesARow, Fault::SpreadsARow] {
        let said = said(incremental_equals_rebuild, fault);
        assert!(said.contains("bit by bit lead to another state"), "{said}");
        assert!(said.contains("last: "), "it names the column: {said}");
        assert!(said.contains("try `partitions_are_independent`"), "{said}");
    }
}

#[test]
fn a_reducer_that_remembers_depends_on_how_events_arrive() {
    let said = said(incremental_equals_rebuild, Fault::Remembers);
    assert!(said.contains("table totals (id, sum, last)"), "{said}");
}

#[test]
fn a_crash_leaves_a_trace_in_what_a_reducer_remembers() {
    let said = said(crash_at_every_commit, Fault::Remembers);
    assert!(said.contains("after a crash just before commit 1,"), "{said}");
}

#[test]
fn a_crash_is_had_at_every_commit_and_on_both_sides() {
    let mut stores = Vec::new();
    let made = std::cell::RefCell::new(&mut stores);
    let make = || {
        let store = rederive_core::MemoryStore::new();
        made.borrow_mut().push(store.clone());
        store
    };
    crash_at_every_commit_on(make, Totals::with(Fault::Nothing), EVENTS);
    // More than one for each of 13 events and side, in each of two rounds; all end alike.
    assert!(stores.len() > 2 * 2 * 5, "{} runs", stores.len());
    let rows: Vec<_> = stores.iter().map(|store| store.rows(&TOTALS)).collect();
    assert!(rows.iter().all(|other| *other == rows[0]));
}

#[test]
#[should_panic(expected = "without events")]
fn a_property_of_no_events_is_refused() {
    deterministic(Totals::with(Fault::Nothing), [] as [Event; 0]);
}
