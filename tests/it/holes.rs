//! Holes: cursors may leave numbers out, and a log may know that a stretch of it is not ours.

use std::{sync::Weak, time::Duration};

use rederive::{
    Await, Cursor, CursorKind, EventLog, LogError, MemoryLog, Outcome, Timestamp,
    core::{ReadError, Slice, event_log::Wake},
};

use crate::fixture::{
    World,
    backend::{AnyLog, AnyStore, TestLog},
    bank::{Event, Recorded},
    outcomes, status,
};

/// A log that numbers its events 10, 20, 30, … and never returns noise: where it has read nothing
/// else, its slices are empty and end later than they begin.
#[derive(Clone, Default)]
struct Holes(MemoryLog<Event>);

impl TestLog for Holes {
    fn append(&self, events: Vec<Event>) -> Vec<Recorded> {
        let append = |data: Event| {
            let next = match self.0.head().expect("it is in memory") {
                Cursor::Integer(last) => last + 10,
                _ => 10,
            };
            let (cursor, time) = (Cursor::from(next), Timestamp::default());
            self.0.append_at(cursor.clone(), time, data.clone()).expect("it grows");
            Recorded { cursor, time, data }
        };
        events.into_iter().map(append).collect()
    }
}

impl EventLog for Holes {
    type Event = Event;

    fn cursor_kind(&self) -> CursorKind {
        self.0.cursor_kind()
    }

    fn fetch(&self, after: &Cursor, limit: usize) -> Result<Slice<Event>, LogError> {
        let mut slice = self.0.fetch(after, limit)?;
        slice.events.retain(|event| event.data != Event::Noise);
        Ok(slice)
    }

    fn find(&self, cursor: &Cursor) -> Result<Option<Recorded>, ReadError> {
        Ok(self.0.find(cursor)?.filter(|event| event.data != Event::Noise))
    }

    fn head(&self) -> Result<Cursor, LogError> {
        self.0.head()
    }

    fn count(&self, after: &Cursor) -> Result<u64, LogError> {
        self.0.count(after)
    }

    fn subscribe(&self, wake: Weak<Wake>) {
        self.0.subscribe(wake);
    }
}

fn world() -> World {
    World::new(AnyLog::new(Holes::default()), AnyStore::memory())
}

async fn outcome(handle: &rederive::Handle, request: Await) -> Outcome {
    outcomes(handle.wait(request).await).remove(0)
}

#[actix_rt::test]
async fn a_stretch_without_events_of_ours_is_passed_in_empty_slices() {
    let world = world().with(|config| (config.slice, config.window) = (4, 2));
    world.append(vec![Event::Noise; 50]);
    let handle = world.start().await;
    let recorded = world.append([Event::opened("a"), Event::Noise, Event::deposited("a", 1)]);
    world.append(vec![Event::Noise; 50]);
    handle.wait(Await::events("accounts", [&recorded[0], &recorded[2]])).await.expect("done");
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    assert_eq!(status(&handle).await.watermark, Cursor::from(1030));
    handle.stop().await;
    // And a start has nothing to read again.
    let handle = world.start().await;
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    assert_eq!(status(&handle).await.watermark, Cursor::from(1030));
    world.check();
    handle.stop().await;
}

#[actix_rt::test]
async fn a_wait_for_what_the_log_leaves_out_is_told_that_it_is_missing() {
    let world = world();
    let handle = world.start().await;
    let number = |cursor: u64| Await::cursors("accounts", [cursor.into()]);
    // Not known before something later is read.
    let early = handle.supervisor().send(number(15));
    let soon = number(15).within(Duration::from_millis(10));
    assert_eq!(outcome(&handle, soon).await, Outcome::TimedOut);
    world.append([Event::opened("a"), Event::opened("b"), Event::Noise, Event::opened("c")]);
    assert_eq!(outcomes(early.await.expect("it lives")), [Outcome::Missing]);
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    for (cursor, expected) in [
        (5, Outcome::Missing),
        (10, Outcome::Done),
        (15, Outcome::Missing),
        (30, Outcome::Missing),
        (40, Outcome::Done),
    ] {
        assert_eq!(outcome(&handle, number(cursor)).await, expected, "{cursor}");
    }
    handle.stop().await;
}

#[actix_rt::test]
async fn a_cursor_of_another_kind_is_told_to_be_missing_at_once() {
    let world = world();
    let handle = world.start().await;
    for cursor in [Cursor::from("00000000000000000010"), Cursor::Start] {
        let request = Await::cursors("accounts", [cursor]);
        assert_eq!(outcome(&handle, request).await, Outcome::Missing);
    }
    handle.stop().await;
}
