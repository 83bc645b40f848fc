//! The suite must catch the worst that a log can do: numbers that are given before a transaction
//! ends, and events that turn up behind a reader.

use std::{
    collections::BTreeMap,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Condvar, Mutex, PoisonError},
};

use rederive_core::{
    Cursor, CursorKind, EventLog, LogError, ReadError, Recorded, Slice, Timestamp,
};
use rederive_testkit::conformance::event_log::{LogUnderTest, following};

/// One of its appends becomes visible only when a reader has passed it.
#[derive(Default)]
struct FillsGaps {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    appends: u64,
    given: u64,
    visible: BTreeMap<u64, u64>,
    passed: u64,
}

impl EventLog for FillsGaps {
    type Event = u64;

    fn cursor_kind(&self) -> CursorKind {
        CursorKind::Integer
    }

    fn fetch(&self, after: &Cursor, limit: usize) -> Result<Slice<u64>, LogError> {
        let after = match after {
            Cursor::Integer(after) => *after,
            _ => 0,
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let later = state.visible.range(after + 1..).take(limit);
        let time = Timestamp::default();
        let events: Vec<_> = later
            .map(|(cursor, data)| Recorded { cursor: Cursor::from(*cursor), time, data: *data })
            .collect();
        let end = events.last().map_or(Cursor::from(after), |event| event.cursor.clone());
        if let Cursor::Integer(passed) = end {
            state.passed = state.passed.max(passed);
        }
        self.changed.notify_all();
        let at_head = events.len() < limit;
        Ok(Slice::new(events, end, at_head))
    }

    fn find(&self, _: &Cursor) -> Result<Option<Recorded<u64>>, ReadError> {
        Err(LogError::new("not needed here").into())
    }

    fn head(&self) -> Result<Cursor, LogError> {
        Err(LogError::new("not needed here"))
    }

    fn count(&self, _: &Cursor) -> Result<u64, LogError> {
        Err(LogError::new("not needed here"))
    }
}

impl LogUnderTest for FillsGaps {
    type Log = Self;

    fn log(&self) -> &Self {
        self
    }

    fn append(&self, numbers: Range<u64>) -> Vec<Cursor> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let first = state.given + 1;
        state.given += numbers.end - numbers.start;
        state.appends += 1;
        if state.appends == 10 {
            let wait = self.changed.wait_while(state, |state| state.passed < first);
            state = wait.unwrap_or_else(PoisonError::into_inner);
        }
        state.visible.extend((first..).zip(numbers.clone()));
        (first..).zip(numbers).map(|(cursor, _)| Cursor::from(cursor)).collect()
    }

    fn number(&self, event: &u64) -> u64 {
        *event
    }
}

#[test]
fn a_log_whose_gaps_fill_up_later_is_caught() {
    let log = FillsGaps::default();
    let check = || following::no_gap_fills_up_behind_a_reader_while_others_append(log);
    let caught = catch_unwind(AssertUnwindSafe(check)).expect_err("it was not caught");
    let said = rederive_core::error::panic_message(&*caught);
    assert!(said.contains("events followed"), "{said}");
}
