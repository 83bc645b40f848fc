use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
    time::Duration,
};

use rederive_core::{MemoryLog, ReadError};

use super::*;
use crate::{Gate, Seed};

fn log_of(count: usize) -> FaultyLog<MemoryLog<usize>> {
    let log = FaultyLog::new(MemoryLog::new());
    log.inner().append(0..count);
    log
}

fn data(slice: Slice<usize>) -> Vec<usize> {
    slice.events.into_iter().map(|event| event.data).collect()
}

fn fetch(log: &FaultyLog<MemoryLog<usize>>) -> Result<Vec<usize>, LogError> {
    log.fetch(&Cursor::Start, 10).map(data)
}

#[test]
fn each_fault_befalls_the_fetch_it_was_scripted_for() {
    let log = log_of(3);
    let faults = log.faults();
    faults.on_fetch(LogFault::Fails);
    faults.on_fetch_after(1, LogFault::Short(0));
    faults.on_fetch(LogFault::Panics);
    fetch(&log).expect_err("it fails");
    assert_eq!(fetch(&log), Ok(vec![0, 1, 2]));
    assert_eq!(fetch(&log), Ok(vec![0]));
    catch_unwind(AssertUnwindSafe(|| fetch(&log))).expect_err("it panics");
    faults.shorten(2);
    assert_eq!(fetch(&log), Ok(vec![0, 1]));
    faults.heal();
    assert_eq!(fetch(&log), Ok(vec![0, 1, 2]));
    assert_eq!(faults.fetches(), 6);
}

#[test]
fn an_event_that_is_broken_stands_undecodable_in_its_slice_until_it_is_mended() {
    let log = log_of(4);
    let faults = log.faults();
    faults.break_event(3);
    let slice = log.fetch(&Cursor::Start, 10).expect("it reads");
    assert_eq!((slice.end.clone(), slice.at_head), (Cursor::from(4), true));
    let broken: Vec<_> = slice.undecodable.iter().map(|broken| &broken.cursor).collect();
    assert_eq!(broken, [&Cursor::from(3)]);
    assert_eq!(data(slice), [0, 1, 3]);
    assert!(matches!(log.find(&Cursor::from(3)), Err(ReadError::Undecodable(_))));
    faults.mend(3);
    assert_eq!(fetch(&log), Ok(vec![0, 1, 2, 3]));
}

/// A log that has everything at hand.
struct AtHand(MemoryLog<usize>);

impl EventLog for AtHand {
    type Event = usize;

    fn cursor_kind(&self) -> CursorKind {
        self.0.cursor_kind()
    }

    fn fetch(&self, after: &Cursor, limit: usize) -> Result<Slice<usize>, LogError> {
        self.0.fetch(after, limit)
    }

    fn recent(&self, after: &Cursor, limit: usize) -> Option<Slice<usize>> {
        self.0.fetch(after, limit).ok()
    }

    fn find(&self, cursor: &Cursor) -> Result<Option<Recorded<usize>>, ReadError> {
        self.0.find(cursor)
    }

    fn head(&self) -> Result<Cursor, LogError> {
        self.0.head()
    }

    fn count(&self, after: &Cursor) -> Result<u64, LogError> {
        self.0.count(after)
    }
}

#[test]
fn what_is_at_hand_is_served_unless_a_fetch_would_have_been_another_one() {
    let log = FaultyLog::new(AtHand(MemoryLog::new()));
    log.inner().0.append(0..3);
    let faults = log.faults();
    let recent = || log.recent(&Cursor::Start, 10).map(data);
    assert_eq!(recent(), Some(vec![0, 1, 2]));
    faults.on_fetch_after(1, LogFault::Fails);
    assert_eq!(recent(), None, "a fault is to come");
    log.fetch(&Cursor::Start, 10).expect("it reads");
    log.fetch(&Cursor::Start, 10).expect_err("it fails");
    assert_eq!(recent(), Some(vec![0, 1, 2]));
    faults.break_event(2);
    assert_eq!(recent(), None, "one of them is broken");
    assert_eq!(log.recent(&Cursor::from(2), 10).map(data), Some(vec![2]));
    faults.mend(2);
    faults.shorten(1);
    assert_eq!(recent(), None, "it would be shorter");
    faults.heal();
    faults.chaos(0.5, Seed(1).rng());
    let served = (0..100).filter(|_| recent().is_some()).count();
    assert!((20..=80).contains(&served), "{served} of 100");
    assert_eq!((faults.at_hand(), faults.fetches()), (3 + served, 2));
}

#[test]
fn wake_ups_are_forwarded_or_dropped() {
    let log = log_of(0);
    let woken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&woken);
    let wake: Arc<Wake> = Arc::new(move || {
        counter.fetch_add(1, SeqCst);
    });
    log.subscribe(Arc::downgrade(&wake));
    log.inner().append([1]);
    assert_eq!(woken.load(SeqCst), 1);
    log.faults().drop_wake_ups();
    log.inner().append([2]);
    assert_eq!((woken.load(SeqCst), log.faults().dropped_wake_ups()), (1, 1));
    log.faults().wake();
    assert_eq!(woken.load(SeqCst), 2);
}

#[test]
fn a_stalled_fetch_waits_for_its_gate() {
    let log = log_of(1);
    let gate = Gate::closed();
    log.faults().on_fetch(LogFault::Stall(gate.clone()));
    let reading = thread::spawn({
        let log = log.clone();
        move || fetch(&log)
    });
    gate.wait_for_arrivals(1, Duration::from_secs(10));
    assert!(!reading.is_finished());
    log.inner().append([1]);
    gate.open();
    assert_eq!(reading.join().expect("no panic"), Ok(vec![0, 1]));
}
