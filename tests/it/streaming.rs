//! Streams: the events of a log as they come, until they are stopped.

use std::{future::poll_fn, pin::Pin, sync::Arc, task::Poll, time::Instant};

use futures_core::Stream as _;
use rederive::{Cursor, EventStream, MemoryLog};
use rederive_testkit::LogFault;
use tokio::time::timeout;

use crate::fixture::{PATIENCE, World, bank::Event, on_every_store};

on_every_store!(
    events_come_in_order_from_the_cursor_on_and_then_as_they_are_appended,
    a_stream_waits_for_a_log_that_is_away,
    an_event_that_cannot_be_decoded_is_an_item_and_the_stream_goes_on,
    a_stopped_stream_ends_though_nothing_is_appended,
    a_stream_reads_no_further_ahead_than_two_slices,
);

fn deposits(amounts: std::ops::Range<i64>) -> Vec<Event> {
    amounts.map(|amount| Event::deposited("a", amount)).collect()
}

fn stream(world: &World, after: impl Into<Cursor>) -> EventStream<Event> {
    EventStream::new(world.log.clone(), after.into()).expect("it starts")
}

/// The next event, which must come.
async fn next(events: &mut EventStream<Event>) -> (Cursor, Event) {
    let next = timeout(PATIENCE, events.next()).await.expect("it comes");
    let event = next.expect("it goes on").expect("it can be decoded");
    (event.cursor, event.data)
}

async fn events_come_in_order_from_the_cursor_on_and_then_as_they_are_appended(world: World) {
    world.append(deposits(0..1000));
    let mut events = stream(&world, 3);
    for number in 3..1000 {
        assert_eq!(
            next(&mut events).await,
            ((number as u64 + 1).into(), Event::deposited("a", number))
        );
    }
    for number in 1000..1010 {
        world.append(deposits(number..number + 1));
        assert_eq!(next(&mut events).await.1, Event::deposited("a", number));
    }
}

async fn a_stream_waits_for_a_log_that_is_away(world: World) {
    for fault in [LogFault::Fails, LogFault::Panics, LogFault::Fails] {
        world.log_faults().on_fetch(fault);
    }
    let mut events = stream(&world, Cursor::Start);
    world.append(deposits(0..2));
    assert_eq!(next(&mut events).await.0, 1.into());
    assert_eq!(next(&mut events).await.0, 2.into());
}

async fn an_event_that_cannot_be_decoded_is_an_item_and_the_stream_goes_on(world: World) {
    world.append(deposits(0..3));
    world.log_faults().break_event(2);
    let mut events = stream(&world, Cursor::Start);
    assert_eq!(next(&mut events).await.0, 1.into());
    let broken = timeout(PATIENCE, events.next()).await.expect("it comes").expect("it goes on");
    assert_eq!(broken.expect_err("it cannot be decoded").cursor, 2.into());
    assert_eq!(next(&mut events).await.0, 3.into());
}

async fn a_stopped_stream_ends_though_nothing_is_appended(world: World) {
    world.append(deposits(0..1));
    let mut events = stream(&world, Cursor::Start);
    next(&mut events).await;
    let nothing = poll_fn(|cx| Poll::Ready(Pin::new(&mut events).poll_next(cx).is_pending())).await;
    assert!(nothing, "it waits for more");
    let stopper = events.stopper();
    actix_rt::spawn(async move { stopper.stop() });
    assert_eq!(timeout(PATIENCE, events.next()).await, Ok(None));
    assert_eq!(timeout(PATIENCE, events.next()).await, Ok(None));
}

async fn a_stream_reads_no_further_ahead_than_two_slices(world: World) {
    const SLICE: usize = 256;
    world.append(deposits(0..3000));
    let mut events = stream(&world, Cursor::Start);
    // Not so far that it meets the end of the log, where it looks for more.
    for taken in 1..2500 {
        assert_eq!(next(&mut events).await.0, (taken as u64).into());
        actix_rt::task::yield_now().await;
        // Those that were taken, those that wait, and the slice under way.
        let most = (taken + SLICE) / SLICE + 1;
        assert!(world.log_faults().fetches() <= most, "{}", world.log_faults().fetches());
    }
}

#[actix_rt::test]
async fn a_dropped_stream_ends_its_thread_and_lets_the_log_go() {
    let (log, event) = (MemoryLog::new(), Arc::new(()));
    log.append(vec![Arc::clone(&event); 2000]);
    let mut events = EventStream::new(log, Cursor::Start).expect("it starts");
    events.next().await.expect("it goes on").expect("it can be decoded");
    drop(events);
    let begun = Instant::now();
    while Arc::strong_count(&event) > 1 {
        assert!(begun.elapsed() < PATIENCE, "the log is still there");
        actix_rt::task::yield_now().await;
    }
}
