//! Awaiting: every event gets an honest answer.

use std::time::{Duration, Instant};

use rederive::{Await, Cursor, Outcome};
use rederive_testkit::{CommitFault, Gate};

use crate::fixture::{PATIENCE, World, bank::Event, on_every_store, outcomes};

on_every_store!(
    what_was_awaited_can_be_read,
    an_event_can_be_awaited_before_it_exists,
    every_event_gets_a_reply_of_its_own,
    a_halted_partition_answers_at_once_with_the_cause,
    a_time_out_is_never_success,
    an_event_of_two_partitions_is_done_when_it_is_done_in_both,
);

async fn what_was_awaited_can_be_read(world: World) {
    let handle = world.start().await;
    let recorded = world.append([Event::opened("a"), Event::deposited("a", 5)]);
    handle.wait(Await::events("accounts", &recorded)).await.expect("done");
    assert_eq!(world.rows()["a"], (5, 2, 2));
    handle.stop().await;
}

async fn an_event_can_be_awaited_before_it_exists(world: World) {
    let handle = world.start().await;
    let waiting = {
        let handle = handle.clone();
        actix_rt::spawn(
            async move { handle.wait(Await::cursors("accounts", [Cursor::from(2)])).await },
        )
    };
    world.append([Event::opened("a")]);
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    assert!(!waiting.is_finished());
    world.append([Event::deposited("a", 5)]);
    waiting.await.expect("no panic").expect("done");
    assert_eq!(world.rows()["a"].0, 5);
    handle.stop().await;
}

async fn every_event_gets_a_reply_of_its_own(world: World) {
    let handle = world.start().await;
    let recorded = world.append([
        Event::opened("a"),
        Event::Noise,
        Event::opened("b"),
        Event::Transferred { from: "a".into(), to: "b".into(), amount: 3 },
    ]);
    let waited = handle.wait(Await::events("accounts", &recorded)).await;
    use Outcome::{Done, Ignored};
    assert_eq!(outcomes(waited), [Done, Ignored, Done, Done]);
    // Asked again, long after.
    let waited = handle.wait(Await::events("accounts", &recorded)).await;
    assert_eq!(outcomes(waited), [Done, Ignored, Done, Done]);
    handle.stop().await;
}

async fn a_halted_partition_answers_at_once_with_the_cause(world: World) {
    let handle = world.start().await;
    let recorded = world.append([Event::opened("a"), Event::poison("a"), Event::deposited("a", 1)]);
    let begun = Instant::now();
    for round in ["first", "again"] {
        let waited = handle.wait(Await::events("accounts", &recorded[2..])).await;
        let Outcome::Halted(halt) = &outcomes(waited)[0] else { panic!("not halted, {round}") };
        assert_eq!((&halt.cursor, &*halt.message), (&recorded[1].cursor, "poison"));
    }
    assert!(begun.elapsed() < PATIENCE);
    // The good prefix is there.
    assert_eq!(
        outcomes(handle.wait(Await::events("accounts", &recorded[..1])).await),
        [Outcome::Done]
    );
    assert_eq!(world.rows()["a"], (0, 1, 1));
    handle.stop().await;
}

async fn a_time_out_is_never_success(world: World) {
    let handle = world.start().await;
    let request = Await::cursors("accounts", [Cursor::from(1)]).within(Duration::from_millis(20));
    let error = handle.wait(request).await.expect_err("nothing was appended");
    assert!(error.is_timeout(), "{error}");
    assert_eq!(outcomes(Err(error)), [Outcome::TimedOut]);
    handle.stop().await;
}

async fn an_event_of_two_partitions_is_done_when_it_is_done_in_both(world: World) {
    let world = world.with(|config| config.group = 1);
    let handle = world.start().await;
    world.append(["a", "b"].map(Event::opened));
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    // Of its two commits the first is made, the second stalls.
    let gate = Gate::closed();
    world.store_faults().on_commit_after(1, CommitFault::Stall(gate.clone()));
    let transfer =
        world.append([Event::Transferred { from: "a".into(), to: "b".into(), amount: 1 }]);
    gate.wait_for_arrivals(1, PATIENCE);
    assert_ne!(world.rows()["a"].1, world.rows()["b"].1);
    let soon = Await::events("accounts", &transfer).within(Duration::from_millis(20));
    assert_eq!(outcomes(handle.wait(soon).await), [Outcome::TimedOut]);
    gate.open();
    handle.wait(Await::events("accounts", &transfer)).await.expect("done");
    world.check();
    handle.stop().await;
}
