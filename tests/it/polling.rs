//! Polling: what was appended without a word is found, whatever else the log is asked.

use std::{thread, time::Duration};

use rederive::{
    Config, Cursor, CursorKind, EventLog, LogError, MemoryLog, MemoryStore, Rederive,
    core::{Holder, ReadError, Slice},
};

use crate::fixture::{
    bank::{Accounts, Event, Recorded},
    quiet, until,
};

/// A log that wakes nobody, and takes its time when it is asked for a status.
struct Slow(MemoryLog<Event>);

impl EventLog for Slow {
    type Event = Event;

    fn cursor_kind(&self) -> CursorKind {
        self.0.cursor_kind()
    }

    fn fetch(&self, after: &Cursor, limit: usize) -> Result<Slice<Event>, LogError> {
        self.0.fetch(after, limit)
    }

    fn find(&self, cursor: &Cursor) -> Result<Option<Recorded>, ReadError> {
        self.0.find(cursor)
    }

    fn head(&self) -> Result<Cursor, LogError> {
        self.0.head()
    }

    fn count(&self, after: &Cursor) -> Result<u64, LogError> {
        self.0.count(after)
    }

    fn held_back(&self) -> Result<Vec<Holder>, LogError> {
        thread::sleep(Duration::from_millis(20));
        Ok(Vec::new())
    }
}

#[actix_rt::test]
async fn statuses_asked_for_all_the_time_do_not_keep_the_log_from_being_polled() {
    let log = MemoryLog::new();
    let config = Config { poll_interval: Duration::from_millis(5), ..quiet() };
    let builder = Rederive::new(Slow(log.clone())).config(config);
    let handle = builder.register(Accounts::new(), MemoryStore::new()).start().await;
    let handle = handle.expect("it starts");
    // One of them is always being answered, while the next one waits.
    let askers: Vec<_> = (0..3)
        .map(|_| {
            let handle = handle.clone();
            actix_rt::spawn(async move {
                loop {
                    handle.status().await;
                }
            })
        })
        .collect();
    until(&handle, "accounts", |status| status.lag.is_some()).await;
    log.append([Event::opened("a")]);
    until(&handle, "accounts", |status| status.watermark == Cursor::from(1)).await;
    askers.iter().for_each(|asker| asker.abort());
    handle.stop().await;
}
