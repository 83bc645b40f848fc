//! The suites, over the log and the store in memory and over the wrappers that add faults.

use std::ops::Range;

use rederive_core::{Cursor, CursorKind, MemoryLog, MemoryStore, Table, Timestamp, Value};
use rederive_testkit::{
    FaultyLog, FaultyStore,
    conformance::{
        append_once::{self, OnceUnderTest},
        event_log::{self, LogUnderTest},
        store::{self, StoreUnderTest},
    },
};

struct InMemory(MemoryLog<u64>);

impl LogUnderTest for InMemory {
    type Log = MemoryLog<u64>;

    fn log(&self) -> &MemoryLog<u64> {
        &self.0
    }

    fn append(&self, numbers: Range<u64>) -> Vec<Cursor> {
        self.0.append(numbers).into_iter().map(|event| event.cursor).collect()
    }

    fn number(&self, event: &u64) -> u64 {
        *event
    }

    fn append_at(&self, cursor: Cursor, number: u64) -> bool {
        self.0.append_at(cursor, Timestamp::default(), number).expect("it is above all others");
        true
    }
}

impl OnceUnderTest for InMemory {
    fn event(&self, number: u64) -> u64 {
        number
    }
}

struct FaultlessLog(FaultyLog<MemoryLog<u64>>);

impl LogUnderTest for FaultlessLog {
    type Log = FaultyLog<MemoryLog<u64>>;

    fn log(&self) -> &FaultyLog<MemoryLog<u64>> {
        &self.0
    }

    fn append(&self, numbers: Range<u64>) -> Vec<Cursor> {
        self.0.inner().append(numbers).into_iter().map(|event| event.cursor).collect()
    }

    fn number(&self, event: &u64) -> u64 {
        *event
    }

    fn spoil(&self, cursor: &Cursor) -> bool {
        self.0.faults().break_event(cursor.clone());
        true
    }
}

#[test]
fn the_log_in_memory_keeps_every_promise() {
    event_log::exercise(|| InMemory(MemoryLog::new()));
}

#[test]
fn the_log_in_memory_with_text_cursors_keeps_every_promise() {
    event_log::exercise(|| InMemory(MemoryLog::of_kind(CursorKind::Text)));
}

impl OnceUnderTest for FaultlessLog {
    fn event(&self, number: u64) -> u64 {
        number
    }
}

#[test]
fn a_faulty_log_without_faults_appends_once() {
    append_once::exercise(|| FaultlessLog(FaultyLog::new(MemoryLog::new())));
}

#[test]
fn the_log_in_memory_appends_once() {
    append_once::exercise(|| InMemory(MemoryLog::new()));
}

#[test]
fn the_log_in_memory_with_pairs_for_cursors_keeps_every_promise() {
    event_log::exercise(|| InMemory(MemoryLog::of_kind(CursorKind::Pair)));
}

#[test]
fn a_faulty_log_without_faults_keeps_every_promise() {
    event_log::exercise(|| FaultlessLog(FaultyLog::new(MemoryLog::new())));
}

struct FaultlessStore(FaultyStore<MemoryStore>);

impl StoreUnderTest for FaultlessStore {
    type Store = FaultyStore<MemoryStore>;

    fn store(&self) -> &FaultyStore<MemoryStore> {
        &self.0
    }

    fn rows(&self, table: &'static Table) -> Vec<Vec<Value>> {
        self.0.inner().rows(table)
    }
}

#[test]
fn the_store_in_memory_keeps_every_promise() {
    store::exercise(MemoryStore::new);
}

#[test]
fn a_faulty_store_without_faults_keeps_every_promise() {
    store::exercise(|| FaultlessStore(FaultyStore::new(MemoryStore::new())));
}
