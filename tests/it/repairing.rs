//! Repairing: a halted partition is tried again and catches up with what it held.

use actix_rt::task::JoinHandle;
use rederive::{Await, FailureKind, Handle, Notice, Outcome, RepairError, Store, chaos::Victim};
use rederive_testkit::{CommitFault, Gate};

use crate::{
    fixture::{
        PATIENCE, World,
        bank::{Accounts, Event, Model, fold},
        notices::recovered,
        on_every_store, outcomes, status, until,
    },
    killing::kill,
};

on_every_store!(
    corrected_code_applies_every_event_once,
    a_retry_that_fails_keeps_the_halt_and_counts_the_attempt,
    a_retry_that_fails_later_keeps_what_came_before,
    new_events_wait_until_the_held_ones_are_applied,
    what_is_not_halted_cannot_be_repaired,
    an_event_that_was_held_is_done_after_the_repair,
    a_repair_that_was_interrupted_goes_on_after_the_next_start,
    a_repair_whose_actor_dies_can_be_asked_for_again,
    a_repaired_partition_whose_actor_dies_is_not_taken_for_halted,
    a_commit_in_doubt_applies_nothing_twice_during_a_repair,
    enough_repairs_unblock_the_reducer,
);

/// What the table must hold once everything that was poison is reduced to nothing.
fn healed(world: &World) -> Model {
    let mut events = world.events();
    events.retain(|event| !matches!(event.data, Event::Poison { .. } | Event::Bomb { .. }));
    let folded = fold(&events);
    assert!(folded.halts.is_empty(), "{:?}", folded.halts);
    folded.rows
}

/// An account that halts at its fourth event and holds three more; another that goes on.
async fn halted_world(world: &World) -> Handle {
    let handle = world.start().await;
    let deposited = |amount| Event::deposited("a", amount);
    let transferred = Event::Transferred { from: "a".into(), to: "b".into(), amount: 7 };
    world.append([Event::opened("b"), Event::opened("a"), deposited(1), deposited(2)]);
    world.append([Event::poison("a"), deposited(4), transferred, deposited(16)]);
    world.settled(&handle).await;
    world.check();
    handle
}

/// Asks for a repair and goes on without waiting for its end.
async fn begin_retry(handle: &Handle) -> JoinHandle<Result<(), RepairError>> {
    let handle = handle.clone();
    let repair = actix_rt::spawn(async move { handle.retry("accounts", "a").await });
    // The request is sent when the task runs for the first time.
    actix_rt::task::yield_now().await;
    repair
}

async fn restart_healed(world: &World, handle: Handle) -> Handle {
    handle.stop().await;
    world.start_with([Accounts::new().healed()]).await
}

async fn corrected_code_applies_every_event_once(world: World) {
    let handle = halted_world(&world).await;
    let handle = restart_healed(&world, handle).await;
    world.append([Event::deposited("a", 32)]);
    handle.retry("accounts", "a").await.expect("it is repaired");
    world.settled(&handle).await;
    assert_eq!(world.rows(), healed(&world));
    assert!(world.halts().is_empty());
    assert_eq!(status(&handle).await.halted_partitions, 0);
    // And so it stays.
    let handle = restart_healed(&world, handle).await;
    let recorded = world.append([Event::deposited("a", 64)]);
    handle.wait(Await::events("accounts", &recorded)).await.expect("done");
    assert_eq!(world.rows(), healed(&world));
    handle.stop().await;
}

async fn a_retry_that_fails_keeps_the_halt_and_counts_the_attempt(world: World) {
    let handle = halted_world(&world).await;
    for attempt in 2..4 {
        let error = handle.retry("accounts", "a").await.expect_err("poison as before");
        let RepairError::Halted(halt) = error else { panic!("{error}") };
        assert_eq!((halt.attempts, halt.kind), (attempt, FailureKind::Reduce));
        let stored = world.store.halted("accounts", None, 10).expect("readable").remove(0);
        assert_eq!(stored.halt.as_ref(), Some(&*halt));
        world.check();
    }
    handle.stop().await;
}

