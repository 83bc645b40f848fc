//! Watching: the status tells how far a reducer is behind, and never hangs.

use std::time::{Duration, Instant, SystemTime};

use rederive::{
    Activity, Await, Cursor, MemoryLog, MemoryStore, Rederive, Timestamp,
    core::{Holder, Holds},
};
use rederive_testkit::{CommitFault, Gate, LogFault};

use crate::fixture::{
    PATIENCE, World,
    bank::Event,
    notices::{blocked, caught_up},
    on_every_store, status,
    ticks::{Tick, Ticks},
    until,
};

on_every_store!(
    the_lag_counts_the_events_that_are_not_settled,
    a_reducer_that_has_caught_up_has_no_lag,
    the_rate_counts_events_once_they_are_settled,
    a_status_does_not_wait_for_a_store_that_is_away,
    a_status_does_not_wait_long_for_a_log_that_does_not_answer,
    a_status_does_not_ask_a_log_that_is_away,
    a_status_that_cannot_ask_the_log_delays_no_reads,
    a_status_names_the_transactions_that_hold_the_log_back,
    a_blocked_reducer_lags_by_what_it_cannot_pass,
);

async fn the_lag_counts_the_events_that_are_not_settled(world: World) {
    let handle = world.start().await;
    world.append([Event::opened("a"), Event::opened("b")]);
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    let gate = Gate::closed();
    world.store_faults().on_commit(CommitFault::Stall(gate.clone()));
    let later = world.append([Event::deposited("a", 1), Event::Noise, Event::deposited("b", 1)]);
    gate.wait_for_arrivals(1, PATIENCE);
    let told = status(&handle).await;
    assert_eq!((told.head, told.watermark), (Some(Cursor::from(5)), Cursor::from(2)));
    let lag = told.lag.expect("the log has answered");
    assert_eq!(lag.events, 3);
    assert!(lag.age.expect("it can be decoded") < PATIENCE);
    gate.open();
    handle.wait(Await::events("accounts", &later)).await.expect("done");
    until(&handle, "accounts", |status| status.lag.is_some_and(|lag| lag.events == 0)).await;
    handle.stop().await;
}

async fn a_reducer_that_has_caught_up_has_no_lag(world: World) {
    let handle = world.start().await;
    for _ in 0..2 {
        handle.wait(Await::caught_up("accounts")).await.expect("caught up");
        let lag = status(&handle).await.lag.expect("the log has answered");
        assert_eq!((lag.events, lag.age), (0, Some(Duration::ZERO)));
        world.append([Event::opened("a"), Event::Noise]);
    }
    handle.stop().await;
}

#[actix_rt::test]
async fn the_age_is_that_of_the_oldest_event_that_is_not_settled() {
    let (log, store, gate) = (MemoryLog::new(), MemoryStore::new(), Gate::closed());
    let store = rederive_testkit::FaultyStore::new(store);
    let now = Timestamp::from(SystemTime::now()).as_micros();
    let ago = |seconds: i64| Timestamp::from_micros(now - seconds * 1_000_000);
    let append = |cursor: u64, seconds| {
        let tick = Tick { of: "clock", by: 1 };
        log.append_at(cursor.into(), ago(seconds), tick).expect("it grows");
    };
    append(1, 7200);
    let rederive = Rederive::new(log.clone()).register(Ticks, store.clone());
    let handle = rederive.start().await.expect("it starts");
    handle.wait(Await::caught_up("ticks")).await.expect("caught up");
    store.faults().on_commit(CommitFault::Stall(gate.clone()));
    append(2, 3600);
    append(3, 60);
    gate.wait_for_arrivals(1, PATIENCE);
    let age = status(&handle).await.lag.expect("the log has answered").age.expect("it is known");
    assert!(age >= Duration::from_secs(3600) && age < Duration::from_secs(3700), "{age:?}");
    gate.open();
    handle.wait(Await::caught_up("ticks")).await.expect("caught up");
    assert_eq!(status(&handle).await.lag.expect("it has answered").age, Some(Duration::ZERO));
    // Clocks differ: an event from the future is not negatively old.
    store.faults().on_commit(CommitFault::Stall(gate.clone()));
    gate.close();
    append(4, -3600);
    gate.wait_for_arrivals(2, PATIENCE);
    assert_eq!(status(&handle).await.lag.expect("it has answered").age, Some(Duration::ZERO));
    gate.open();
    handle.stop().await;
}

