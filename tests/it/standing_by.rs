//! Two processes with the same reducer: one owns it, the other stands by and goes on when it must.

use std::time::Duration;

use rederive::{
    Activity, Await, Handle, ListError, Notice, OnOwned, OnVersionChange, PauseError, RebuildError,
    RegisterError, RepairError, StartError, Store as _, chaos::Victim, core::OpenError,
};
use rederive_testkit::{CommitFault, Gate};

use crate::{
    fixture::{
        PATIENCE, World,
        bank::{Accounts, Event},
        mails::{Mails, deliveries, emptied},
        notices::{fenced, restarted, standing_by, taken_over},
        on_every_store, status, until,
    },
    killing::kill,
};

on_every_store!(
    a_second_process_stands_by_and_goes_on_at_once_when_the_first_stops,
    a_stand_by_goes_on_when_the_owner_has_not_been_heard_of_for_its_lease,
    an_owner_that_was_taken_over_stands_by_and_takes_the_reducer_back_later,
    a_frozen_owner_commits_nothing_after_it_was_taken_over,
    an_owner_whose_lease_has_run_out_goes_on_while_nobody_wants_the_reducer,
    a_lease_is_renewed_while_a_commit_takes_its_time,
    an_idle_owner_learns_by_its_lease_that_it_was_taken_over,
    a_renewal_that_fails_is_told_and_made_again,
    of_three_processes_one_owns_the_reducer_at_a_time,
    a_process_that_comes_back_under_its_name_waits_for_nobody,
    a_process_that_is_to_refuse_names_the_owner_and_changes_nothing,
    a_stand_by_refuses_what_only_the_owner_can_do_and_names_it,
    the_actors_of_a_stand_by_may_die,
    the_actors_of_an_owner_may_die_while_another_stands_by,
    another_version_stands_by_and_rebuilds_when_the_former_has_stopped,
    another_version_that_is_not_to_rebuild_is_refused_though_the_reducer_is_owned,
    a_rebuild_without_starting_is_refused_while_the_reducer_is_owned,
    a_stand_by_delivers_nothing_until_it_has_taken_over,
    a_stand_by_that_stops_leaves_the_owner_alone,
);

async fn stands_by(world: &World) -> Handle {
    let handle = world.start().await;
    world.probe.notified(standing_by, PATIENCE).await;
    handle
}

async fn done(handle: &Handle, events: &[crate::fixture::bank::Recorded]) {
    handle.wait(Await::events("accounts", events)).await.expect("done");
}

/// Whose the store says it is.
fn owner(world: &World) -> Option<String> {
    let stored = world.store.inner().stored("accounts").expect("readable").expect("known");
    stored.lease.map(|lease| lease.owner)
}

async fn a_second_process_stands_by_and_goes_on_at_once_when_the_first_stops(world: World) {
    let (alice, bob) = (world.process("alice"), world.process("bob"));
    let first = alice.start().await;
    let told = status(&first).await;
    assert_eq!((told.owner.as_deref(), told.standing_by_since), (Some("alice"), None));
    let left = told.lease_remaining.expect("it has a lease");
    assert!(left > Duration::from_secs(3500) && left <= Duration::from_secs(3600), "{left:?}");

    let second = stands_by(&bob).await;
    let told = status(&second).await;
    assert_eq!((told.activity, told.owner.as_deref()), (Activity::StandingBy, Some("alice")));
    assert!(told.standing_by_since.is_some());
    assert!(told.lease_remaining.expect("it is seen") > Duration::from_secs(3500));

    done(&first, &world.append([Event::opened("a"), Event::deposited("a", 1)])).await;
    until(&second, "accounts", |status| status.watermark == 2.into()).await;
    assert_eq!(bob.probe.count(taken_over), 0);
    first.stop().await;
    // Long before the lease would have ended.
    bob.probe.notified(taken_over, PATIENCE).await;
    done(&second, &world.append([Event::deposited("a", 2)])).await;
    world.check();
    let told = status(&second).await;
    assert_eq!((told.activity, told.owner.as_deref()), (Activity::CaughtUp, Some("bob")));
    assert_eq!(told.standing_by_since, None);
    second.stop().await;
    assert_eq!(owner(&world), None);
    assert_eq!((alice.probe.count(fenced), bob.probe.count(fenced)), (0, 0));
}

