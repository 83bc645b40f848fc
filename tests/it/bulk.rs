//! Bulk: a reducer with a long way to go runs its partitions without an actor each, and nothing that
//! is promised depends on it.

use rederive::{Await, Config, Notice, OnFailure, Outcome, Sizes};
use rederive_testkit::{CommitFault, Gate, Rng, for_each_seed};

use crate::fixture::{
    PATIENCE, World,
    bank::{Accounts, Event, fold_healed},
    notices::passivated,
    on_every_store, outcomes, status, until,
};

on_every_store!(
    many_events_of_a_read_need_no_actors_and_few_do,
    many_events_of_a_read_are_one_commit_also_of_partitions_that_had_an_actor,
    in_bulk_no_partition_has_an_actor_and_once_caught_up_each_has,
    whoever_waits_in_bulk_is_answered_when_it_is_committed,
    a_group_takes_all_that_was_read_meanwhile,
    what_is_tried_again_in_bulk_delays_only_its_partition,
    a_partition_that_fails_behind_a_rejected_commit_is_dealt_with_once,
    what_comes_behind_a_rejected_commit_waits_for_it_when_bulk_is_over,
    partitions_in_bulk_are_bounded_however_many_there_are,
    a_stop_in_bulk_keeps_what_was_begun,
);

fn activated(notice: &Notice) -> bool {
    matches!(notice, Notice::Activated { .. })
}

fn in_bulk(config: &mut Config) {
    config.bulk = 5;
    config.slice = 5;
    config.rebuild = Sizes { slice: 7, window: 20, batch: 1000, group: 1000 };
}

fn event(rng: &mut Rng, partitions: usize) -> Event {
    let id = rng.range(0..partitions);
    let other = (id + 1 + rng.range(0..partitions - 1)) % partitions;
    let (id, amount) = (id.to_string(), rng.range(1..1000) as i64);
    match rng.range(0..300) {
        0 => Event::poison(&id),
        1 => Event::Bomb { id },
        2 => Event::OpenedTwice { id },
        3..20 => Event::Noise,
        20..60 => Event::Transferred { from: id, to: other.to_string(), amount },
        _ => Event::deposited(&id, amount),
    }
}

/// Some history of so many partitions.
fn history(rng: &mut Rng, partitions: usize, events: usize) -> Vec<Event> {
    let opened = (0..partitions).map(|id| Event::opened(&id.to_string()));
    let mut all: Vec<_> = opened.collect();
    all.extend((0..events).map(|_| event(rng, partitions)));
    all
}

#[test]
fn bulk_equals_row_by_row() {
    equal(20, 4, World::memory);
}

#[test]
fn bulk_equals_row_by_row_on_sqlite() {
    equal(6, 2, World::sqlite);
}

fn equal(fixed: u64, random: usize, world: fn() -> World) {
    let without = std::cell::Cell::new(0);
    for_each_seed(0..fixed, random, |rng| {
        let partitions = rng.range(2..30);
        let history = history(rng, partitions, 600);
        let policy = *rng.pick(&[OnFailure::Halt, OnFailure::Skip]);
        let policy = match policy {
            OnFailure::Skip => |_| OnFailure::Skip,
            _ => |_| OnFailure::Halt,
        };
        let mut size = || rng.range(1..40);
        let sizes = Sizes { slice: size(), window: size(), batch: size(), group: size() };
        let (slice, max_active) = (size(), size());
        let gather = *rng.pick(&[1, 8, usize::MAX]);
        // With more than one, a short slice ends it while what came before is in flight.
        let enough = rng.range(1..slice.min(sizes.slice) + 1);
        let bulk = world().with(|config| {
            (config.bulk, config.rebuild) = (enough, sizes);
            (config.slice, config.max_active, config.gather) = (slice, max_active, gather);
        });
        let row_by_row =
            world().with(|config| (config.bulk, config.gather) = (usize::MAX, usize::MAX));
        bulk.log_faults().chaos(*rng.pick(&[0.0, 0.1]), rng.fork());
        for world in [&bulk, &row_by_row] {
            world.append(history.clone());
            actix_rt::System::new().block_on(async {
                let reducers = [Accounts::new().on_failure(policy)];
                let handle = world.start_with(reducers).await;
                world.settled(&handle).await;
                handle.stop().await;
                let handle = world.start_folded().await;
                let _ = handle.wait(Await::caught_up("balances")).await;
                handle.stop().await;
            });
        }
        assert_eq!(bulk.rows(), row_by_row.rows());
        assert_eq!(bulk.halts(), row_by_row.halts());
        assert_eq!(bulk.balances(), row_by_row.balances());
        assert_eq!(bulk.halts_of("balances"), row_by_row.halts_of("balances"));
        bulk.check_folded();
        without.update(|sum| sum + usize::from(bulk.probe.count(activated) < 600));
    });
    assert!(without.get() > 0, "it was never in bulk");
}

