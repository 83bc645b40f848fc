//! Sharing: reducers of one log share its reads, those of one store its transactions.

use std::sync::Arc;

use rederive::{Await, Cursor, MemoryLog, MemoryStore, Notice, Outcome, Registration};
use rederive_testkit::{CommitFault, Gate, Probe};

use crate::fixture::{
    PATIENCE, World,
    bank::{Accounts, COPIES, Event},
    on_every_store, outcomes,
    ticks::{TICKS, Tick, Ticks},
};

on_every_store!(
    reducers_of_one_log_share_its_reads,
    a_reducer_that_is_registered_later_catches_up_with_the_others,
    a_reducer_that_lags_is_not_told_that_an_old_read_ends_at_the_head,
    reducers_of_one_store_that_wait_for_each_other_share_a_transaction,
    several_reducers_are_awaited_at_once,
    a_reducer_that_nobody_registered_is_named_with_those_that_are,
);

async fn reducers_of_one_log_share_its_reads(world: World) {
    let world = world.with(|config| config.slice = 10);
    let reducers = [Accounts::new(), Accounts::copies(), Accounts::third()];
    let reducers = reducers.map(Accounts::healed);
    let handle = world.start_with(reducers).await;
    let all = Await::caught_up("accounts").and("copies").and("third");
    handle.wait(all).await.expect("caught up");
    let faults = world.log_faults();
    // However the log comes by them.
    let slices = || faults.fetches() + faults.at_hand();
    let before = slices();
    let last = world.append((0..100).map(|_| Event::poison("a"))).remove(99).cursor;
    // Nobody is asked: a message from this thread may keep one of them behind the others for a while.
    for name in ["accounts", "copies", "third"] {
        let caught_up = |notice: &Notice| {
            matches!(notice, Notice::CaughtUp { reducer, watermark }
                if **reducer == *name && *watermark == last)
        };
        world.probe.notified(caught_up, PATIENCE).await;
    }
    // Ten slices; one that found the end may have been read for more than one of them.
    let slices = slices() - before;
    assert!((10..=13).contains(&slices), "{slices} slices for three reducers");
    handle.stop().await;
}

async fn a_reducer_that_is_registered_later_catches_up_with_the_others(world: World) {
    let world = world.with(|config| config.slice = 3);
    let log = Arc::new(world.log.clone());
    let handle = world.builder().start().await.expect("it starts");
    world.register(&handle, &log, Accounts::new()).await;
    world.append((0..20).map(|id| Event::opened(&id.to_string())));
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    world.register(&handle, &log, Accounts::copies()).await;
    world.append((0..20).map(|id| Event::deposited(&id.to_string(), id)));
    handle.wait(Await::caught_up("accounts").and("copies")).await.expect("caught up");
    world.check();
    assert_eq!(world.store.inner().rows(&COPIES), world.rows());
    handle.stop().await;
}

async fn a_reducer_that_lags_is_not_told_that_an_old_read_ends_at_the_head(world: World) {
    let world = world.with(|config| config.window = 1);
    let other = World::memory();
    let gate = Gate::closed();
    world.store_faults().on_commit(CommitFault::Stall(gate.clone()));
    let builder = world.builder().register(Accounts::new(), world.store.clone());
    let builder = builder.register(Accounts::copies(), other.store.clone());
    let handle = builder.start().await.expect("it starts");
    // Each is read alone, and is then the last of the log; the one that stalls reads only the first.
    for id in ["a", "b", "c", "d"] {
        let recorded = world.append([Event::opened(id)]);
        handle.wait(Await::events("copies", &recorded)).await.expect("done");
    }
    gate.open();
    // Nobody wakes it once more.
    handle.wait(Await::cursors("accounts", [4.into()])).await.expect("done");
    world.check();
    handle.stop().await;
}

async fn reducers_of_one_store_that_wait_for_each_other_share_a_transaction(world: World) {
    let reducers = [Accounts::new(), Accounts::copies(), Accounts::third()];
    let handle = world.start_with(reducers).await;
    let gate = Gate::closed();
    world.store_faults().on_commit(CommitFault::Stall(gate.clone()));
    // For all three; whoever is first has the store to itself, and stalls.
    let recorded = world.append([Event::opened("a")]);
    gate.wait_for_arrivals(1, PATIENCE);
    let waits =
        ["accounts", "copies"].map(|name| handle.supervisor().send(Await::events(name, &recorded)));
    for reducer in ["accounts", "copies"] {
        crate::fixture::until(&handle, reducer, |status| status.in_flight == 1).await;
    }
    gate.open();
    for wait in waits {
        wait.await.expect("it lives").expect("done");
    }
    handle.stop().await;
    assert_eq!(world.store_faults().counts().committed, 2);
    world.check();
}

async fn several_reducers_are_awaited_at_once(world: World) {
    let handle = world.start_with([Accounts::new(), Accounts::copies().healed()]).await;
    let good = world.append([Event::opened("a"), Event::Noise]);
    let waited = handle.wait(Await::events("copies", &good).and("accounts")).await;
    let awaited = waited.expect("done in both");
    let asked: Vec<_> = awaited
        .replies
        .iter()
        .map(|reply| (&*reply.reducer, reply.cursor.clone(), reply.outcome.clone()))
        .collect();
    let (first, second) = (Some(Cursor::from(1)), Some(Cursor::from(2)));
    assert_eq!(
        asked,
        [
            ("copies", first.clone(), Outcome::Done),
            ("copies", second.clone(), Outcome::Ignored),
            ("accounts", first, Outcome::Done),
            ("accounts", second, Outcome::Ignored),
        ]
    );
    // One that cannot be done ends the wait for all.
    let bad = world.append([Event::poison("a")]);
    let waited = outcomes(handle.wait(Await::events("copies", &bad).and("accounts")).await);
    assert!(matches!(waited[0], Outcome::Done | Outcome::Pending), "{waited:?}");
    assert!(matches!(waited[1], Outcome::Halted(_)), "{waited:?}");
    handle.stop().await;
}

async fn a_reducer_that_nobody_registered_is_named_with_those_that_are(world: World) {
    let handle = world.start_with([Accounts::new(), Accounts::copies()]).await;
    let error = handle.wait(Await::caught_up("accounts").and("acounts")).await.expect_err("typo");
    assert_eq!(
        error.to_string(),
        "no reducer \"acounts\" is registered; there are: accounts, copies"
    );
    handle.stop().await;
}

#[actix_rt::test]
async fn one_supervisor_follows_several_logs_of_different_events() {
    let (world, probe) = (World::memory(), Probe::new());
    let handle = world.builder().observe(probe.clone()).start().await.expect("it starts");
    let log = Arc::new(world.log.clone());
    world.register(&handle, &log, Accounts::new()).await;
    let (ticks, store) = (MemoryLog::new(), Arc::new(MemoryStore::new()));
    let ticking =
        Registration::new(Arc::new(Ticks), Arc::new(ticks.clone()), Arc::clone(&store) as _);
    handle.register(ticking).await.expect("it is accepted");
    for round in 1..=10 {
        let tick = ticks.append([Tick { of: "clock", by: round }]);
        let event = world.append([Event::opened(&round.to_string())]);
        handle.wait(Await::events("ticks", &tick)).await.expect("done");
        let waited = handle.wait(Await::events("accounts", &event)).await;
        assert_eq!(outcomes(waited), [Outcome::Done]);
    }
    world.check();
    assert_eq!(store.rows(&TICKS), [vec!["clock".into(), 55.into()]]);
    handle.stop().await;
}