async fn a_stand_by_goes_on_when_the_owner_has_not_been_heard_of_for_its_lease(world: World) {
    let (alice, bob) = (world.process("alice"), world.process("bob"));
    let gate = Gate::closed();
    world.store_faults().on_commit(CommitFault::Stall(gate.clone()));
    let first = alice.start().await;
    let events = world.append([Event::opened("a"), Event::deposited("a", 1)]);
    gate.wait_for_arrivals(1, PATIENCE);
    let second = stands_by(&bob).await;
    world.expire();
    bob.probe.notified(taken_over, PATIENCE).await;
    done(&second, &events).await;
    world.check();
    gate.open();
    first.stop().await;
    second.stop().await;
    world.check();
}

async fn an_owner_that_was_taken_over_stands_by_and_takes_the_reducer_back_later(world: World) {
    let (alice, bob) = (world.process("alice"), world.process("bob"));
    let first = alice.start().await;
    done(&first, &world.append([Event::opened("a")])).await;
    let second = stands_by(&bob).await;
    world.expire();
    bob.probe.notified(taken_over, PATIENCE).await;
    // It learns that when it wants to commit.
    let events = world.append([Event::deposited("a", 1)]);
    alice.probe.notified(fenced, PATIENCE).await;
    alice.probe.notified(standing_by, PATIENCE).await;
    done(&first, &events).await;
    done(&second, &events).await;
    let told = status(&first).await;
    assert_eq!((told.activity, told.owner.as_deref()), (Activity::StandingBy, Some("bob")));
    second.stop().await;
    alice.probe.notified(taken_over, PATIENCE).await;
    done(&first, &world.append([Event::deposited("a", 2)])).await;
    world.check();
    assert_eq!(alice.probe.count(|notice| matches!(notice, Notice::Restarted { .. })), 0);
    first.stop().await;
}

async fn a_frozen_owner_commits_nothing_after_it_was_taken_over(world: World) {
    let (alice, bob) = (world.process("alice"), world.process("bob"));
    let first = alice.start().await;
    done(&first, &world.append([Event::opened("a")])).await;
    // It stands still in a commit that it began as the owner.
    let gate = Gate::closed();
    world.store_faults().on_commit(CommitFault::Stall(gate.clone()));
    let events = world.append([Event::deposited("a", 1)]);
    gate.wait_for_arrivals(1, PATIENCE);
    let waiting = first.supervisor().send(Await::events("accounts", &events));
    let second = stands_by(&bob).await;
    world.expire();
    done(&second, &events).await;
    let more = world.append([Event::deposited("a", 2), Event::opened("b")]);
    done(&second, &more).await;
    world.check();
    let committed = world.store_faults().counts().committed;
    gate.open();
    alice.probe.notified(fenced, PATIENCE).await;
    alice.probe.notified(standing_by, PATIENCE).await;
    assert_eq!(world.store_faults().counts().committed, committed);
    // Whoever waits there learns what the other one has done.
    waiting.await.expect("it lives").expect("done");
    world.check();
    first.stop().await;
    second.stop().await;
}

async fn an_owner_whose_lease_has_run_out_goes_on_while_nobody_wants_the_reducer(world: World) {
    let alice = world.process("alice");
    let first = alice.start().await;
    done(&first, &world.append([Event::opened("a")])).await;
    world.expire();
    done(&first, &world.append([Event::deposited("a", 1)])).await;
    world.check();
    let stored = world.store.inner().stored("accounts").expect("readable").expect("known");
    let lease = stored.lease.expect("it is owned");
    assert!(lease.remaining > Duration::from_secs(1000), "the commit has renewed it: {lease:?}");
    assert_eq!(alice.probe.count(fenced), 0);
    first.stop().await;
}

