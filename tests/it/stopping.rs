//! Stopping: what was begun is finished or given up at once, and nothing is left behind.

use std::{sync::Arc, time::Duration};

use actix_rt::time::timeout;
use rederive::{
    Await, AwaitError, Config, Cursor, Handle, Notice, Outcome, RegisterError, Registration,
    core::Opening,
};
use rederive_testkit::{CommitFault, Gate, LogFault};

use crate::fixture::{
    PATIENCE, World,
    bank::{Accounts, Event},
    on_every_store, outcomes, until,
};

on_every_store!(
    a_stop_finishes_what_is_in_flight_and_stores_the_watermark,
    a_stop_reads_no_more,
    a_stop_cuts_the_pause_between_attempts_to_commit_short,
    a_stop_cuts_the_pause_between_attempts_to_read_short,
    those_who_wait_at_a_stop_are_told,
    a_reducer_that_is_not_opened_yet_is_stopped_too,
    a_second_stop_does_nothing,
    two_stops_at_once_both_end,
    a_stopped_handle_answers_that_it_has_stopped,
);

fn endless_pauses(config: &mut Config) {
    let pause = Duration::from_secs(3600);
    (config.min_backoff, config.max_backoff) = (pause, pause);
}

async fn stop_promptly(handle: &Handle) {
    timeout(PATIENCE, handle.stop()).await.expect("it does not wait for the pause to end");
}

/// The event is dispatched; its commit stalls.
async fn stall(world: &World, handle: &Handle, event: Event) -> Gate {
    let gate = Gate::closed();
    world.store_faults().on_commit(CommitFault::Stall(gate.clone()));
    let recorded = world.append([event]);
    gate.wait_for_arrivals(1, PATIENCE);
    until(handle, "accounts", |status| status.position == recorded[0].cursor).await;
    gate
}

async fn a_stop_finishes_what_is_in_flight_and_stores_the_watermark(world: World) {
    let handle = world.start().await;
    world.append([Event::opened("z")]);
    world.settled(&handle).await;
    let gate = stall(&world, &handle, Event::opened("a")).await;
    // Buffered at the partition, routed to one more, ignored.
    world.append([Event::deposited("a", 1), Event::opened("b"), Event::Noise]);
    until(&handle, "accounts", |status| status.position == Cursor::from(5)).await;
    let last = handle.supervisor().send(Await::cursors("accounts", [4.into()]));
    // Asked later and answered at once: so the other has begun to wait.
    handle.wait(Await::cursors("accounts", [1.into()])).await.expect("done");
    let stopping = actix_rt::spawn({
        let handle = handle.clone();
        async move { handle.stop().await }
    });
    until(&handle, "accounts", |status| status.activity == rederive::Activity::Stopping).await;
    gate.open();
    stopping.await.expect("no panic");
    assert_eq!(outcomes(last.await.expect("answered before the end")), [Outcome::Done]);
    world.check();
    let stopped = Notice::Stopped { reducer: "accounts".into(), watermark: 5.into() };
    assert_eq!(world.probe.all().last(), Some(&stopped));
    // So the next start has nothing to do again.
    let opened = world.store.inner();
    let opening = Opening::new("accounts", 1, rederive::CursorKind::Integer);
    let opened = rederive::Store::open(opened, &opening);
    let opened = opened.expect("it can be opened");
    assert_eq!((opened.watermark, opened.partitions), (5.into(), vec![]));
}

async fn a_stop_reads_no_more(world: World) {
    let world = world.with(|config| (config.slice, config.window) = (1, 2));
    let handle = world.start().await;
    let gate = stall(&world, &handle, Event::opened("a")).await;
    world.append((0..50).map(|id| Event::opened(&id.to_string())));
    until(&handle, "accounts", |status| status.in_flight == 2).await;
    let stopping = actix_rt::spawn({
        let handle = handle.clone();
        async move { handle.stop().await }
    });
    until(&handle, "accounts", |status| status.activity == rederive::Activity::Stopping).await;
    gate.open();
    stopping.await.expect("no panic");
    assert_eq!(world.rows().len(), 2);
    let handle = world.start().await;
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    world.check();
    handle.stop().await;
}

