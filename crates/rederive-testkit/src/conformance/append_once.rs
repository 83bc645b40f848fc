//! The suite for logs to which events are appended under a key.

#![allow(clippy::expect_used, reason = "a check fails by panicking")]

use std::{ops::Range, thread};

use rederive_core::{AppendOnce, Cursor, EventLog, Recorded};

use super::{
    Check, checks,
    event_log::{LogUnderTest, read_all},
    run_all,
};
use crate::block_on;

/// A log under test that remembers keys.
pub trait OnceUnderTest: LogUnderTest<Log: AppendOnce> {
    /// The event that carries this number.
    fn event(&self, number: u64) -> <Self::Log as EventLog>::Event;
}

/// Holds the logs that `make` makes, each of them new and empty, to every promise of [`AppendOnce`].
///
/// # Panics
/// When a promise is broken, with its name.
#[track_caller]
pub fn exercise<T: OnceUnderTest>(make: impl Fn() -> T) {
    run_all(all(), make);
}

/// Every promise.
pub fn all<T: OnceUnderTest>() -> Vec<Check<T>> {
    use self as append_once;
    checks![
        append_once::what_is_appended_under_a_key_is_appended_once,
        append_once::keys_are_told_apart_whatever_they_hold,
        append_once::an_empty_list_leaves_no_trace,
        append_once::events_under_a_key_stand_next_to_each_other,
        append_once::of_those_who_append_under_one_key_at_once_one_does,
    ]
}

fn append<T: OnceUnderTest>(test: &T, key: &str, numbers: Range<u64>) -> Vec<Cursor> {
    let events = numbers.map(|number| test.event(number)).collect();
    let recorded = block_on(test.log().append_once(key, events)).expect("it appends");
    recorded.into_iter().map(|event| event.cursor).collect()
}

fn has_appended<T: OnceUnderTest>(test: &T, key: &str) -> bool {
    block_on(test.log().has_appended(key)).expect("it reads")
}

fn numbers<T: OnceUnderTest>(test: &T) -> Vec<u64> {
    let (events, _) = read_all(test.log(), &Cursor::Start, 1000);
    events.iter().map(|Recorded { data, .. }| test.number(data)).collect()
}

/// The second call appends nothing, and answers with what the first has appended.
pub fn what_is_appended_under_a_key_is_appended_once<T: OnceUnderTest>(test: T) {
    assert!(!has_appended(&test, "a"));
    let recorded = append(&test, "a", 1..3);
    assert_eq!(recorded.len(), 2);
    assert!(has_appended(&test, "a"));
    test.append(3..4);
    assert_eq!(append(&test, "a", 7..12), recorded);
    assert_eq!(append(&test, "a", 0..0), recorded);
    assert_eq!(numbers(&test), [1, 2, 3]);
}

/// No key stands for another one.
pub fn keys_are_told_apart_whatever_they_hold<T: OnceUnderTest>(test: T) {
    let keys = ["", "a", "A", "a/", "a/b", "a%2Fb", "a b", "a\n", "it's", "ü", "🦀", "%", "_"];
    for (key, number) in keys.iter().zip(0..) {
        assert!(!has_appended(&test, key), "{key:?} is that of another one");
        assert_eq!(append(&test, key, number..number + 1).len(), 1);
    }
    let long = "k".repeat(1000);
    append(&test, &long, 100..101);
    assert!(!has_appended(&test, &long[1..]));
    assert_eq!(numbers(&test).len(), keys.len() + 1);
}

/// The key is still free.
pub fn an_empty_list_leaves_no_trace<T: OnceUnderTest>(test: T) {
    assert_eq!(append(&test, "a", 0..0), []);
    assert!(!has_appended(&test, "a"));
    assert_eq!(append(&test, "a", 5..6).len(), 1);
    assert_eq!(numbers(&test), [5]);
}

/// However many append at the same time.
pub fn events_under_a_key_stand_next_to_each_other<T: OnceUnderTest>(test: T) {
    thread::scope(|scope| {
        for appender in 0..4_u64 {
            let test = &test;
            scope.spawn(move || {
                for append in 0..10 {
                    let first = (appender * 10 + append) * 10;
                    self::append(test, &first.to_string(), first..first + 3);
                }
            });
        }
    });
    let numbers = numbers(&test);
    assert_eq!(numbers.len(), 120);
    for of in numbers.chunks(3) {
        assert_eq!(of, [of[0], of[0] + 1, of[0] + 2]);
    }
}

/// All are told what that one has appended.
pub fn of_those_who_append_under_one_key_at_once_one_does<T: OnceUnderTest>(test: T) {
    for key in ["a", "b", "c"] {
        let told: Vec<_> = thread::scope(|scope| {
            let append = |number: u64| {
                let test = &test;
                scope.spawn(move || append(test, key, number..number + 2))
            };
            let threads: Vec<_> = (0..8).map(append).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert!(told.iter().all(|cursors| *cursors == told[0]), "{told:?}");
    }
    assert_eq!(numbers(&test).len(), 6);
}
