//! What those who follow a log rely on.

#![allow(clippy::expect_used, reason = "a check fails by panicking")]

use std::{
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use rederive_core::{Cursor, EventLog, Recorded, Wake};

use super::{LogUnderTest, read_all};

const LONG: Duration = Duration::from_secs(30);

/// A subscriber is woken, and then the events can be read.
pub fn a_subscriber_is_woken_when_events_were_appended<T: LogUnderTest>(test: T) {
    if !test.wakes() {
        return;
    }
    let (woken, wakes) = mpsc::channel();
    let wake: Arc<Wake> = Arc::new(move || woken.send(()).unwrap_or_default());
    test.log().subscribe(Arc::downgrade(&wake));
    for number in 0..3 {
        let cursors = test.append(number..number + 1);
        wakes.recv_timeout(LONG).expect("it is not woken");
        while wakes.try_recv().is_ok() {}
        assert_eq!(test.log().head().ok().as_ref(), cursors.last());
    }
}

/// The log holds a weak reference; to wake one who is gone is nothing.
pub fn the_log_keeps_no_subscriber_alive<T: LogUnderTest>(test: T) {
    let wake: Arc<Wake> = Arc::new(|| {});
    let weak = Arc::downgrade(&wake);
    for _ in 0..3 {
        test.log().subscribe(Arc::downgrade(&wake));
    }
    assert_eq!(Arc::strong_count(&wake), 1);
    test.append(0..1);
    drop(wake);
    test.append(1..2);
    assert!(weak.upgrade().is_none());
    assert_eq!(read_all(test.log(), &Cursor::Start, 10).0.len(), 2);
}

/// No lock of the log's is held while it wakes.
pub fn a_subscriber_may_read_the_log_when_it_is_woken<T: LogUnderTest>(test: T) {
    if !test.wakes() {
        return;
    }
    let test = Arc::new(test);
    let (read, reads) = mpsc::channel();
    let reader = Arc::downgrade(&test);
    let wake: Arc<Wake> = Arc::new(move || {
        if let Some(test) = reader.upgrade() {
            read.send(test.log().head()).unwrap_or_default();
        }
    });
    test.log().subscribe(Arc::downgrade(&wake));
    // On a thread of its own: a log that waits for itself must not take the test with it.
    let appender = Arc::clone(&test);
    let append = thread::spawn(move || appender.append(0..1));
    let cursors = append.join().expect("it appends");
    let head = || reads.recv_timeout(LONG).expect("it cannot read").expect("it reads");
    // It may be woken for no reason, before there is anything to read.
    while cursors.last() != Some(&head()) {}
}

/// Whoever reads on from where it was sees each event once and in order, though several append at
/// the same time.
pub fn no_gap_fills_up_behind_a_reader_while_others_append<T: LogUnderTest>(test: T) {
    follow_while_others_append(&test, |log, at| read_all(log, at, 5));
}

/// The same for whoever takes what is at hand, and reads only what is not.
pub fn what_is_at_hand_leaves_no_gap_while_others_append<T: LogUnderTest>(test: T) {
    follow_while_others_append(&test, |log, at| match log.recent(at, 5) {
        Some(slice) => (slice.events, slice.end),
        None => {
            let slice = log.fetch(at, 1).expect("it reads");
            (slice.events, slice.end)
        }
    });
}

/// Follows the log by `read`, which reads some events after a place and says how far it came.
fn follow_while_others_append<T: LogUnderTest>(
    test: &T,
    read: impl Fn(&T::Log, &Cursor) -> (Vec<Recorded<<T::Log as EventLog>::Event>>, Cursor),
) {
    const APPENDERS: u64 = 4;
    const APPENDS: u64 = 40;
    let mut followed = Vec::new();
    let mut at = Cursor::Start;
    thread::scope(|scope| {
        let append = move |appender: u64| {
            for append in 0..APPENDS {
                let first = (appender * APPENDS + append) * 3;
                test.append(first..first + 1 + append % 3);
            }
        };
        let appenders: Vec<_> =
            (0..APPENDERS).map(|appender| scope.spawn(move || append(appender))).collect();
        loop {
            let is_last = appenders.iter().all(thread::ScopedJoinHandle::is_finished);
            let (events, end) = read(test.log(), &at);
            let is_end = events.is_empty();
            followed.extend(events);
            at = end;
            if is_last && is_end {
                break;
            }
        }
    });
    let (all, _) = read_all(test.log(), &Cursor::Start, 1000);
    let by_appender: u64 = (0..APPENDS).map(|append| 1 + append % 3).sum();
    assert_eq!(all.len() as u64, APPENDERS * by_appender);
    assert!(
        followed.iter().map(|event| &event.cursor).eq(all.iter().map(|event| &event.cursor)),
        "{} events followed, {} in the log",
        followed.len(),
        all.len()
    );
}
