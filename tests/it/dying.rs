//! Dying: an actor that ends in the middle of its work is replaced, and nothing is lost or doubled.

use std::sync::Arc;

use rederive::{Await, Notice, Outcome, chaos::Victim};
use rederive_testkit::{CommitFault, Gate};

use crate::fixture::{
    PATIENCE, World,
    bank::{Accounts, Event},
    notices::{halted, restarted},
    on_every_store, outcomes, until,
};
use crate::killing::kill;

on_every_store!(
    a_halted_partition_whose_actor_dies_stays_halted,
    the_successor_of_a_dead_actor_is_not_given_what_stands_behind_a_block,
);

async fn a_halted_partition_whose_actor_dies_stays_halted(world: World) {
    let handle = world.start().await;
    world.append([Event::opened("a"), Event::poison("a")]);
    world.probe.notified(halted, PATIENCE).await;
    kill(&handle, Victim::Partition("a".into()));
    world.probe.notified(restarted("partition dispatcher"), PATIENCE).await;
    let later = world.append([Event::deposited("a", 7)]);
    let waited = handle.wait(Await::events("accounts", &later)).await;
    assert!(matches!(outcomes(waited)[0], Outcome::Halted(_)));
    world.check();
    handle.stop().await;
}

async fn the_successor_of_a_dead_actor_is_not_given_what_stands_behind_a_block(world: World) {
    let gate = Gate::closed();
    world.store_faults().on_commit(CommitFault::Stall(gate.clone()));
    let handle = world.start().await;
    world.append([Event::opened("b")]);
    gate.wait_for_arrivals(1, PATIENCE);
    // In one slice; what is reduced of it waits for the transaction that stalls.
    world.append([Event::opened("a"), Event::Unroutable, Event::deposited("a", 5)]);
    world.probe.notified(|notice| matches!(notice, Notice::Blocked { .. }), PATIENCE).await;
    kill(&handle, Victim::Partition("a".into()));
    world.probe.notified(restarted("partition dispatcher"), PATIENCE).await;
    gate.open();
    handle.wait(Await::cursors("accounts", [2.into()])).await.expect("done");
    handle.stop().await;
    assert_eq!(world.rows()["a"], (0, 1, 2));
    assert_eq!(world.probe.count(restarted("dispatcher")), 0);
}

/// In memory, where it is certain which reads a wake-up leads to.
#[actix_rt::test]
async fn the_successor_of_a_dead_actor_is_given_each_event_once_though_slices_overlap() {
    let world = World::memory();
    // `copies` has followed the log up to 7: it reads (7, 17], `accounts` (0, 10], and when that
    // goes on after 10, it is served with what the other read.
    let world = world.with(|config| (config.slice, config.group) = (10, 1));
    world.append(vec![Event::Noise; 7]);
    let handle = world.start_with([Accounts::copies()]).await;
    handle.wait(Await::caught_up("copies")).await.expect("caught up");
    handle.stop().await;
    world.append([Event::opened("b"), Event::opened("a"), Event::Noise, Event::Noise]);
    world.append([Event::deposited("a", 5)]);
    world.append(vec![Event::Noise; 5]);
    let log = Arc::new(world.log.clone());
    let handle = world.builder().start().await.expect("it starts");
    world.register(&handle, &log, Accounts::copies()).await;
    handle.wait(Await::caught_up("copies")).await.expect("caught up");

    let gate = Gate::closed();
    world.store_faults().on_commit(CommitFault::Stall(gate.clone()));
    world.register(&handle, &log, Accounts::new()).await;
    until(&handle, "accounts", |status| status.position == 17.into()).await;
    assert_eq!(world.log_faults().fetches(), 3, "the last slice was shared");
    kill(&handle, Victim::Partition("a".into()));
    world.probe.notified(restarted("partition dispatcher"), PATIENCE).await;
    gate.open();
    handle.wait(Await::caught_up("accounts").and("copies")).await.expect("caught up");
    handle.stop().await;
    world.check();
    assert_eq!(world.probe.count(restarted("dispatcher")), 0);
}
