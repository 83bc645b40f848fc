//! Isolation: what is slow or broken delays nobody else, and memory stays bounded meanwhile.

use rederive::{Await, Cursor, Handle, Notice};
use rederive_testkit::{CommitFault, Gate};

use crate::fixture::{
    PATIENCE, World,
    bank::{Accounts, COPIES, Event, fold},
    notices::halted,
    on_every_store, status, until,
};

on_every_store!(
    a_store_that_stalls_does_not_delay_reducers_of_another_store,
    what_piles_up_behind_a_stalled_commit_goes_into_one_transaction,
    a_reducer_whose_code_blocks_delays_none_of_another_thread,
    a_reducer_that_stalls_loses_nothing_of_another_that_shares_its_store,
    one_guilty_commit_among_many_delays_none_of_the_others,
    no_more_is_read_than_the_window_holds_while_the_store_stalls,
    ignored_events_beside_unsettled_ones_count_in_the_window,
);

fn open_many(world: &World, count: usize) {
    world.append((0..count).map(|number| Event::opened(&format!("{number:03}"))));
}

fn stalled(world: &World) -> Gate {
    let gate = Gate::closed();
    world.store_faults().on_commit(CommitFault::Stall(gate.clone()));
    gate
}

async fn a_store_that_stalls_does_not_delay_reducers_of_another_store(world: World) {
    let other = World::memory();
    let gate = stalled(&world);
    let handle = world
        .builder()
        .register(Accounts::new(), world.store.clone())
        .register(Accounts::copies(), other.store.clone())
        .start()
        .await
        .expect("it starts");
    open_many(&world, 10);
    gate.wait_for_arrivals(1, PATIENCE);
    for amount in 1..=3 {
        let recorded = world.append([Event::deposited("001", amount)]);
        handle.wait(Await::events("copies", &recorded)).await.expect("done");
    }
    assert_eq!(other.store.inner().rows(&COPIES), fold(&world.events()).rows);
    assert!(world.rows().is_empty());
    gate.open();
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    world.check();
    handle.stop().await;
}

async fn what_piles_up_behind_a_stalled_commit_goes_into_one_transaction(world: World) {
    let handle = world.start().await;
    let gate = stalled(&world);
    world.append([Event::opened("first")]);
    gate.wait_for_arrivals(1, PATIENCE);
    // No barrier: partitions go on being read and reduced, also the one whose commit stalls.
    let waits: Vec<_> = (0..20)
        .map(|number| {
            let id = format!("{:02}", number % 10);
            let event = if number < 10 { Event::opened(&id) } else { Event::deposited(&id, 1) };
            world.append([event, Event::deposited("first", 1)])
        })
        .flat_map(|recorded| recorded.into_iter().map(|event| event.cursor))
        .collect();
    until(&handle, "accounts", |status| status.in_flight == 41).await;
    assert_eq!(world.store_faults().counts().commits, 1);
    gate.open();
    handle.wait(Await::cursors("accounts", waits)).await.expect("done");
    world.check();
    // The one that stalled, the ten others, what had been buffered behind that, and behind these.
    let commits = world.store_faults().counts().commits;
    assert!(commits <= 4, "{commits} transactions for 41 deliveries");
    handle.stop().await;
}

async fn a_reducer_whose_code_blocks_delays_none_of_another_thread(world: World) {
    let world = world.with(|config| config.dispatch_threads = 2);
    let gate = Gate::closed();
    let blocked = Accounts::copies().blocked_at(gate.clone());
    let handle = world.start_with([Accounts::new(), blocked]).await;
    open_many(&world, 3);
    gate.wait_for_arrivals(1, PATIENCE);
    let recorded = world.append([Event::deposited("001", 1)]);
    handle.wait(Await::events("accounts", &recorded)).await.expect("done");
    world.check();
    gate.open();
    handle.wait(Await::caught_up("copies")).await.expect("caught up");
    assert_eq!(world.store.inner().rows(&COPIES), world.rows());
    handle.stop().await;
}

async fn a_reducer_that_stalls_loses_nothing_of_another_that_shares_its_store(world: World) {
    let handle = world.start_with([Accounts::new(), Accounts::copies()]).await;
    let gate = stalled(&world);
    open_many(&world, 10);
    gate.wait_for_arrivals(1, PATIENCE);
    open_many_more(&world, &handle).await;
    gate.open();
    handle.wait(Await::caught_up("accounts").and("copies")).await.expect("caught up");
    world.check();
    assert_eq!(world.store.inner().rows(&COPIES), world.rows());
    handle.stop().await;
}

async fn open_many_more(world: &World, handle: &Handle) {
    world.append(["x", "y", "z"].map(Event::opened));
    for reducer in ["accounts", "copies"] {
        until(handle, reducer, |status| status.position == Cursor::from(13)).await;
    }
}

async fn one_guilty_commit_among_many_delays_none_of_the_others(world: World) {
    world.store_faults().reject("050");
    open_many(&world, 100);
    let handle = world.start().await;
    // At the time when it is known that the one is halted, all others are done.
    world.probe.notified(halted, PATIENCE).await;
    assert_eq!(world.rows().len(), 99);
    assert_eq!(world.halts().into_keys().collect::<Vec<_>>(), ["050"]);
    // Found by halving: far fewer transactions than one for each.
    let commits = world.store_faults().counts().commits;
    assert!(commits <= 20, "{commits} transactions");
    handle.stop().await;
}

async fn no_more_is_read_than_the_window_holds_while_the_store_stalls(world: World) {
    let world = world.with(|config| (config.slice, config.window) = (10, 50));
    let gate = stalled(&world);
    open_many(&world, 500);
    let handle = world.start().await;
    gate.wait_for_arrivals(1, PATIENCE);
    until(&handle, "accounts", |status| status.in_flight >= 50).await;
    // A hint that there is more does not make it read on.
    world.log_faults().wake();
    world.append([Event::opened("later")]);
    let status = status(&handle).await;
    assert_eq!((status.in_flight, status.position), (50, 50.into()));
    assert_eq!(world.log_faults().fetches(), 5);
    gate.open();
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    world.check();
    handle.stop().await;
}

async fn ignored_events_beside_unsettled_ones_count_in_the_window(world: World) {
    let world = world.with(|config| (config.slice, config.window) = (10, 50));
    let gate = stalled(&world);
    for number in 0..50 {
        world.append([Event::opened(&number.to_string())]);
        world.append(vec![Event::Noise; 9]);
    }
    let handle = world.start().await;
    gate.wait_for_arrivals(1, PATIENCE);
    until(&handle, "accounts", |status| status.position >= Cursor::from(50)).await;
    world.log_faults().wake();
    world.append([Event::Noise]);
    let status = status(&handle).await;
    assert_eq!((status.in_flight, status.position), (5, 50.into()));
    gate.open();
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    world.check();
    let delayed = |notice: &Notice| matches!(notice, Notice::CommitDelayed { .. });
    assert_eq!(world.probe.count(delayed), 0);
    handle.stop().await;
}
