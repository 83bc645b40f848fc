//! Killing each kind of actor in the middle of a commit: everything takes effect exactly once, and
//! those who wait are answered.

use std::{sync::Arc, time::Duration};

use rederive::{
    Activity, Await, Handle, Notice, RegisterError, Registration,
    chaos::{Kill, Victim},
};
use rederive_testkit::{CommitFault, Gate};

use crate::fixture::{
    PATIENCE, World,
    bank::{Accounts, COPIES, Event},
    notices::{fenced, restarted},
    on_every_store, status, until,
};

on_every_store!(
    a_partition_dispatcher_dies_before_its_commit_is_in_the_store,
    a_partition_dispatcher_dies_when_its_commit_is_in_the_store,
    a_dispatcher_dies_before_its_commit_is_in_the_store,
    a_dispatcher_dies_when_its_commit_is_in_the_store,
    an_event_log_dies_before_a_commit_is_in_the_store,
    an_event_log_dies_when_a_commit_is_in_the_store,
    a_persistence_dies_before_its_commit_is_in_the_store,
    a_persistence_dies_when_its_commit_is_in_the_store,
    a_partition_dispatcher_dies_while_its_commit_waits_for_its_turn,
    a_partition_dispatcher_dies_while_the_store_rejects_its_commit,
    a_store_that_cannot_be_opened_again_is_tried_until_it_can,
    nothing_is_opened_before_what_a_dead_persistence_has_begun_is_over,
    a_persistence_that_dies_during_a_registration_does_not_spoil_it,
);

pub(crate) fn kill(handle: &Handle, victim: Victim) {
    handle.supervisor().do_send(Kill { reducer: "accounts".to_owned(), victim });
}

fn deposit(id: &str, amount: i64) -> Event {
    Event::deposited(id, amount)
}

fn transfer(amount: i64) -> Event {
    Event::Transferred { from: "a".into(), to: "b".into(), amount }
}

fn kind(victim: &Victim) -> &'static str {
    match victim {
        Victim::Partition(_) => "partition dispatcher",
        Victim::Dispatcher => "dispatcher",
        Victim::Courier => "courier",
        Victim::EventLog => "event log",
        Victim::Persistence => "persistence",
    }
}

/// Kills while a commit stalls, events are buffered behind it, and somebody waits for each.
async fn survive(world: &World, victim: Victim, fault: impl Fn(Gate) -> CommitFault) {
    let handle = world.start().await;
    world.append(["a", "b"].map(Event::opened));
    world.settled(&handle).await;
    let gate = Gate::closed();
    world.store_faults().on_commit(fault(gate.clone()));
    let first = world.append([deposit("a", 1), transfer(2)]);
    gate.wait_for_arrivals(1, PATIENCE);
    let behind = world.append([deposit("a", 4), deposit("b", 8), transfer(16)]);
    until(&handle, "accounts", |status| status.in_flight == 7).await;
    let waits = [
        Await::events("accounts", &first),
        Await::events("accounts", &behind),
        Await::caught_up("accounts"),
    ]
    .map(|request| handle.supervisor().send(request));

    let kind = kind(&victim);
    kill(&handle, victim);
    if kind != "partition dispatcher" {
        world.probe.notified(restarted(kind), PATIENCE).await;
    }
    gate.open();
    for wait in waits {
        wait.await.expect("it lives").expect("done");
    }
    world.probe.notified(restarted(kind), PATIENCE).await;
    world.check();
    let restarts = |notice: &Notice| matches!(notice, Notice::Restarted { .. });
    assert_eq!(world.probe.count(restarts), 1);
    // And it goes on as before.
    world.append([transfer(32)]);
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    world.check();
    handle.stop().await;
}

async fn a_partition_dispatcher_dies_before_its_commit_is_in_the_store(world: World) {
    survive(&world, Victim::Partition("a".into()), CommitFault::Stall).await;
}

async fn a_partition_dispatcher_dies_when_its_commit_is_in_the_store(world: World) {
    survive(&world, Victim::Partition("a".into()), CommitFault::StallAfter).await;
}

async fn a_dispatcher_dies_before_its_commit_is_in_the_store(world: World) {
    survive(&world, Victim::Dispatcher, CommitFault::Stall).await;
}

async fn a_dispatcher_dies_when_its_commit_is_in_the_store(world: World) {
    survive(&world, Victim::Dispatcher, CommitFault::StallAfter).await;
}

async fn an_event_log_dies_before_a_commit_is_in_the_store(world: World) {
    survive(&world, Victim::EventLog, CommitFault::Stall).await;
}

async fn an_event_log_dies_when_a_commit_is_in_the_store(world: World) {
    survive(&world, Victim::EventLog, CommitFault::StallAfter).await;
}

async fn a_persistence_dies_before_its_commit_is_in_the_store(world: World) {
    survive(&world, Victim::Persistence, CommitFault::Stall).await;
}