async fn a_retry_that_fails_later_keeps_what_came_before(world: World) {
    let handle = halted_world(&world).await;
    let later = world.append([Event::OpenedTwice { id: "a".into() }, Event::deposited("a", 32)]);
    let handle = restart_healed(&world, handle).await;
    // The corrected reducer ignores both kinds of poison, so let the store refuse the last event.
    let last = later[1].cursor.clone();
    world.store_faults().reject_where(move |write| {
        let hit = write.guard.is_some_and(|first| *first <= last) && *write.cursor >= last;
        hit.then(|| (FailureKind::Rejected, "not that one".to_owned()))
    });
    let error = handle.retry("accounts", "a").await.expect_err("rejected");
    let RepairError::Halted(halt) = error else { panic!("{error}") };
    assert_eq!((&halt.cursor, halt.attempts), (&later[1].cursor, 1));
    // The deposits of 1, 2, 4 and 16, and the 7 that were transferred.
    assert_eq!(world.rows()["a"].0, 16);
    world.store_faults().heal();
    handle.retry("accounts", "a").await.expect("it is repaired");
    assert_eq!(world.rows()["a"].0, 16 + 32);
    handle.stop().await;
}

async fn new_events_wait_until_the_held_ones_are_applied(world: World) {
    let world = world.with(|config| config.slice = 3);
    let handle = halted_world(&world).await;
    let handle = restart_healed(&world, handle).await;
    let repairs = (0..3).map(|_| {
        let handle = handle.clone();
        actix_rt::spawn(async move { handle.retry("accounts", "a").await })
    });
    let repairs: Vec<_> = repairs.collect();
    for amount in 0..200 {
        world.append([Event::deposited("a", amount), Event::deposited("b", 1)]);
        actix_rt::task::yield_now().await;
    }
    for repair in repairs {
        // Whoever asks when it is done already is told that nothing is halted.
        let result = repair.await.expect("no panic");
        assert!(matches!(result, Ok(()) | Err(RepairError::NotHalted)), "{result:?}");
    }
    world.settled(&handle).await;
    assert_eq!(world.rows(), healed(&world));
    handle.stop().await;
}

async fn what_is_not_halted_cannot_be_repaired(world: World) {
    let handle = halted_world(&world).await;
    assert_eq!(handle.retry("accounts", "b").await, Err(RepairError::NotHalted));
    assert_eq!(handle.retry("accounts", "nobody").await, Err(RepairError::NotHalted));
    let unknown = handle.retry("acounts", "a").await;
    assert_eq!(unknown, Err(RepairError::UnknownReducer { name: "acounts".into() }));
    handle.stop().await;
    assert_eq!(handle.retry("accounts", "a").await, Err(RepairError::Interrupted));
    world.check();
}

async fn an_event_that_was_held_is_done_after_the_repair(world: World) {
    let handle = halted_world(&world).await;
    let handle = restart_healed(&world, handle).await;
    let events = world.events();
    let held = &events[5..];
    let before = outcomes(handle.wait(Await::events("accounts", held)).await);
    assert!(before.iter().any(|outcome| matches!(outcome, Outcome::Halted(_))), "{before:?}");
    handle.retry("accounts", "a").await.expect("it is repaired");
    handle.wait(Await::events("accounts", held)).await.expect("done");
    handle.stop().await;
}

async fn a_repair_that_was_interrupted_goes_on_after_the_next_start(world: World) {
    let world = world.with(|config| config.slice = 2);
    let handle = halted_world(&world).await;
    let handle = restart_healed(&world, handle).await;
    // The first commit of the repair passes the poison; the second finds the door closed.
    let gate = Gate::closed();
    world.store_faults().on_commit_after(1, CommitFault::Stall(gate.clone()));
    let repair = begin_retry(&handle).await;
    gate.wait_for_arrivals(1, PATIENCE);
    // A second owner takes over, so that what waits at the door is never committed.
    let second = world.start_with([Accounts::new().healed()]).await;
    gate.open();
    assert!(repair.await.expect("no panic").is_err());
    handle.stop().await;
    until(&second, "accounts", |status| status.halted_partitions == 0).await;
    world.probe.notified(recovered, PATIENCE).await;
    world.settled(&second).await;
    assert_eq!(world.rows(), healed(&world));
    assert!(world.halts().is_empty());
    second.stop().await;
}