async fn a_lease_is_renewed_while_a_commit_takes_its_time(world: World) {
    let lease = Duration::from_secs(3);
    let alice = world.process("alice").with(|config| config.lease = lease);
    let bob = world.process("bob");
    let gate = Gate::closed();
    world.store_faults().on_commit(CommitFault::Stall(gate.clone()));
    let first = alice.start().await;
    let events = world.append([Event::opened("a")]);
    gate.wait_for_arrivals(1, PATIENCE);
    let second = stands_by(&bob).await;
    // The fifth comes when the first lease has ended long since.
    world.store_faults().wait_for(|counts| counts.renewals >= 5, PATIENCE);
    assert_eq!((owner(&world).as_deref(), bob.probe.count(taken_over)), (Some("alice"), 0));
    gate.open();
    done(&first, &events).await;
    assert_eq!(alice.probe.count(fenced), 0);
    first.stop().await;
    second.stop().await;
    world.check();
}

async fn an_idle_owner_learns_by_its_lease_that_it_was_taken_over(world: World) {
    let alice = world.process("alice").with(|config| config.lease = Duration::from_millis(300));
    let bob = world.process("bob").with(|config| config.on_owned = OnOwned::TakeOver);
    let first = alice.start().await;
    let second = bob.start().await;
    // Nobody has committed anything.
    alice.probe.notified(fenced, PATIENCE).await;
    alice.probe.notified(standing_by, PATIENCE).await;
    assert_eq!(world.store_faults().counts().commits, 0);
    first.stop().await;
    second.stop().await;
}

async fn a_renewal_that_fails_is_told_and_made_again(world: World) {
    let alice = world.process("alice").with(|config| config.lease = Duration::from_millis(300));
    world.store_faults().fail_renew(2);
    let first = alice.start().await;
    let delayed = |attempts| {
        move |notice: &Notice| {
            matches!(notice, Notice::RenewalDelayed { attempt, error, .. }
                if *attempt == attempts && error.contains("scripted"))
        }
    };
    alice.probe.notified(delayed(1), PATIENCE).await;
    alice.probe.notified(delayed(2), PATIENCE).await;
    world.store_faults().wait_for(|counts| counts.renewals >= 4, PATIENCE);
    assert_eq!(owner(&world).as_deref(), Some("alice"));
    first.stop().await;
}

async fn of_three_processes_one_owns_the_reducer_at_a_time(world: World) {
    let names = ["alice", "bob", "carol"];
    let worlds = names.map(|name| world.process(name));
    let mut running: Vec<(&str, Handle)> = Vec::new();
    for (name, world) in names.into_iter().zip(&worlds) {
        running.push((name, world.start().await));
    }
    for round in 0..6 {
        let recorded = world.append([Event::opened(&round.to_string()), Event::Noise]);
        for (_, handle) in &running {
            done(handle, &recorded).await;
        }
        let has = owner(&world).expect("somebody has it");
        let at = running.iter().position(|(name, _)| *name == has).expect("it is running");
        let (name, handle) = running.remove(at);
        handle.stop().await;
        let fresh = worlds.iter().zip(names).find(|(_, other)| *other == name).expect("known").0;
        running.push((name, fresh.start().await));
    }
    for (_, handle) in running {
        handle.stop().await;
    }
    world.check();
    assert!(worlds.iter().all(|world| world.probe.count(fenced) == 0));
}

async fn a_process_that_comes_back_under_its_name_waits_for_nobody(world: World) {
    let before = world.process("alice");
    let first = before.start().await;
    done(&first, &world.append([Event::opened("a")])).await;
    // As after a crash: the lease is valid, and its owner says nothing any more.
    let again = world.process("alice");
    let second = again.start().await;
    assert_eq!(status(&second).await.owner.as_deref(), Some("alice"));
    let events = world.append([Event::deposited("a", 1)]);
    done(&second, &events).await;
    assert_eq!(again.probe.count(standing_by), 0);
    // If that was a mistake, and the other one lives: it does not take the reducer back by its name.
    before.probe.notified(fenced, PATIENCE).await;
    before.probe.notified(standing_by, PATIENCE).await;
    done(&first, &events).await;
    assert_eq!((before.probe.count(taken_over), again.probe.count(fenced)), (0, 0));
    world.check();
    first.stop().await;
    second.stop().await;
}

