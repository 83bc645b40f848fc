//! Halting: a partition stops before the event that cannot be applied, and only that partition.

use rederive::{Await, Blocked, Cursor, FailureKind, Notice, Outcome, PartitionId, Store};

use crate::fixture::{
    PATIENCE, World, bank::Event, notices::halted, on_every_store, outcomes, status,
};

on_every_store!(
    the_good_prefix_of_a_batch_is_kept_and_the_cursor_stands_before_the_failed_event,
    a_panic_halts_as_an_error_does,
    what_the_store_rejects_takes_nothing_else_of_its_batch_along,
    a_first_event_that_is_rejected_leaves_neither_row_nor_cursor,
    later_events_of_a_halted_partition_are_held_and_others_go_on,
    a_partition_that_fails_does_not_apply_a_shared_event_twice_to_its_sibling,
    a_halt_outlives_a_restart_and_is_told_to_those_who_wait_after_it,
    too_many_halted_partitions_block_the_reducer_until_the_limit_is_raised,
    halted_partitions_are_listed_in_pages,
);

/// Four good events and a bad one in their midst; all in one batch, as they are there at the start.
async fn halt_in_a_batch(world: &World, bad: Event) -> (FailureKind, String) {
    let good = |amount| Event::deposited("a", amount);
    world.append([Event::opened("a"), good(1), good(2), bad, good(4)]);
    let handle = world.start().await;
    world.settled(&handle).await;
    world.check();
    assert_eq!(world.rows()["a"], (3, 3, 3));
    let record = world.store.halted("accounts", None, 10).expect("readable").remove(0);
    assert_eq!(record.cursor, Cursor::from(3));
    let halt = record.halt.expect("it is halted");
    assert_eq!((halt.cursor, halt.attempts), (Cursor::from(4), 1));
    handle.stop().await;
    (halt.kind, halt.message)
}

async fn the_good_prefix_of_a_batch_is_kept_and_the_cursor_stands_before_the_failed_event(
    world: World,
) {
    let said = halt_in_a_batch(&world, Event::poison("a")).await;
    assert_eq!(said, (FailureKind::Reduce, "poison".to_owned()));
    // All in one transaction: the prefix and the halt.
    assert_eq!(world.store_faults().counts().committed, 1);
}

async fn a_panic_halts_as_an_error_does(world: World) {
    let said = halt_in_a_batch(&world, Event::Bomb { id: "a".into() }).await;
    assert_eq!(said, (FailureKind::Panic, "bomb".to_owned()));
}

async fn what_the_store_rejects_takes_nothing_else_of_its_batch_along(world: World) {
    let (kind, message) = halt_in_a_batch(&world, Event::OpenedTwice { id: "a".into() }).await;
    assert_eq!(kind, FailureKind::Rejected);
    assert!(message.contains("accounts"), "{message}");
}

async fn a_first_event_that_is_rejected_leaves_neither_row_nor_cursor(world: World) {
    world.store_faults().reject("a");
    let recorded = world.append([Event::opened("a"), Event::opened("b")]);
    let handle = world.start().await;
    world.settled(&handle).await;
    assert_eq!(world.rows().into_keys().collect::<Vec<_>>(), ["b"]);
    let record = world.store.halted("accounts", None, 10).expect("readable").remove(0);
    assert_eq!(record.cursor, Cursor::Start);
    assert_eq!(record.halt.expect("halted").cursor, recorded[0].cursor);
    handle.stop().await;
}

async fn later_events_of_a_halted_partition_are_held_and_others_go_on(world: World) {
    let handle = world.start().await;
    world.append([Event::opened("a"), Event::opened("b"), Event::poison("a")]);
    world.settled(&handle).await;
    for amount in 1..=3 {
        let of_b = world.append([Event::deposited("a", 1), Event::deposited("b", amount)]);
        handle.wait(Await::events("accounts", &of_b[1..])).await.expect("b goes on");
        let of_a = handle.wait(Await::events("accounts", &of_b[..1])).await;
        assert!(matches!(outcomes(of_a)[0], Outcome::Halted(_)));
    }
    world.check();
    let status = status(&handle).await;
    assert_eq!((status.halted_partitions, status.in_flight), (1, 0));
    assert_eq!(status.watermark, world.events().pop().expect("not empty").cursor);
    assert_eq!(world.probe.count(halted), 1);
    handle.stop().await;
}