async fn many_events_of_a_read_need_no_actors_and_few_do(world: World) {
    let world = world.with(|config| (config.bulk, config.gather) = (usize::MAX, 5));
    let handle = world.start().await;
    let opened = world.append((0..10).map(|id| Event::opened(&id.to_string())));
    handle.wait(Await::events("accounts", &opened)).await.expect("done");
    assert_eq!(world.probe.count(activated), 0);
    let few = world.append((0..3).map(|id| Event::deposited(&id.to_string(), 1)));
    handle.wait(Await::events("accounts", &few)).await.expect("done");
    assert_eq!(world.probe.count(activated), 3);
    // Whose actor is idle does without, and what fails is given one.
    let poison = Event::poison("9");
    let events = (0..8).map(|id| Event::deposited(&id.to_string(), 2)).chain([poison]);
    let many = world.append(events);
    let done = outcomes(handle.wait(Await::events("accounts", &many)).await);
    assert_eq!(done[..8], vec![Outcome::Done; 8]);
    assert!(matches!(done[8], Outcome::Halted(_)), "{:?}", done[8]);
    assert_eq!((world.probe.count(activated), world.probe.count(passivated)), (4, 3));
    handle.stop().await;
    world.check();
}

async fn many_events_of_a_read_are_one_commit_also_of_partitions_that_had_an_actor(world: World) {
    let world = world.with(|config| (config.bulk, config.gather) = (usize::MAX, 5));
    let handle = world.start().await;
    let few = world.append((0..4).map(|id| Event::opened(&id.to_string())));
    handle.wait(Await::events("accounts", &few)).await.expect("done");
    assert_eq!(status(&handle).await.active_partitions, 4);
    let before = world.store_faults().counts().commits;
    let deposits = (0..4).map(|id| Event::deposited(&id.to_string(), 1));
    let many = world.append(deposits.chain((4..8).map(|id| Event::opened(&id.to_string()))));
    handle.wait(Await::events("accounts", &many)).await.expect("done");
    assert_eq!(world.store_faults().counts().commits - before, 1);
    assert_eq!(status(&handle).await.active_partitions, 0);
    // One in the middle of an event keeps its actor, and its order.
    let gate = Gate::closed();
    world.store_faults().on_commit(CommitFault::Stall(gate.clone()));
    world.append([Event::deposited("0", 1)]);
    gate.wait_for_arrivals(1, PATIENCE);
    let many = world.append((0..8).map(|id| Event::deposited(&id.to_string(), 2)));
    gate.open();
    handle.wait(Await::events("accounts", &many)).await.expect("done");
    assert_eq!(world.probe.count(activated), 5);
    handle.stop().await;
    world.check();
}

async fn in_bulk_no_partition_has_an_actor_and_once_caught_up_each_has(world: World) {
    let world = world.with(in_bulk);
    world.append((0..10).map(|id| Event::opened(&id.to_string())));
    world.append((0..198).map(|n| Event::deposited(&(n % 9).to_string(), n)));
    world.append([Event::deposited("9", 1)]);
    let handle = world.start().await;
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    world.check();
    let actors = world.probe.count(activated);
    assert!(actors <= 7, "{actors} have actors");
    // As soon as nothing of them is in flight, those that had none are gone.
    until(&handle, "accounts", |status| status.active_partitions <= 7).await;
    for id in 0..10 {
        let recorded = world.append([Event::deposited(&id.to_string(), 1)]);
        handle.wait(Await::events("accounts", &recorded)).await.expect("done");
    }
    assert_eq!(status(&handle).await.active_partitions, 10);
    assert!(world.probe.count(activated) >= 10);
    world.check();
    handle.stop().await;
}

async fn whoever_waits_in_bulk_is_answered_when_it_is_committed(world: World) {
    let world = world.with(in_bulk);
    let recorded = world.append((0..100).map(|id| Event::opened(&(id % 50).to_string())).take(50));
    world.append((0..100).map(|n| Event::deposited(&(n % 50).to_string(), 1)));
    let gate = Gate::closed();
    world.store_faults().on_commit(CommitFault::Stall(gate.clone()));
    let handle = world.start().await;
    gate.wait_for_arrivals(1, PATIENCE);
    until(&handle, "accounts", |status| status.in_flight >= 20).await;
    let (first, waiting) = (recorded[0].clone(), handle.clone());
    let waiting =
        actix_rt::spawn(async move { waiting.wait(Await::events("accounts", [&first])).await });
    let early = Await::events("accounts", &recorded[..1]).within(std::time::Duration::ZERO);
    assert_eq!(outcomes(handle.wait(early).await), [Outcome::TimedOut]);
    assert!(world.rows().is_empty());
    gate.open();
    assert_eq!(outcomes(waiting.await.expect("no panic")), [Outcome::Done]);
    handle.wait(Await::events("accounts", &recorded)).await.expect("done");
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    world.check();
    handle.stop().await;
}