async fn a_repair_whose_actor_dies_can_be_asked_for_again(world: World) {
    let handle = halted_world(&world).await;
    let handle = restart_healed(&world, handle).await;
    let gate = Gate::closed();
    world.store_faults().on_commit(CommitFault::Stall(gate.clone()));
    let repair = begin_retry(&handle).await;
    gate.wait_for_arrivals(1, PATIENCE);
    kill(&handle, Victim::Dispatcher);
    assert_eq!(repair.await.expect("no panic"), Err(RepairError::Interrupted));
    gate.open();
    loop {
        match handle.retry("accounts", "a").await {
            // The repair that had passed the poison went on by itself.
            Ok(()) | Err(RepairError::NotHalted) => break,
            Err(RepairError::Interrupted) => actix_rt::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
    world.settled(&handle).await;
    assert_eq!(world.rows(), healed(&world));
    handle.stop().await;
}

async fn a_repaired_partition_whose_actor_dies_is_not_taken_for_halted(world: World) {
    let handle = halted_world(&world).await;
    let handle = restart_healed(&world, handle).await;
    // The commits of the repair pass; the one that lifts the halt finds the door closed.
    let gate = Gate::closed();
    world.store_faults().on_commit_after(1, CommitFault::Stall(gate.clone()));
    let repair = begin_retry(&handle).await;
    gate.wait_for_arrivals(1, PATIENCE);
    let recorded = world.append([Event::deposited("a", 32)]);
    kill(&handle, Victim::Partition("a".into()));
    gate.open();
    repair.await.expect("no panic").expect("it is repaired");
    handle.wait(Await::events("accounts", &recorded)).await.expect("done");
    assert_eq!(world.rows(), healed(&world));
    let handle = restart_healed(&world, handle).await;
    assert_eq!(status(&handle).await.halted_partitions, 0);
    world.settled(&handle).await;
    assert_eq!(world.rows(), healed(&world));
    handle.stop().await;
}

async fn a_commit_in_doubt_applies_nothing_twice_during_a_repair(world: World) {
    let handle = halted_world(&world).await;
    let handle = restart_healed(&world, handle).await;
    world.store_faults().on_commit(CommitFault::InDoubtDone);
    world.store_faults().on_commit(CommitFault::InDoubtLost);
    handle.retry("accounts", "a").await.expect("it is repaired");
    assert_eq!(world.rows(), healed(&world));
    handle.stop().await;
}

async fn enough_repairs_unblock_the_reducer(world: World) {
    let world = world.with(|config| (config.max_halted, config.slice) = (2, 4));
    let handle = world.start_with([Accounts::new().healed()]).await;
    let refused = |write: &rederive::core::PartitionWrite<'_>| {
        let hit = matches!(write.partition.as_str(), "a" | "b") && !write.ops.is_empty();
        hit.then(|| (FailureKind::Rejected, "not those".to_owned()))
    };
    world.store_faults().reject_where(refused);
    world.append([Event::opened("a"), Event::opened("b"), Event::opened("c")]);
    world.settled(&handle).await;
    world.append([Event::opened("d")]);
    world.probe.notified(|notice| matches!(notice, Notice::Blocked { .. }), PATIENCE).await;
    world.store_faults().heal();
    handle.retry("accounts", "a").await.expect("it is repaired");
    handle.retry("accounts", "b").await.expect("it is repaired");
    handle.wait(Await::caught_up("accounts")).await.expect("it reads on");
    assert_eq!(world.rows(), healed(&world));
    handle.stop().await;
}
