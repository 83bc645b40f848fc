//! The suite for event logs.
//!
//! ```
//! use std::ops::Range;
//!
//! use rederive_core::{Cursor, MemoryLog};
//! use rederive_testkit::conformance::event_log::{self, LogUnderTest};
//!
//! struct InMemory(MemoryLog<u64>);
//!
//! impl LogUnderTest for InMemory {
//!     type Log = MemoryLog<u64>;
//!
//!     fn log(&self) -> &MemoryLog<u64> {
//!         &self.0
//!     }
//!     fn append(&self, numbers: Range<u64>) -> Vec<Cursor> {
//!         self.0.append(numbers).into_iter().map(|event| event.cursor).collect()
//!     }
//!     fn number(&self, event: &u64) -> u64 {
//!         *event
//!     }
//! }
//!
//! event_log::exercise(|| InMemory(MemoryLog::new()));
//! ```

pub mod following;
pub mod reading;

use std::ops::Range;

use rederive_core::{Cursor, EventLog, Recorded};

use super::{Check, checks, run_all};

/// A log and what the suite needs beside it. Its events are told apart by a number they carry.
pub trait LogUnderTest: Send + Sync + 'static {
    /// The log.
    type Log: EventLog;

    /// The log.
    fn log(&self) -> &Self::Log;

    /// Appends one event for each number, in this order, and returns their cursors. It is called
    /// from several threads at once.
    fn append(&self, numbers: Range<u64>) -> Vec<Cursor>;

    /// The number that the event carries.
    fn number(&self, event: &<Self::Log as EventLog>::Event) -> u64;

    /// Appends an event at this cursor, which is above all others; false when the log chooses its
    /// cursors itself.
    fn append_at(&self, cursor: Cursor, number: u64) -> bool {
        let _ = (cursor, number);
        false
    }

    /// Makes the stored form of the event at this cursor undecodable; false when no such form can
    /// be stored.
    fn spoil(&self, cursor: &Cursor) -> bool {
        let _ = cursor;
        false
    }

    /// Whether the log wakes its subscribers when events were appended by [`append`](Self::append).
    fn wakes(&self) -> bool {
        true
    }

    /// Whether [`EventLog::count`] is exact.
    fn counts_exactly(&self) -> bool {
        true
    }
}

/// Holds the logs that `make` makes, each of them new and empty, to every promise.
///
/// # Panics
/// When a promise is broken, with its name.
#[track_caller]
pub fn exercise<T: LogUnderTest>(make: impl Fn() -> T) {
    run_all(all(), make);
}

/// Every promise.
pub fn all<T: LogUnderTest>() -> Vec<Check<T>> {
    checks![
        reading::an_empty_log_stands_at_the_start,
        reading::events_are_read_in_the_order_in_which_they_were_appended,
        reading::cursors_are_of_the_logs_kind_and_grow,
        reading::slices_of_any_limit_cover_the_log_without_gap_or_overlap,
        reading::a_slice_never_holds_more_than_its_limit,
        reading::a_limit_beyond_all_numbers_reads_everything,
        reading::a_read_behind_the_last_event_is_empty_and_at_the_head,
        reading::a_read_may_begin_between_two_events,
        reading::an_event_once_read_stays_as_it_was,
        reading::an_event_is_found_at_its_cursor_and_nowhere_else,
        reading::the_head_is_the_last_event,
        reading::the_count_is_of_the_events_behind_a_cursor,
        reading::cursors_of_choice_are_ordered_by_their_kind,
        reading::an_undecodable_event_is_told_apart_and_hides_no_other,
        reading::the_iterator_reads_what_the_slices_hold,
        reading::leaving_out_types_leaves_out_nothing_else,
        reading::what_is_at_hand_is_what_a_read_finds,
        following::a_subscriber_is_woken_when_events_were_appended,
        following::the_log_keeps_no_subscriber_alive,
        following::a_subscriber_may_read_the_log_when_it_is_woken,
        following::no_gap_fills_up_behind_a_reader_while_others_append,
        following::what_is_at_hand_leaves_no_gap_while_others_append,
    ]
}

/// Reads on from `after` in slices of `limit` until the head: the events and where they end.
///
/// # Panics
/// When the log cannot be read, or a slice is not as it should be.
pub(crate) fn read_all<L: EventLog>(
    log: &L,
    after: &Cursor,
    limit: usize,
) -> (Vec<Recorded<L::Event>>, Cursor) {
    let mut all = Vec::new();
    let mut at = after.clone();
    loop {
        let slice = match log.fetch(&at, limit) {
            Ok(slice) => slice,
            Err(error) => panic!("{error}"),
        };
        assert!(slice.events.len() <= limit, "{} events, not {limit}", slice.events.len());
        assert_eq!(slice.undecodable, []);
        assert!(slice.events.iter().all(|event| event.cursor > at), "an event before {at}");
        assert!(slice.events.iter().all(|event| event.cursor <= slice.end), "its end is too early");
        assert!(slice.end >= at, "the end {} is before the begin {at}", slice.end);
        assert!(slice.at_head || slice.end > at, "an empty slice that is not at the head");
        at = slice.end;
        all.extend(slice.events);
        if slice.at_head {
            return (all, at);
        }
    }
}
