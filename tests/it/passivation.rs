//! Passivation: idle partitions are stopped and woken again, and nobody notices.

use std::time::Duration;

use rederive::{Await, Handle, Notice, Outcome};
use rederive_testkit::{CommitFault, Gate, for_each_seed};

use crate::fixture::{
    PATIENCE, World, bank::Event, notices::passivated, on_every_store, outcomes, status, until,
};

on_every_store!(
    an_idle_partition_is_stopped_and_woken_by_its_next_event,
    those_who_wait_for_a_partition_that_was_stopped_are_answered,
    the_idlest_partitions_are_stopped_when_there_are_too_many,
    a_partition_with_events_in_flight_is_never_stopped,
);

/// Nothing is lost whatever is stopped when.
#[test]
fn random_events_over_partitions_that_come_and_go_are_all_applied_in_order() {
    let stopped = std::cell::Cell::new(0);
    for_each_seed(0..12, 4, |rng| {
        let world = World::memory().with(|config| {
            config.idle_timeout = Duration::from_millis(rng.range(0..3) as u64);
            config.max_active = rng.range(1..5);
            config.slice = rng.range(1..20);
        });
        let partitions = rng.range(2..20);
        actix_rt::System::new().block_on(async {
            let handle = world.start().await;
            world.append((0..partitions).map(|id| Event::opened(&id.to_string())));
            for amount in 0..rng.range(20..120) {
                let burst: Vec<_> = (0..rng.range(1..6))
                    .map(|_| {
                        let mut pick = || rng.range(0..partitions).to_string();
                        let (from, to, amount) = (pick(), pick(), amount as i64);
                        if from == to || rng.chance(0.7) {
                            Event::deposited(&to, amount)
                        } else {
                            Event::Transferred { from, to, amount }
                        }
                    })
                    .collect();
                let recorded = world.append(burst);
                if rng.chance(0.4) {
                    let some = recorded.iter().filter(|_| rng.chance(0.5));
                    handle.wait(Await::events("accounts", some)).await.expect("done");
                }
            }
            handle.wait(Await::caught_up("accounts")).await.expect("caught up");
            world.check();
            handle.stop().await;
        });
        stopped.set(stopped.get() + world.probe.count(passivated));
    });
    assert!(stopped.get() > 100);
}

async fn append_and_wait(world: &World, handle: &Handle, event: Event) {
    let recorded = world.append([event]);
    handle.wait(Await::events("accounts", &recorded)).await.expect("done");
}

async fn an_idle_partition_is_stopped_and_woken_by_its_next_event(world: World) {
    let world = world.with(|config| config.idle_timeout = Duration::ZERO);
    let handle = world.start().await;
    append_and_wait(&world, &handle, Event::opened("a")).await;
    for _ in 0..3 {
        let mut watch = world.probe.from_now();
        append_and_wait(&world, &handle, Event::deposited("a", 1)).await;
        watch.notified(passivated, PATIENCE).await;
        until(&handle, "accounts", |status| status.active_partitions == 0).await;
    }
    assert!(world.probe.count(|notice| matches!(notice, Notice::Activated { .. })) >= 3);
    world.check();
    handle.stop().await;
}

async fn those_who_wait_for_a_partition_that_was_stopped_are_answered(world: World) {
    let world = world.with(|config| config.idle_timeout = Duration::ZERO);
    let handle = world.start().await;
    let recorded = world.append([Event::opened("a"), Event::opened("b"), Event::poison("b")]);
    world.settled(&handle).await;
    until(&handle, "accounts", |status| status.active_partitions == 0).await;
    let waited = handle.wait(Await::events("accounts", &recorded)).await;
    let outcomes = outcomes(waited);
    assert_eq!(outcomes[..2], [Outcome::Done, Outcome::Done]);
    assert!(matches!(outcomes[2], Outcome::Halted(_)));
    // A halted partition is not woken by what it only holds.
    let mut watch = world.probe.from_now();
    world.append([Event::deposited("b", 1), Event::deposited("a", 1)]);
    world.settled(&handle).await;
    let activated = |notice: &Notice| matches!(notice, Notice::Activated { .. });
    let Notice::Activated { partition, .. } = watch.notified(activated, PATIENCE).await else {
        panic!("the watch looked for that");
    };
    assert_eq!(partition, "a".into());
    world.check();
    handle.stop().await;
}

async fn the_idlest_partitions_are_stopped_when_there_are_too_many(world: World) {
    let world = world.with(|config| config.max_active = 3);
    let handle = world.start().await;
    for id in ["a", "b", "c"] {
        append_and_wait(&world, &handle, Event::opened(id)).await;
    }
    assert_eq!(status(&handle).await.active_partitions, 3);
    assert_eq!(world.probe.count(passivated), 0);
    // Used again, so that another one is the idlest.
    append_and_wait(&world, &handle, Event::deposited("a", 1)).await;
    for id in ["d", "e"] {
        append_and_wait(&world, &handle, Event::opened(id)).await;
    }
    let stopped: Vec<_> = world
        .probe
        .all()
        .into_iter()
        .filter_map(|notice| match notice {
            Notice::Passivated { partition, .. } => Some(partition.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(stopped, ["b", "c"]);
    assert_eq!(status(&handle).await.active_partitions, 3);
    world.check();
    handle.stop().await;
}

async fn a_partition_with_events_in_flight_is_never_stopped(world: World) {
    let world = world.with(|config| {
        (config.max_active, config.idle_timeout) = (1, Duration::ZERO);
        config.gather = usize::MAX;
    });
    let gate = Gate::closed();
    world.store_faults().on_commit(CommitFault::Stall(gate.clone()));
    let handle = world.start().await;
    world.append((0..20).map(|id| Event::opened(&id.to_string())));
    gate.wait_for_arrivals(1, PATIENCE);
    world.append((0..20).map(|id| Event::deposited(&id.to_string(), 1)));
    until(&handle, "accounts", |status| status.in_flight == 40).await;
    assert_eq!(status(&handle).await.active_partitions, 20);
    assert_eq!(world.probe.count(passivated), 0);
    gate.open();
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    world.check();
    until(&handle, "accounts", |status| status.active_partitions <= 1).await;
    handle.stop().await;
}