async fn a_group_takes_all_that_was_read_meanwhile(world: World) {
    let world = world.with(|config| {
        in_bulk(config);
        config.rebuild.window = 1000;
    });
    world.append((0..10).map(|id| Event::opened(&id.to_string())));
    world.append((0..300).map(|n| Event::deposited(&(n % 10).to_string(), 1)));
    let gate = Gate::closed();
    world.store_faults().on_commit(CommitFault::Stall(gate.clone()));
    let handle = world.start().await;
    gate.wait_for_arrivals(1, PATIENCE);
    until(&handle, "accounts", |status| status.in_flight == 310).await;
    gate.open();
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    let commits = world.store_faults().counts().commits;
    assert!(commits <= 3, "{commits} transactions for 45 slices");
    world.check();
    handle.stop().await;
}

async fn a_partition_that_fails_behind_a_rejected_commit_is_dealt_with_once(world: World) {
    let world = world.with(in_bulk);
    let gate = Gate::closed();
    world.store_faults().on_commit(CommitFault::Stall(gate.clone()));
    let twice = Event::OpenedTwice { id: "a".to_owned() };
    world.append([Event::opened("a"), Event::opened("b"), twice]);
    world.append((4..=7).map(|amount| Event::deposited("b", amount)));
    // A slice of its own, which is reduced before the commit of the first is answered.
    world.append([Event::poison("a"), Event::deposited("a", 9)]);
    world.append((10..=14).map(|amount| Event::deposited("b", amount)));
    let skipping = Accounts::new().on_failure(|_| OnFailure::Skip);
    let handle = world.start_with([skipping]).await;
    gate.wait_for_arrivals(1, PATIENCE);
    until(&handle, "accounts", |status| status.in_flight == 14).await;
    gate.open();
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    assert_eq!(world.rows(), fold_healed(&world.events()).rows);
    handle.stop().await;
}

async fn what_is_tried_again_in_bulk_delays_only_its_partition(world: World) {
    let world = world.with(|config| {
        in_bulk(config);
        config.rebuild.window = 1000;
    });
    let at_once = |_| OnFailure::Retry(std::time::Duration::from_millis(1));
    let reducer = Accounts::new().on_failure(at_once);
    let cure = reducer.cure();
    world.append([Event::opened("a"), Event::poison("a"), Event::opened("b")]);
    let last = world.append((0..100).map(|n| Event::deposited("b", n)));
    let later = world.append((0..20).map(|n| Event::deposited("a", n)));
    let handle = world.start_with([reducer]).await;
    handle.wait(Await::events("accounts", &last)).await.expect("the other partition goes on");
    until(&handle, "accounts", |status| status.retrying_partitions == 1).await;
    cure.store(true, std::sync::atomic::Ordering::SeqCst);
    handle.wait(Await::events("accounts", &later)).await.expect("done");
    world.settled(&handle).await;
    assert_eq!(world.rows(), fold_healed(&world.events()).rows);
    handle.stop().await;
}

async fn what_comes_behind_a_rejected_commit_waits_for_it_when_bulk_is_over(world: World) {
    let world = world.with(in_bulk);
    world.append(["a", "b", "c", "d"].map(Event::opened));
    world.append([Event::OpenedTwice { id: "a".into() }]);
    let gate = Gate::closed();
    world.store_faults().on_commit(CommitFault::Stall(gate.clone()));
    let handle = world.start().await;
    gate.wait_for_arrivals(1, PATIENCE);
    world.append([Event::deposited("a", 1), Event::deposited("b", 2)]);
    until(&handle, "accounts", |status| status.in_flight == 7).await;
    gate.open();
    world.settled(&handle).await;
    world.check();
    assert_eq!(status(&handle).await.halted_partitions, 1);
    handle.stop().await;
}

async fn partitions_in_bulk_are_bounded_however_many_there_are(world: World) {
    let world = world.with(|config| {
        in_bulk(config);
        config.max_active = 10;
    });
    world.append((0..1500).map(|id| Event::opened(&id.to_string())));
    let gate = Gate::closed();
    let handle = world.start().await;
    world.store_faults().on_commit(CommitFault::Stall(gate.clone()));
    until(&handle, "accounts", |status| status.active_partitions >= 10).await;
    // Those allowed, and those in flight: a window and one slice more.
    let active = status(&handle).await.active_partitions;
    assert!(active <= 10 + 20 + 7, "{active} at once");
    gate.open();
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    assert!(status(&handle).await.active_partitions <= 10);
    world.check();
    handle.stop().await;
}

async fn a_stop_in_bulk_keeps_what_was_begun(world: World) {
    let world = world.with(in_bulk);
    world.append((0..50).map(|id| Event::opened(&id.to_string())));
    let recorded = world.append((0..500).map(|n| Event::deposited(&(n % 50).to_string(), 1)));
    let handle = world.start().await;
    let waiting = {
        let (handle, some) = (handle.clone(), recorded[20].clone());
        actix_rt::spawn(async move { handle.wait(Await::events("accounts", [&some])).await })
    };
    until(&handle, "accounts", |status| status.watermark > rederive::Cursor::Start).await;
    handle.stop().await;
    let said = outcomes(waiting.await.expect("no panic"));
    assert!(matches!(said[..], [Outcome::Done | Outcome::Stopped]), "{said:?}");
    let handle = world.start().await;
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    world.check();
    handle.stop().await;
}