async fn a_process_that_is_to_refuse_names_the_owner_and_changes_nothing(world: World) {
    let first = world.process("alice").start().await;
    let bob = world.process("bob").with(|config| config.on_owned = OnOwned::Refuse);
    let builder = bob.builder().register(Accounts::new(), bob.store.clone());
    let Err(StartError::Register(RegisterError::Open(error))) = builder.start().await else {
        panic!("it was not refused")
    };
    let OpenError::Owned { by, remaining, .. } = &error else { panic!("{error}") };
    assert_eq!(by, "alice");
    assert!(*remaining > Duration::from_secs(3500), "{remaining:?}");
    assert!(error.to_string().contains("\"alice\""), "{error}");
    done(&first, &world.append([Event::opened("a")])).await;
    first.stop().await;
    // It is free.
    let second = bob.start().await;
    done(&second, &world.append([Event::opened("b")])).await;
    world.check();
    second.stop().await;
}

async fn a_stand_by_refuses_what_only_the_owner_can_do_and_names_it(world: World) {
    let first = world.process("alice").start().await;
    let poison = world.append([Event::opened("a"), Event::poison("a")]).remove(1).cursor;
    world.settled(&first).await;
    let second = stands_by(&world.process("bob")).await;
    let owner = || "alice".to_owned();
    let repair = Err(RepairError::StandingBy { owner: owner() });
    assert_eq!(second.retry("accounts", "a").await, repair);
    assert_eq!(second.skip("accounts", "a", poison.clone()).await, repair);
    assert_eq!(second.rebuild_partition("accounts", "a").await, repair);
    let pause = Err(PauseError::StandingBy { owner: owner() });
    assert_eq!(second.pause("accounts").await, pause);
    assert_eq!(second.resume("accounts").await, pause);
    let rebuild = second.rebuild("accounts").await;
    assert_eq!(rebuild, Err(RebuildError::StandingBy { owner: owner() }));
    assert_eq!(second.cancel_rebuild("accounts").await, Err(RebuildError::NotRebuilding));
    let all = second.retry_all("accounts", None).await;
    assert_eq!(all, Err(ListError::StandingBy { owner: owner() }));
    // What is only read is told.
    let halted = second.halted("accounts", None, 9).await.expect("readable");
    assert_eq!(halted.len(), 1);
    first.skip("accounts", "a", poison).await.expect("the owner does it");
    assert_eq!(second.skips("accounts", None, 9).await.expect("readable").len(), 1);
    first.stop().await;
    second.stop().await;
}

async fn the_actors_of_a_stand_by_may_die(world: World) {
    let bob = world.process("bob");
    let first = world.process("alice").start().await;
    let second = stands_by(&bob).await;
    for (victim, kind) in [
        (Victim::Dispatcher, "dispatcher"),
        (Victim::EventLog, "event log"),
        (Victim::Persistence, "persistence"),
    ] {
        let mut watch = bob.probe.from_now();
        kill(&second, victim);
        watch.notified(restarted(kind), PATIENCE).await;
        watch.notified(standing_by, PATIENCE).await;
        let recorded = world.append([Event::opened(kind)]);
        done(&second, &recorded).await;
    }
    first.stop().await;
    bob.probe.notified(taken_over, PATIENCE).await;
    done(&second, &world.append([Event::deposited("dispatcher", 1)])).await;
    world.check();
    second.stop().await;
}

async fn the_actors_of_an_owner_may_die_while_another_stands_by(world: World) {
    let (alice, bob) = (world.process("alice"), world.process("bob"));
    let first = alice.start().await;
    let second = stands_by(&bob).await;
    for (victim, kind) in [
        (Victim::Dispatcher, "dispatcher"),
        (Victim::EventLog, "event log"),
        (Victim::Persistence, "persistence"),
    ] {
        let mut watch = alice.probe.from_now();
        kill(&first, victim);
        watch.notified(restarted(kind), PATIENCE).await;
        let recorded = world.append([Event::opened(kind)]);
        done(&first, &recorded).await;
        done(&second, &recorded).await;
    }
    assert_eq!((alice.probe.count(fenced), bob.probe.count(taken_over)), (0, 0));
    world.check();
    first.stop().await;
    bob.probe.notified(taken_over, PATIENCE).await;
    second.stop().await;
}