async fn a_persistence_dies_when_its_commit_is_in_the_store(world: World) {
    survive(&world, Victim::Persistence, CommitFault::StallAfter).await;
}

async fn a_partition_dispatcher_dies_while_its_commit_waits_for_its_turn(world: World) {
    let handle = world.start().await;
    let gate = Gate::closed();
    world.store_faults().on_commit(CommitFault::Stall(gate.clone()));
    world.append([Event::opened("b")]);
    gate.wait_for_arrivals(1, PATIENCE);
    let waiting = world.append([Event::opened("a"), deposit("a", 1), transfer(2)]);
    until(&handle, "accounts", |status| status.in_flight == 5).await;
    let waits = handle.supervisor().send(Await::events("accounts", &waiting));
    kill(&handle, Victim::Partition("a".into()));
    world.probe.notified(restarted("partition dispatcher"), PATIENCE).await;
    gate.open();
    waits.await.expect("it lives").expect("done");
    world.check();
    handle.stop().await;
}

async fn a_partition_dispatcher_dies_while_the_store_rejects_its_commit(world: World) {
    let handle = world.start().await;
    let gate = Gate::closed();
    world.store_faults().on_commit(CommitFault::Stall(gate.clone()));
    world.append([
        Event::opened("a"),
        deposit("a", 1),
        Event::OpenedTwice { id: "a".into() },
        deposit("a", 2),
    ]);
    gate.wait_for_arrivals(1, PATIENCE);
    kill(&handle, Victim::Partition("a".into()));
    gate.open();
    world.settled(&handle).await;
    world.check();
    world.probe.notified(restarted("partition dispatcher"), PATIENCE).await;
    handle.stop().await;
}

async fn a_store_that_cannot_be_opened_again_is_tried_until_it_can(world: World) {
    let handle = world.start().await;
    let recorded = world.append([Event::opened("a")]);
    handle.wait(Await::events("accounts", &recorded)).await.expect("done");
    world.store_faults().fail_open(usize::from(u16::MAX));
    kill(&handle, Victim::Dispatcher);
    world.append([deposit("a", 1)]);
    let delayed = |notice: &Notice| matches!(notice, Notice::CommitDelayed { attempt: 4, .. });
    world.probe.notified(delayed, PATIENCE).await;
    let told = status(&handle).await;
    assert_eq!(told.activity, Activity::Opening);
    assert!(told.store_delay.expect("it is away").attempts >= 4);
    world.store_faults().heal();
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    let told = status(&handle).await;
    assert_eq!((told.activity, told.store_delay), (Activity::CaughtUp, None));
    world.check();
    handle.stop().await;
}

async fn nothing_is_opened_before_what_a_dead_persistence_has_begun_is_over(world: World) {
    let handle = world.start().await;
    let gate = Gate::closed();
    world.store_faults().on_commit(CommitFault::Stall(gate.clone()));
    world.append([Event::opened("a")]);
    gate.wait_for_arrivals(1, PATIENCE);
    // Its successor has itself opened: that waits for its turn, behind the commit.
    kill(&handle, Victim::Dispatcher);
    world.probe.notified(restarted("dispatcher"), PATIENCE).await;
    until(&handle, "accounts", |status| status.activity == Activity::Opening).await;
    let mut watch = world.probe.from_now();
    kill(&handle, Victim::Persistence);
    watch.notified(restarted("persistence"), PATIENCE).await;
    // Else that opening would come after this one, and take the reducer away from it.
    let started = |notice: &Notice| matches!(notice, Notice::Started { .. });
    let early = watch.try_wait_for(started, Duration::from_millis(50));
    assert!(early.is_err(), "opened while a commit of the dead one was under way");
    gate.open();
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    world.append([deposit("a", 1)]);
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    world.check();
    assert_eq!(world.probe.count(fenced), 0);
    handle.stop().await;
}

async fn a_persistence_that_dies_during_a_registration_does_not_spoil_it(world: World) {
    let handle = world.start().await;
    let gate = Gate::closed();
    world.store_faults().on_commit(CommitFault::Stall(gate.clone()));
    world.append([Event::opened("a")]);
    gate.wait_for_arrivals(1, PATIENCE);
    // Reducers are opened in turn with the commits, of which one stalls.
    let (log, store) = (Arc::new(world.log.clone()), Arc::new(world.store.clone()));
    let late = Registration::new(Arc::new(Accounts::copies()), log, store);
    let registering = handle.supervisor().send(late);
    kill(&handle, Victim::Persistence);
    world.probe.notified(restarted("persistence"), PATIENCE).await;
    gate.open();
    let registered: Result<(), RegisterError> = registering.await.expect("it lives");
    assert_eq!(registered, Ok(()));
    handle.wait(Await::caught_up("accounts").and("copies")).await.expect("caught up");
    world.check();
    assert_eq!(world.store.inner().rows(&COPIES), world.rows());
    handle.stop().await;
    // Nothing that the dead one had begun took the reducer away from its successor.
    assert_eq!(world.probe.count(fenced), 0);
}