async fn the_rate_counts_events_once_they_are_settled(world: World) {
    let handle = world.start().await;
    assert_eq!(status(&handle).await.rate, 0.0);
    // Two partitions, one and none: four events all the same.
    let transfer = Event::Transferred { from: "a".into(), to: "b".into(), amount: 1 };
    let begun = Instant::now();
    world.append([Event::opened("a"), Event::opened("b"), transfer, Event::Noise]);
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    let told = status(&handle).await.rate;
    let span = begun.elapsed().as_secs_f64();
    // At most as if all of it had happened in one second; at least as if it had begun before we did.
    assert!(told <= 4.0 && (told > 0.0 || span > 9.0), "{told} events per second in {span} s");
    handle.stop().await;
}

async fn a_status_does_not_wait_for_a_store_that_is_away(world: World) {
    world.store_faults().on_commit(CommitFault::Transient);
    let gate = Gate::closed();
    world.store_faults().on_commit(CommitFault::Stall(gate.clone()));
    let handle = world.start().await;
    world.append([Event::opened("a")]);
    gate.wait_for_arrivals(1, PATIENCE);
    let told = status(&handle).await;
    let delay = told.store_delay.expect("it has failed once");
    assert_eq!((delay.attempts, told.in_flight), (1, 1));
    assert!(delay.since <= Timestamp::from(SystemTime::now()));
    assert_eq!(told.lag.expect("the log has answered").events, 1);
    gate.open();
    handle.stop().await;
}

async fn a_status_does_not_wait_long_for_a_log_that_does_not_answer(world: World) {
    let handle = world.start().await;
    world.probe.notified(caught_up, PATIENCE).await;
    let gate = Gate::closed();
    world.log_faults().on_fetch(LogFault::Stall(gate.clone()));
    world.append([Event::opened("a")]);
    gate.wait_for_arrivals(1, PATIENCE);
    // The gate opens only after it: else this would not come back.
    let told = status(&handle).await;
    assert_eq!((told.head, told.lag), (None, None));
    assert_eq!(told.activity, Activity::CatchingUp);
    gate.open();
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    assert!(status(&handle).await.lag.is_some());
    handle.stop().await;
}

async fn a_status_does_not_ask_a_log_that_is_away(world: World) {
    let handle = world.start().await;
    world.probe.notified(caught_up, PATIENCE).await;
    let gate = Gate::closed();
    world.log_faults().on_fetch(LogFault::Fails);
    world.log_faults().on_fetch(LogFault::Stall(gate.clone()));
    world.append([Event::opened("a")]);
    gate.wait_for_arrivals(1, PATIENCE);
    let told = status(&handle).await;
    let delay = told.log_delay.expect("it has failed once");
    assert!(delay.attempts == 1 && delay.error.contains("scripted"), "{delay:?}");
    assert_eq!(told.lag, None);
    gate.open();
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    assert_eq!(status(&handle).await.log_delay, None);
    handle.stop().await;
}

async fn a_status_that_cannot_ask_the_log_delays_no_reads(world: World) {
    let handle = world.start().await;
    world.probe.notified(caught_up, PATIENCE).await;
    // The question of the status fails, and nothing else does.
    world.log_faults().fail_reads(1);
    assert_eq!(status(&handle).await.lag, None);
    let told = status(&handle).await;
    assert_eq!((told.log_delay, told.lag.map(|lag| lag.events)), (None, Some(0)));
    let recorded = world.append([Event::opened("a")]);
    handle.wait(Await::events("accounts", &recorded)).await.expect("done");
    let delayed =
        |notice: &rederive::Notice| matches!(notice, rederive::Notice::ReadDelayed { .. });
    assert_eq!(world.probe.count(delayed), 0);
    handle.stop().await;
}

async fn a_status_names_the_transactions_that_hold_the_log_back(world: World) {
    let handle = world.start().await;
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    assert_eq!(status(&handle).await.held_back, []);
    let mut holder = Holder::new(Holds::Reads);
    (holder.process, holder.application) = (Some(4711), Some("psql".into()));
    world.log_faults().hold_back([holder.clone()]);
    let told = status(&handle).await;
    // Although, as far as it can read, there is nothing to do.
    assert_eq!((told.held_back, told.activity), (vec![holder], Activity::CaughtUp));
    world.log_faults().hold_back([]);
    assert_eq!(status(&handle).await.held_back, []);
    handle.stop().await;
}

async fn a_blocked_reducer_lags_by_what_it_cannot_pass(world: World) {
    let handle = world.start().await;
    world.append([Event::opened("a"), Event::Unroutable, Event::opened("b")]);
    world.probe.notified(blocked, PATIENCE).await;
    until(&handle, "accounts", |status| status.watermark == Cursor::from(1)).await;
    let told = status(&handle).await;
    assert!(matches!(told.activity, Activity::Blocked(_)), "{told:?}");
    let lag = told.lag.expect("the log has answered");
    assert_eq!(lag.events, 2);
    assert!(lag.age.is_some());
    handle.stop().await;
}