async fn another_version_stands_by_and_rebuilds_when_the_former_has_stopped(world: World) {
    let first = world.process("alice").start().await;
    done(&first, &world.append([Event::opened("a"), Event::deposited("a", 1)])).await;
    let bob =
        world.process("bob").with(|config| config.on_version_change = OnVersionChange::Rebuild);
    let second = bob.start_with([Accounts::new().version(2)]).await;
    bob.probe.notified(standing_by, PATIENCE).await;
    // A rolling deployment: the former version goes on until it is stopped.
    let events = world.append([Event::deposited("a", 2)]);
    done(&first, &events).await;
    done(&second, &events).await;
    let version = || world.store.stored("accounts").expect("readable").expect("known").version;
    assert_eq!(version(), 1);
    first.stop().await;
    bob.probe.notified(|notice| matches!(notice, Notice::Rebuilt { .. }), PATIENCE).await;
    assert_eq!(version(), 2);
    done(&second, &world.append([Event::deposited("a", 4)])).await;
    world.check();
    second.stop().await;
}

async fn another_version_that_is_not_to_rebuild_is_refused_though_the_reducer_is_owned(
    world: World,
) {
    let first = world.process("alice").start().await;
    let bob = world.process("bob");
    let builder = bob.builder().register(Accounts::new().version(2), bob.store.clone());
    let Err(StartError::Register(RegisterError::Open(error))) = builder.start().await else {
        panic!("it was not refused")
    };
    assert!(matches!(error, OpenError::VersionDiffers { .. }), "{error}");
    done(&first, &world.append([Event::opened("a")])).await;
    first.stop().await;
}

async fn a_rebuild_without_starting_is_refused_while_the_reducer_is_owned(world: World) {
    let first = world.process("alice").start().await;
    done(&first, &world.append([Event::opened("a")])).await;
    let bob = world.process("bob");
    let builder = || bob.builder().register(Accounts::new(), bob.store.clone());
    let results = builder().rebuild(["accounts"]).await.expect("it starts");
    let Err(RebuildError::Refused(OpenError::Owned { by, .. })) = &results[0] else {
        panic!("{:?}", results[0])
    };
    assert_eq!(by, "alice");
    done(&first, &world.append([Event::deposited("a", 1)])).await;
    first.stop().await;
    assert!(builder().rebuild(["accounts"]).await.expect("it starts")[0].is_ok());
    world.check();
}

async fn a_stand_by_delivers_nothing_until_it_has_taken_over(world: World) {
    let (alice, bob) = (world.process("alice"), world.process("bob"));
    let (hers, his) = (Mails::new(), Mails::new());
    let first = hers.start(&alice).await;
    let second = his.start(&bob).await;
    bob.probe.notified(standing_by, PATIENCE).await;
    let told = |of: std::ops::Range<i64>| of.map(|amount| Event::deposited("a", amount));
    world.append(told(0..10));
    deliveries(&alice, 10).await;
    emptied(&first).await;
    first.stop().await;
    bob.probe.notified(taken_over, PATIENCE).await;
    assert_eq!(his.told("a"), Vec::<i64>::new());
    world.append(told(10..20));
    deliveries(&bob, 10).await;
    emptied(&second).await;
    second.stop().await;
    assert_eq!(hers.told("a"), (0..10).collect::<Vec<_>>());
    assert_eq!(his.told("a"), (10..20).collect::<Vec<_>>());
}

async fn a_stand_by_that_stops_leaves_the_owner_alone(world: World) {
    let (alice, bob) = (world.process("alice"), world.process("bob"));
    let first = alice.start().await;
    let second = stands_by(&bob).await;
    second.stop().await;
    assert_eq!(owner(&world).as_deref(), Some("alice"));
    done(&first, &world.append([Event::opened("a")])).await;
    assert_eq!(alice.probe.count(fenced), 0);
    first.stop().await;
    world.check();
}