async fn a_partition_that_fails_does_not_apply_a_shared_event_twice_to_its_sibling(world: World) {
    let transfer = || Event::Transferred { from: "none".into(), to: "a".into(), amount: 5 };
    // The store rejects the one half, as there is no such account, and with it the transaction.
    world.append([Event::opened("a"), transfer(), transfer(), Event::deposited("a", 1)]);
    let handle = world.start().await;
    world.settled(&handle).await;
    assert_eq!(world.rows()["a"], (11, 4, 4));
    world.check();
    handle.stop().await;
    // Nor does a restart.
    let handle = world.start().await;
    world.append([transfer()]);
    world.settled(&handle).await;
    assert_eq!(world.rows()["a"], (16, 5, 5));
    world.check();
    handle.stop().await;
}

async fn a_halt_outlives_a_restart_and_is_told_to_those_who_wait_after_it(world: World) {
    let handle = world.start().await;
    let before = world.append([Event::opened("a"), Event::poison("a"), Event::deposited("a", 1)]);
    world.settled(&handle).await;
    handle.stop().await;
    let handle = world.start().await;
    let after = world.append([Event::deposited("a", 2), Event::opened("b")]);
    for event in [&before[1], &before[2], &after[0]] {
        let waited = handle.wait(Await::events("accounts", [event])).await;
        let Outcome::Halted(halt) = &outcomes(waited)[0] else { panic!("it is not halted") };
        assert_eq!((&halt.cursor, &*halt.message), (&before[1].cursor, "poison"));
    }
    let waited = handle.wait(Await::events("accounts", [&before[0], &after[1]])).await;
    assert_eq!(outcomes(waited), [Outcome::Done, Outcome::Done]);
    world.check();
    assert_eq!(status(&handle).await.halted_partitions, 1);
    handle.stop().await;
}

async fn too_many_halted_partitions_block_the_reducer_until_the_limit_is_raised(world: World) {
    let world = world.with(|config| config.max_halted = 2);
    let handle = world.start().await;
    let poisoned = world.append(["a", "b"].map(Event::poison));
    world.settled(&handle).await;
    let later = world.append([Event::opened("c")]);
    let is_blocked = |notice: &Notice| {
        matches!(notice, Notice::Blocked { reason: Blocked::TooManyHalted { halted: 2 }, .. })
    };
    world.probe.notified(is_blocked, PATIENCE).await;
    let reason = Blocked::TooManyHalted { halted: 2 };
    let waited = handle.wait(Await::events("accounts", &later)).await;
    assert_eq!(outcomes(waited), [Outcome::Blocked(reason)]);
    // What was before it has an answer of its own.
    let waited = handle.wait(Await::events("accounts", &poisoned[..1])).await;
    assert!(matches!(outcomes(waited)[0], Outcome::Halted(_)));
    handle.stop().await;
    assert!(world.rows().is_empty());

    let world = world.with(|config| config.max_halted = 3);
    let handle = world.start().await;
    handle.wait(Await::events("accounts", &later)).await.expect("it goes on");
    world.check();
    handle.stop().await;
}

async fn halted_partitions_are_listed_in_pages(world: World) {
    let handle = world.start().await;
    world.append(["e", "b", "d", "a", "c"].map(Event::poison));
    world.append([Event::opened("ab")]);
    world.settled(&handle).await;
    let (mut listed, mut after) = (Vec::new(), None::<PartitionId>);
    loop {
        let page = world.store.halted("accounts", after.as_ref(), 2).expect("readable");
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        after = Some(last.partition.clone());
        listed.extend(page.into_iter().map(|record| record.partition.to_string()));
    }
    assert_eq!(listed, ["a", "b", "c", "d", "e"]);
    assert!(world.store.halted("nobody", None, 10).expect("readable").is_empty());
    handle.stop().await;
}
