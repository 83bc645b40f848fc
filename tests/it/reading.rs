//! Reading: a log that cannot be read is tried again, and nothing is skipped meanwhile.

use std::time::Duration;

use rederive::{Await, Notice, Outcome};
use rederive_testkit::{Gate, LogFault, Seed};

use crate::fixture::{
    PATIENCE, World,
    backend::{AnyLog, AnyStore},
    bank::Event,
    late::Late,
    notices::caught_up,
    on_every_store, outcomes, status,
};

on_every_store!(
    a_log_that_cannot_be_read_is_tried_again_with_growing_pauses,
    the_status_tells_that_the_log_is_away_until_it_is_back,
    a_log_that_failed_is_read_again_though_its_events_are_at_hand,
    a_log_that_panics_is_a_log_that_cannot_be_read,
    nothing_is_skipped_when_reads_fail_at_random,
    questions_to_the_log_are_tried_again_too,
    a_wait_times_out_while_the_log_is_away_and_succeeds_later,
);

async fn a_log_that_cannot_be_read_is_tried_again_with_growing_pauses(world: World) {
    (0..5).for_each(|_| world.log_faults().on_fetch(LogFault::Fails));
    let handle = world.start().await;
    let recorded = world.append([Event::opened("a")]);
    handle.wait(Await::events("accounts", &recorded)).await.expect("done");
    let delays: Vec<_> = world
        .probe
        .all()
        .into_iter()
        .filter_map(|notice| match notice {
            Notice::ReadDelayed { attempt, delay, error } => {
                assert!(error.contains("scripted"), "{error}");
                Some((attempt, delay.as_millis()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(delays, [(1, 1), (2, 2), (3, 4), (4, 5), (5, 5)]);
    handle.stop().await;
}

async fn the_status_tells_that_the_log_is_away_until_it_is_back(world: World) {
    let gate = Gate::closed();
    let faults = world.log_faults();
    faults.on_fetch(LogFault::Fails);
    faults.on_fetch(LogFault::Fails);
    faults.on_fetch(LogFault::Stall(gate.clone()));
    let recorded = world.append([Event::opened("a")]);
    let handle = world.start().await;
    gate.wait_for_arrivals(1, PATIENCE);
    let delay = status(&handle).await.log_delay.expect("it is away");
    assert_eq!(delay.attempts, 2);
    assert!(delay.error.contains("scripted"), "{}", delay.error);
    gate.open();
    handle.wait(Await::events("accounts", &recorded)).await.expect("done");
    let status = status(&handle).await;
    assert_eq!((status.log_delay, status.store_delay), (None, None));
    handle.stop().await;
}

async fn a_log_that_failed_is_read_again_though_its_events_are_at_hand(world: World) {
    let handle = world.start().await;
    world.probe.notified(caught_up, PATIENCE).await;
    world.log_faults().on_fetch(LogFault::Fails);
    for id in ["a", "b"] {
        let recorded = world.append([Event::opened(id)]);
        handle.wait(Await::events("accounts", &recorded)).await.expect("done");
        // Nobody polls it here: else it would pass for one that is away until then.
        assert_eq!(status(&handle).await.log_delay, None);
    }
    let delayed = |notice: &Notice| matches!(notice, Notice::ReadDelayed { attempt: 1, .. });
    assert_eq!(world.probe.count(delayed), 1);
    handle.stop().await;
}

async fn a_log_that_panics_is_a_log_that_cannot_be_read(world: World) {
    world.log_faults().on_fetch(LogFault::Panics);
    let recorded = world.append([Event::opened("a")]);
    let handle = world.start().await;
    handle.wait(Await::events("accounts", &recorded)).await.expect("done");
    let panicked = |notice: &Notice| matches!(notice, Notice::ReadDelayed { error, .. } if error.contains("panicked"));
    assert_eq!(world.probe.count(panicked), 1);
    handle.stop().await;
}

async fn nothing_is_skipped_when_reads_fail_at_random(world: World) {
    let world = world.with(|config| {
        (config.slice, config.window) = (7, 20);
        (config.min_backoff, config.max_backoff) = (Duration::ZERO, Duration::ZERO);
    });
    world.log_faults().chaos(0.3, Seed::from_env().rng());
    let handle = world.start().await;
    world.append((0..10).map(|id| Event::opened(&id.to_string())));
    for round in 0..20 {
        world.append((0..10).map(|id| Event::deposited(&id.to_string(), round)));
    }
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    world.check();
    handle.stop().await;
}

async fn questions_to_the_log_are_tried_again_too(world: World) {
    let world = world.with(|config| config.slice = 1);
    let handle = world.start().await;
    let recorded = world.append((0..20).map(|id| Event::opened(&id.to_string())));
    // Asks for the head.
    world.log_faults().fail_reads(3);
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    // Asks for the event, which is in memory no more.
    world.log_faults().fail_reads(3);
    handle.wait(Await::events("accounts", &recorded[..1])).await.expect("done");
    assert_eq!(world.probe.count(|notice| matches!(notice, Notice::ReadDelayed { .. })), 6);
    handle.stop().await;
}

async fn a_wait_times_out_while_the_log_is_away_and_succeeds_later(world: World) {
    let gate = Gate::closed();
    world.log_faults().on_fetch(LogFault::Stall(gate.clone()));
    let recorded = world.append([Event::opened("a")]);
    let handle = world.start().await;
    let soon = Await::events("accounts", &recorded).within(Duration::from_millis(20));
    let error = handle.wait(soon).await.expect_err("the log is away");
    assert!(error.is_timeout());
    assert_eq!(outcomes(Err(error)), [Outcome::TimedOut]);
    gate.open();
    handle.wait(Await::events("accounts", &recorded)).await.expect("done");
    handle.stop().await;
}

#[actix_rt::test]
async fn what_was_just_appended_is_not_read_again() {
    let world = World::sqlite();
    let handle = world.start().await;
    world.probe.notified(caught_up, PATIENCE).await;
    let faults = world.log_faults();
    let fetched = faults.fetches();
    for id in 0..10 {
        let recorded = world.append([Event::opened(&id.to_string())]);
        handle.wait(Await::events("accounts", &recorded)).await.expect("done");
    }
    assert_eq!((faults.at_hand(), faults.fetches()), (10, fetched));
    world.check();
    handle.stop().await;
}

/// PostgreSQL's log is woken by its own appends too: a read may come before what is at hand.
#[actix_rt::test]
async fn what_was_just_appended_to_postgres_is_not_read_again() {
    let world = World::postgres();
    let handle = world.start().await;
    world.probe.notified(caught_up, PATIENCE).await;
    for id in 0..100 {
        let recorded = world.append([Event::opened(&id.to_string())]);
        handle.wait(Await::events("accounts", &recorded)).await.expect("done");
    }
    assert!(world.log_faults().at_hand() > 0, "all was read");
    world.check();
    handle.stop().await;
}

/// The read has seen the end of the log; then an event is appended; only then the read returns.
#[actix_rt::test]
async fn what_is_appended_while_a_read_returns_is_not_missed() {
    let log = Late::default();
    let world = World::new(AnyLog::new(log.clone()), AnyStore::memory());
    let handle = world.start().await;
    for id in ["a", "b", "c"] {
        let gate = Gate::closed();
        log.hold_next(gate.clone());
        // Makes it read, and find nothing.
        world.log_faults().wake();
        gate.wait_for_arrivals(1, PATIENCE);
        let recorded = world.append([Event::opened(id)]);
        gate.open();
        handle.wait(Await::events("accounts", &recorded)).await.expect("done");
    }
    world.check();
    handle.stop().await;
}