async fn a_stop_cuts_the_pause_between_attempts_to_commit_short(world: World) {
    let world = world.with(endless_pauses);
    world.store_faults().on_commit(CommitFault::InDoubtDone);
    let handle = world.start().await;
    world.append([Event::opened("a")]);
    let delayed = |notice: &Notice| matches!(notice, Notice::CommitDelayed { .. });
    world.probe.notified(delayed, PATIENCE).await;
    let waiting = handle.supervisor().send(Await::cursors("accounts", [1.into()]));
    stop_promptly(&handle).await;
    // It was done, but nobody knows.
    assert!(waiting.await.map_or(true, |waited| outcomes(waited) == [Outcome::Stopped]));
    let handle = world.start().await;
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    world.check();
    handle.stop().await;
}

async fn a_stop_cuts_the_pause_between_attempts_to_read_short(world: World) {
    let world = world.with(endless_pauses);
    world.log_faults().on_fetch(LogFault::Fails);
    let handle = world.start().await;
    let delayed = |notice: &Notice| matches!(notice, Notice::ReadDelayed { .. });
    world.probe.notified(delayed, PATIENCE).await;
    stop_promptly(&handle).await;
}

async fn those_who_wait_at_a_stop_are_told(world: World) {
    let handle = world.start().await;
    let before = world.append([Event::opened("z")]);
    handle.wait(Await::events("accounts", &before)).await.expect("done");
    let gate = stall(&world, &handle, Event::opened("a")).await;
    let of_the_future = handle.supervisor().send(Await::cursors("accounts", [9.into()]));
    let of_the_head = handle.supervisor().send(Await::caught_up("accounts"));
    // Asked later and answered at once: so the others have begun to wait.
    handle.wait(Await::events("accounts", &before)).await.expect("done");
    let stopping = actix_rt::spawn({
        let handle = handle.clone();
        async move { handle.stop().await }
    });
    for waiting in [of_the_future, of_the_head] {
        assert_eq!(outcomes(waiting.await.expect("it lives")), [Outcome::Stopped]);
    }
    // Those who come while it stops are told as well.
    let late = handle.wait(Await::cursors("accounts", [1.into()])).await;
    assert_eq!(outcomes(late), [Outcome::Stopped]);
    gate.open();
    stopping.await.expect("no panic");
    world.check();
}

async fn a_reducer_that_is_not_opened_yet_is_stopped_too(world: World) {
    let handle = world.start().await;
    let gate = stall(&world, &handle, Event::opened("a")).await;
    // It is opened in turn with the commits, of which one stalls.
    let (log, store) = (Arc::new(world.log.clone()), Arc::new(world.store.clone()));
    let late = Registration::new(Arc::new(Accounts::copies()), log, store);
    let registering = handle.supervisor().send(late);
    let stopping = actix_rt::spawn({
        let handle = handle.clone();
        async move { handle.stop().await }
    });
    let refused = registering.await.unwrap_or(Err(RegisterError::Stopped));
    assert_eq!(refused, Err(RegisterError::Stopped));
    gate.open();
    stopping.await.expect("no panic");
    world.check();
}

async fn a_second_stop_does_nothing(world: World) {
    let handle = world.start().await;
    handle.stop().await;
    handle.stop().await;
    handle.clone().stop().await;
    assert_eq!(world.probe.count(|notice| matches!(notice, Notice::Stopped { .. })), 1);
}

async fn two_stops_at_once_both_end(world: World) {
    let handle = world.start().await;
    let stops: Vec<_> = (0..3)
        .map(|_| {
            let handle = handle.clone();
            actix_rt::spawn(async move { handle.stop().await })
        })
        .collect();
    for stop in stops {
        stop.await.expect("no panic");
    }
}

async fn a_stopped_handle_answers_that_it_has_stopped(world: World) {
    let handle = world.start().await;
    let recorded = world.append([Event::opened("a")]);
    handle.stop().await;
    assert_eq!(handle.wait(Await::events("accounts", &recorded)).await, Err(AwaitError::Stopped));
    assert!(handle.send(Await::events("accounts", &recorded)).await.is_err());
    assert_eq!(handle.status().await, vec![]);
    // Nobody is disturbed by what is appended now.
    world.append([Event::opened("b")]);
}
