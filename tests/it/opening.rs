//! A reducer is opened, and the answer is lost: it is known again for one's own.

use rederive::{Await, Handle, Notice, OnOwned, Store as _, chaos::Victim};
use rederive_testkit::FaultyStore;

use crate::{
    fixture::{
        PATIENCE, World,
        bank::{Accounts, Event, Recorded},
        notices::{fenced, restarted, standing_by, stored, taken_over},
        on_every_store,
    },
    killing::kill,
};

on_every_store!(
    an_opening_whose_answers_are_lost_is_known_for_our_own,
    a_reset_whose_answers_are_lost_is_known_for_our_own,
    who_stood_by_knows_its_opening_although_the_answer_was_lost,
    who_has_taken_the_reducer_since_an_opening_in_doubt_keeps_it,
    an_opening_in_doubt_leaves_a_valid_lease_alone,
    a_start_that_fails_as_its_answer_was_lost_leaves_the_reducer_free,
);

async fn done(handle: &Handle, events: &[Recorded]) {
    handle.wait(Await::events("accounts", events)).await.expect("done");
}

/// Whoever has the lease of the reducer.
fn owner(world: &World) -> Option<String> {
    let stored = world.store.inner().stored("accounts").expect("readable").expect("opened");
    stored.lease.map(|lease| lease.owner)
}

async fn an_opening_whose_answers_are_lost_is_known_for_our_own(world: World) {
    for on_owned in [OnOwned::StandBy, OnOwned::Refuse, OnOwned::TakeOver] {
        let alice = world.process("alice").with(|config| config.on_owned = on_owned);
        let handle = alice.start().await;
        world.store_faults().lose_open(3);
        kill(&handle, Victim::Dispatcher);
        alice.probe.notified(restarted("dispatcher"), PATIENCE).await;
        // Nobody has waited for the end of the lease: it lasts for an hour.
        done(&handle, &world.append([Event::opened(&format!("{on_owned:?}"))])).await;
        world.check();
        assert_eq!((alice.probe.count(fenced), alice.probe.count(standing_by)), (0, 0));
        handle.stop().await;
    }
}

async fn a_reset_whose_answers_are_lost_is_known_for_our_own(world: World) {
    world.append([Event::opened("a"), Event::deposited("a", 1)]);
    for on_owned in [OnOwned::StandBy, OnOwned::Refuse, OnOwned::TakeOver] {
        let alice = world.process("alice").with(|config| config.on_owned = on_owned);
        let handle = alice.start().await;
        alice.settled(&handle).await;
        world.store_faults().lose_reset(2);
        handle.rebuild("accounts").await.expect("it is rebuilt");
        world.check();
        assert_eq!((alice.probe.count(fenced), alice.probe.count(standing_by)), (0, 0));
        handle.stop().await;
    }
}

async fn who_stood_by_knows_its_opening_although_the_answer_was_lost(world: World) {
    let (alice, bob) = (world.process("alice"), world.process("bob"));
    let first = alice.start().await;
    let second = bob.start().await;
    bob.probe.notified(standing_by, PATIENCE).await;
    world.expire();
    bob.probe.notified(taken_over, PATIENCE).await;
    done(&second, &world.append([Event::opened("a")])).await;
    alice.probe.notified(standing_by, PATIENCE).await;
    world.store_faults().lose_open(1);
    second.stop().await;
    alice.probe.notified(taken_over, PATIENCE).await;
    done(&first, &world.append([Event::deposited("a", 1)])).await;
    world.check();
    first.stop().await;
}

/// Another process of the same world, whose store fails by itself.
fn elsewhere(world: &World, name: &str) -> World {
    World { store: FaultyStore::new(world.store.inner().clone()), ..world.process(name) }
}

/// Alice, whose openings are in doubt until her store is healed, and Bob, who has taken the reducer.
async fn taken_while_in_doubt(world: &World) -> ((World, Handle), (World, Handle)) {
    let (alice, bob) = (world.process("alice"), elsewhere(world, "bob"));
    let first = alice.start().await;
    world.store_faults().fail_open(usize::from(u16::MAX));
    kill(&first, Victim::Dispatcher);
    // She has tried it before he comes.
    let delayed = |notice: &Notice| matches!(notice, Notice::CommitDelayed { .. });
    alice.probe.notified(delayed, PATIENCE).await;
    world.expire();
    let second = bob.start().await;
    let opened = world.append([Event::opened("a")]);
    done(&second, &opened).await;
    // Nothing is to be committed any more, which would renew his lease.
    bob.probe.notified(stored(opened[0].cursor.clone()), PATIENCE).await;
    ((alice, first), (bob, second))
}

async fn who_has_taken_the_reducer_since_an_opening_in_doubt_keeps_it(world: World) {
    let ((alice, first), (_bob, second)) = taken_while_in_doubt(&world).await;
    // Only the name says so.
    world.expire();
    world.store_faults().heal();
    alice.probe.notified(fenced, PATIENCE).await;
    world.append([Event::deposited("a", 1)]);
    world.settled(&first).await;
    world.check();
    first.stop().await;
    second.stop().await;
}

async fn an_opening_in_doubt_leaves_a_valid_lease_alone(world: World) {
    let ((alice, first), (bob, second)) = taken_while_in_doubt(&world).await;
    world.store_faults().heal();
    alice.probe.notified(standing_by, PATIENCE).await;
    done(&second, &world.append([Event::deposited("a", 1)])).await;
    // Who has never had it, neither.
    let carol = elsewhere(&world, "carol");
    carol.store_faults().fail_open(1);
    let builder = carol.builder().register(Accounts::new(), carol.store.clone());
    builder.start().await.map(drop).expect_err("it is away");
    assert_eq!(owner(&world).as_deref(), Some("bob"));
    done(&second, &world.append([Event::deposited("a", 2)])).await;
    assert_eq!((alice.probe.count(fenced), bob.probe.count(fenced)), (1, 0));
    world.check();
    first.stop().await;
    second.stop().await;
}

async fn a_start_that_fails_as_its_answer_was_lost_leaves_the_reducer_free(world: World) {
    let alice = world.process("alice");
    world.store_faults().lose_open(1);
    let builder = alice.builder().register(Accounts::new(), alice.store.clone());
    let error = builder.start().await.err().expect("it is told").to_string();
    assert!(error.contains("the answer is lost"), "{error}");
    assert_eq!(owner(&world), None);
    // Nobody is waited for.
    let bob = world.process("bob").with(|config| config.on_owned = OnOwned::Refuse);
    let handle = bob.start().await;
    done(&handle, &world.append([Event::opened("a")])).await;
    world.check();
    handle.stop().await;
    // That of somebody else is left alone.
    let carol = world.process("carol").with(|config| config.on_owned = OnOwned::Refuse);
    let handle = bob.start().await;
    let builder = carol.builder().register(Accounts::new(), carol.store.clone());
    let refused = builder.start().await.err().expect("it is owned").to_string();
    assert!(refused.contains("bob"), "{refused}");
    assert_eq!(owner(&world).as_deref(), Some("bob"));
    handle.stop().await;
}
