//! Fencing: of two owners of a reducer, only the newer one can commit.

use rederive::{Activity, Await, AwaitError, Cursor, Handle, Notice, Outcome, chaos::Victim};
use rederive_testkit::{CommitFault, Gate};

use crate::fixture::{
    PATIENCE, World, bank::Event, notices::fenced, on_every_store, outcomes, status, until,
};
use crate::killing::kill;

on_every_store!(
    the_older_of_two_owners_stops_and_commits_nothing_more,
    a_commit_under_way_during_a_takeover_is_fenced,
    a_commit_that_was_done_before_a_takeover_counts,
    those_who_wait_at_the_older_owner_are_told,
    an_idle_owner_notices_at_its_next_watermark,
    an_owner_that_was_fenced_does_not_take_the_reducer_back_when_its_actors_die,
);

async fn wait(handle: &Handle, cursor: u64) -> Result<(), Vec<Outcome>> {
    match handle.wait(Await::cursors("accounts", [cursor.into()])).await {
        Ok(_) => Ok(()),
        Err(error @ AwaitError::Incomplete(_)) => Err(outcomes(Err(error))),
        Err(other) => panic!("{other}"),
    }
}

async fn the_older_of_two_owners_stops_and_commits_nothing_more(world: World) {
    let older = world.start().await;
    world.append([Event::opened("a")]);
    wait(&older, 1).await.expect("done");
    let newer = world.start().await;
    for round in 0..20 {
        world.append([Event::deposited("a", 1), Event::opened(&round.to_string())]);
        newer.wait(Await::caught_up("accounts")).await.expect("caught up");
        world.check();
    }
    world.probe.notified(fenced, PATIENCE).await;
    assert_eq!(status(&older).await.activity, Activity::Fenced);
    assert_eq!(wait(&older, 1).await, Err(vec![Outcome::Fenced]));
    // Told once, however much comes later; and it can be stopped like any other.
    assert_eq!(world.probe.count(fenced), 1);
    older.stop().await;
    world.append([Event::deposited("a", 1)]);
    newer.wait(Await::caught_up("accounts")).await.expect("caught up");
    world.check();
    newer.stop().await;
}

async fn a_commit_under_way_during_a_takeover_is_fenced(world: World) {
    let gate = Gate::closed();
    world.store_faults().on_commit(CommitFault::Stall(gate.clone()));
    world.append([Event::opened("a"), Event::deposited("a", 1)]);
    let older = world.start().await;
    gate.wait_for_arrivals(1, PATIENCE);
    let newer = world.start().await;
    wait(&newer, 2).await.expect("done");
    gate.open();
    world.probe.notified(fenced, PATIENCE).await;
    world.check();
    older.stop().await;
    newer.stop().await;
    world.check();
}

async fn a_commit_that_was_done_before_a_takeover_counts(world: World) {
    let gate = Gate::closed();
    world.store_faults().on_commit(CommitFault::StallAfter(gate.clone()));
    world.append([Event::opened("a"), Event::deposited("a", 1)]);
    let older = world.start().await;
    gate.wait_for_arrivals(1, PATIENCE);
    let newer = world.start().await;
    let resumed = |notice: &Notice| matches!(notice, Notice::Started { watermark, .. } if *watermark == Cursor::from(2));
    assert_eq!(world.probe.count(resumed), 1);
    wait(&newer, 2).await.expect("done");
    gate.open();
    // True as well when the older one says it.
    wait(&older, 2).await.expect("done");
    world.append([Event::deposited("a", 1)]);
    world.probe.notified(fenced, PATIENCE).await;
    wait(&newer, 3).await.expect("done");
    world.check();
    older.stop().await;
    newer.stop().await;
}

async fn those_who_wait_at_the_older_owner_are_told(world: World) {
    let older = world.start().await;
    world.append([Event::opened("a")]);
    wait(&older, 1).await.expect("done");
    let gate = Gate::closed();
    world.store_faults().on_commit(CommitFault::Stall(gate.clone()));
    world.append([Event::deposited("a", 1)]);
    gate.wait_for_arrivals(1, PATIENCE);
    // One at the partition, one for an event to come, one for the head of the log.
    let waits = [
        Await::cursors("accounts", [2.into()]),
        Await::cursors("accounts", [9.into()]),
        Await::caught_up("accounts"),
    ]
    .map(|request| older.supervisor().send(request));
    let newer = world.start().await;
    wait(&newer, 2).await.expect("done");
    gate.open();
    for waiting in waits {
        let waited = waiting.await.expect("it lives");
        assert_eq!(outcomes(waited), [Outcome::Fenced]);
    }
    older.stop().await;
    newer.stop().await;
    world.check();
}

async fn an_idle_owner_notices_at_its_next_watermark(world: World) {
    let older = world.start().await;
    let newer = world.start().await;
    world.append(vec![Event::Noise; 3]);
    newer.wait(Await::caught_up("accounts")).await.expect("caught up");
    older.wait(Await::caught_up("accounts")).await.expect("it has nothing to commit either");
    newer.stop().await;
    // It wants to store its watermark and is told that it may not.
    older.stop().await;
    assert_eq!(world.probe.count(fenced), 1);
}

async fn an_owner_that_was_fenced_does_not_take_the_reducer_back_when_its_actors_die(world: World) {
    let older = world.start().await;
    world.append([Event::opened("a")]);
    wait(&older, 1).await.expect("done");
    let newer = world.start().await;
    // The first dies before it has noticed that it was overtaken.
    for victim in [Victim::Dispatcher, Victim::EventLog, Victim::Persistence, Victim::Dispatcher] {
        let mut watch = world.probe.from_now();
        kill(&older, victim);
        let restarted = |notice: &Notice| matches!(notice, Notice::Restarted { .. });
        watch.notified(restarted, PATIENCE).await;
        until(&older, "accounts", |status| status.activity == Activity::Fenced).await;
        assert_eq!(wait(&older, 1).await, Err(vec![Outcome::Fenced]));
        let recorded = world.append([Event::deposited("a", 1)]);
        newer.wait(Await::events("accounts", &recorded)).await.expect("it is still the owner");
    }
    world.check();
    assert_eq!(status(&newer).await.activity, Activity::CaughtUp);
    older.stop().await;
    newer.stop().await;
}
