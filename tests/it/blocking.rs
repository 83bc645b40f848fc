//! Blocking: a reducer stands before an event that it cannot pass, says so, and skips nothing.

use rederive::{Activity, Await, Blocked, Cursor, Handle, Notice, Outcome};
use rederive_testkit::{CommitFault, Gate};

use crate::fixture::{
    PATIENCE, World,
    bank::{Accounts, Event},
    notices::{blocked, caught_up, halted},
    on_every_store, outcomes, status, until,
};

on_every_store!(
    an_event_that_cannot_be_decoded_blocks_the_reducer_and_is_told_to_those_who_wait,
    a_blocked_reducer_goes_on_once_the_event_can_be_decoded,
    what_was_read_before_a_block_is_settled_while_it_lasts,
    a_reducer_that_panics_when_asked_for_partitions_blocks_until_it_is_corrected,
    a_reducer_that_is_blocked_does_not_keep_others_from_going_on,
    a_wait_for_what_was_read_before_a_block_is_not_told_of_the_block,
);

async fn outcome(handle: &Handle, cursor: u64) -> Outcome {
    outcomes(handle.wait(Await::cursors("accounts", [cursor.into()])).await).remove(0)
}

fn reason_of(outcome: Outcome) -> Blocked {
    match outcome {
        Outcome::Blocked(reason) => reason,
        other => panic!("not blocked, but {other:?}"),
    }
}

fn four_events(world: &World) {
    world.append(["a", "b", "c", "d"].map(Event::opened));
}

async fn an_event_that_cannot_be_decoded_blocks_the_reducer_and_is_told_to_those_who_wait(
    world: World,
) {
    world.log_faults().break_event(3);
    let handle = world.start().await;
    // Both begin to wait before there is anything.
    let broken = Await::cursors("accounts", [3.into()]);
    let (for_broken, for_later) = (handle.clone(), handle.clone());
    let waiting = actix_rt::spawn(async move { for_broken.wait(broken).await });
    let waiting_later = actix_rt::spawn(async move { outcome(&for_later, 4).await });
    four_events(&world);
    let reason = reason_of(outcomes(waiting.await.expect("no panic")).remove(0));
    assert_eq!(reason.cursor(), Some(&Cursor::from(3)));
    assert!(matches!(reason, Blocked::Undecodable(_)));
    assert_eq!(reason_of(waiting_later.await.expect("no panic")), reason);
    // And those who ask only now.
    assert_eq!(outcome(&handle, 1).await, Outcome::Done);
    assert_eq!(reason_of(outcome(&handle, 3).await), reason);
    assert_eq!(reason_of(outcome(&handle, 4).await), reason);
    let everything = handle.wait(Await::caught_up("accounts")).await;
    assert_eq!(reason_of(outcomes(everything).remove(0)), reason);

    let told = Notice::Blocked { reducer: "accounts".into(), reason: reason.clone() };
    assert!(world.probe.count(|notice| *notice == told) > 0);
    until(&handle, "accounts", |status| status.activity == Activity::Blocked(reason.clone())).await;
    let status = status(&handle).await;
    assert_eq!((status.position, status.watermark), (2.into(), 2.into()));
    handle.stop().await;
    assert_eq!(world.rows().into_keys().collect::<String>(), "ab");
}

async fn a_blocked_reducer_goes_on_once_the_event_can_be_decoded(world: World) {
    world.log_faults().break_event(2);
    four_events(&world);
    let handle = world.start().await;
    world.probe.notified(blocked, PATIENCE).await;
    let mut watch = world.probe.from_now();
    world.log_faults().mend(2);
    watch.notified(caught_up, PATIENCE).await;
    assert_eq!(outcome(&handle, 4).await, Outcome::Done);
    world.check();
    handle.stop().await;
}

async fn what_was_read_before_a_block_is_settled_while_it_lasts(world: World) {
    let gate = Gate::closed();
    world.store_faults().on_commit(CommitFault::Stall(gate.clone()));
    world.append([Event::opened("a"), Event::Unroutable, Event::deposited("a", 1)]);
    let handle = world.start().await;
    world.probe.notified(blocked, PATIENCE).await;
    let handle_of_other = handle.clone();
    let waiting = actix_rt::spawn(async move { outcome(&handle_of_other, 1).await });
    gate.open();
    assert_eq!(waiting.await.expect("no panic"), Outcome::Done);
    handle.stop().await;
    let stopped = Notice::Stopped { reducer: "accounts".into(), watermark: 1.into() };
    assert_eq!(world.probe.count(|notice| *notice == stopped), 1);
    assert_eq!(world.rows()["a"], (0, 1, 1));
}

async fn a_reducer_that_panics_when_asked_for_partitions_blocks_until_it_is_corrected(
    world: World,
) {
    world.append([Event::opened("a"), Event::Unroutable, Event::deposited("a", 1)]);
    for _ in 0..2 {
        let handle = world.start().await;
        assert_eq!(outcome(&handle, 1).await, Outcome::Done);
        let expected =
            Blocked::PartitionPanicked { cursor: 2.into(), message: "whose is it?".to_owned() };
        assert_eq!(reason_of(outcome(&handle, 2).await), expected);
        assert_eq!(reason_of(outcome(&handle, 3).await), expected);
        handle.stop().await;
        assert_eq!(world.rows()["a"], (0, 1, 1));
    }
    let handle = world.start_with([Accounts::new().healed()]).await;
    assert_eq!(outcome(&handle, 2).await, Outcome::Ignored);
    assert_eq!(outcome(&handle, 3).await, Outcome::Done);
    world.check();
    handle.stop().await;
}

async fn a_reducer_that_is_blocked_does_not_keep_others_from_going_on(world: World) {
    let handle = world.start_with([Accounts::new(), Accounts::copies().healed()]).await;
    world.append([Event::Unroutable, Event::opened("a")]);
    world.probe.notified(blocked, PATIENCE).await;
    let later = world.append([Event::opened("b")]);
    handle.wait(Await::events("copies", &later)).await.expect("done");
    assert!(matches!(outcome(&handle, 3).await, Outcome::Blocked(_)));
    handle.stop().await;
}

async fn a_wait_for_what_was_read_before_a_block_is_not_told_of_the_block(world: World) {
    let world = world.with(|config| (config.group, config.max_halted) = (1, 1));
    let handle = world.start().await;
    world.append([Event::opened("c")]);
    world.settled(&handle).await;
    let gate = Gate::closed();
    // One partition halts; the commit of the other stalls.
    world.store_faults().on_commit_after(1, CommitFault::Stall(gate.clone()));
    world.append([Event::opened("a"), Event::poison("a"), Event::opened("b")]);
    world.probe.notified(halted, PATIENCE).await;
    gate.wait_for_arrivals(1, PATIENCE);
    // The next read finds nothing new and one halted partition too many.
    world.log_faults().wake();
    world.probe.notified(blocked, PATIENCE).await;
    let waiting = handle.supervisor().send(Await::caught_up("accounts"));
    // A question to the log that is answered after the one for its head.
    assert_eq!(outcome(&handle, 1).await, Outcome::Done);
    gate.open();
    let waited = outcomes(waiting.await.expect("no panic"));
    assert!(matches!(waited[..], [Outcome::Halted(_)]), "{waited:?}");
    handle.stop().await;
}
