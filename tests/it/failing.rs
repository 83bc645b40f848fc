//! What a reducer's policy makes of events that fail: halting is told elsewhere, here they are tried
//! again or skipped.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rederive::{
    Await, FailureKind, Notice, OnFailure, Outcome, SkippedBy, chaos::Victim, core::SkipRecord,
};
use rederive_testkit::{CommitFault, Gate};

use crate::{
    fixture::{
        PATIENCE, World,
        bank::{Accounts, Event, fold, fold_healed},
        notices::restarted,
        on_every_store, outcomes, status, until,
    },
    killing::kill,
};

on_every_store!(
    an_event_that_is_tried_again_delays_only_its_partition,
    an_event_that_was_tried_often_enough_halts_its_partition,
    an_op_that_the_store_rejects_is_tried_again,
    a_skipped_event_is_recorded_and_told_to_whoever_waits,
    a_rejected_event_is_skipped_in_the_partition_that_cannot_take_it,
    a_skip_is_recorded_once_although_its_commit_was_in_doubt,
    every_bad_event_of_many_is_skipped_and_every_good_one_applied,
    a_stop_is_prompt_while_an_event_waits_to_be_tried_again,
    an_event_is_tried_again_after_its_actor_has_died,
);

fn at_once(_: u32) -> OnFailure {
    OnFailure::Retry(Duration::from_millis(1))
}

fn skip(_: u32) -> OnFailure {
    OnFailure::Skip
}

fn retrying(notice: &Notice) -> bool {
    matches!(notice, Notice::Retrying { .. })
}

fn skipped(notice: &Notice) -> bool {
    matches!(notice, Notice::Skipped { .. })
}

fn skips(world: &World) -> Vec<SkipRecord> {
    rederive::Store::skips(&world.store, "accounts", None, 1000).expect("they can be read")
}

async fn an_event_that_is_tried_again_delays_only_its_partition(world: World) {
    let reducer = Accounts::new().on_failure(at_once);
    let cure = reducer.cure();
    let handle = world.start_with([reducer]).await;
    let bad = world.append([Event::opened("a"), Event::poison("a"), Event::deposited("a", 5)]);
    let waiting = actix_rt::spawn({
        let (handle, bad) = (handle.clone(), bad.clone());
        async move { handle.wait(Await::events("accounts", &bad)).await }
    });
    world.probe.from_start().wait_for(retrying, PATIENCE);
    let good = world.append([Event::opened("b"), Event::deposited("b", 7)]);
    handle.wait(Await::events("accounts", &good)).await.expect("the other partition goes on");
    until(&handle, "accounts", |status| status.retrying_partitions == 1).await;
    assert_eq!(status(&handle).await.halted_partitions, 0);
    assert!(status(&handle).await.watermark < bad[1].cursor, "the event is not settled");
    cure.store(true, Ordering::SeqCst);
    assert_eq!(outcomes(waiting.await.expect("no panic")), vec![Outcome::Done; 3]);
    world.settled(&handle).await;
    assert_eq!(world.rows(), fold_healed(&world.events()).rows);
    assert_eq!(status(&handle).await.retrying_partitions, 0);
    handle.stop().await;
}

async fn an_event_that_was_tried_often_enough_halts_its_partition(world: World) {
    let policy = |attempt| if attempt < 3 { at_once(attempt) } else { OnFailure::Halt };
    let handle = world.start_with([Accounts::new().on_failure(policy)]).await;
    let bad = world.append([Event::opened("a"), Event::Bomb { id: "a".into() }]);
    let outcome = handle.wait(Await::events("accounts", &bad[1..])).await;
    let [Outcome::Halted(halt)] = &outcomes(outcome)[..] else { panic!("it does not halt") };
    assert_eq!((halt.attempts, halt.kind), (3, FailureKind::Panic));
    assert_eq!(world.probe.count(retrying), 2, "told at each failed attempt but the last");
    world.settled(&handle).await;
    world.check();
    handle.stop().await;
}

async fn an_op_that_the_store_rejects_is_tried_again(world: World) {
    let reducer = Accounts::new().on_failure(at_once);
    let cure = reducer.cure();
    let handle = world.start_with([reducer]).await;
    let twice = Event::OpenedTwice { id: "a".into() };
    let recorded = world.append([Event::opened("a"), Event::deposited("a", 1), twice]);
    let later = world.append([Event::deposited("a", 2)]);
    let notice = world.probe.from_start().wait_for(retrying, PATIENCE);
    let Notice::Retrying { failure, .. } = notice else { unreachable!("waited for") };
    assert_eq!((failure.cursor, failure.kind), (recorded[2].cursor.clone(), FailureKind::Rejected));
    handle.wait(Await::events("accounts", &recorded[..2])).await.expect("the good prefix is kept");
    cure.store(true, Ordering::SeqCst);
    handle.wait(Await::events("accounts", &later)).await.expect("done");
    assert_eq!(world.rows()["a"].0, 3);
    handle.stop().await;
}

async fn a_skipped_event_is_recorded_and_told_to_whoever_waits(world: World) {
    let reducer = Accounts::new().on_failure(skip);
    let handle = world.start_with([reducer.clone()]).await;
    let recorded = world.append([Event::opened("a"), Event::poison("a"), Event::deposited("a", 5)]);
    let early = outcomes(handle.wait(Await::events("accounts", &recorded)).await);
    world.settled(&handle).await;
    let stored = handle.skips("accounts", None, 10).await.expect("they can be read");
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].partition, Some("a".into()));
    let skip = &stored[0].skip;
    assert_eq!((&skip.cursor, skip.attempts), (&recorded[1].cursor, 1));
    assert_eq!((skip.by, &*skip.message), (SkippedBy::Policy, "poison"));
    // Told as soon as it is known; what else was waited for may not be known then.
    assert_eq!(early[1], Outcome::Skipped(Arc::new(skip.clone())));
    assert_eq!(world.rows(), fold_healed(&world.events()).rows);
    assert_eq!(world.probe.count(skipped), 1);
    // Whoever asks late is told the same, also after a restart.
    let of_skipped = || Await::events("accounts", &recorded[1..2]);
    let of_others = || Await::cursors("accounts", [1_u64, 3].map(rederive::Cursor::from));
    for _ in 0..2 {
        let late = outcomes(handle.wait(of_skipped()).await);
        assert_eq!(late, [Outcome::Skipped(Arc::new(skip.clone()))]);
    }
    handle.stop().await;
    let handle = world.start_with([reducer]).await;
    world.store_faults().fail_other(2);
    let late = outcomes(handle.wait(of_skipped()).await);
    assert_eq!(late, [Outcome::Skipped(Arc::new(skip.clone()))]);
    handle.wait(of_others()).await.expect("the events beside it are done");
    handle.stop().await;
}

async fn a_rejected_event_is_skipped_in_the_partition_that_cannot_take_it(world: World) {
    let handle = world.start_with([Accounts::new().on_failure(skip)]).await;
    let transfer = Event::Transferred { from: "a".into(), to: "nobody".into(), amount: 7 };
    let recorded = world.append([Event::opened("a"), transfer, Event::deposited("a", 1)]);
    let outcome = outcomes(handle.wait(Await::events("accounts", &recorded[1..2])).await);
    assert!(matches!(&outcome[..], [Outcome::Skipped(_)]), "{outcome:?}");
    world.settled(&handle).await;
    assert_eq!(world.rows(), BTreeMap::from([("a".to_owned(), (-6, 3, 3))]));
    assert_eq!(skips(&world).len(), 1);
    assert_eq!(skips(&world)[0].partition, Some("nobody".into()));
    handle.stop().await;
}

async fn a_skip_is_recorded_once_although_its_commit_was_in_doubt(world: World) {
    for fault in [CommitFault::InDoubtDone, CommitFault::InDoubtLost, CommitFault::PanicAfter] {
        world.store_faults().on_commit(fault);
    }
    let handle = world.start_with([Accounts::new().on_failure(skip)]).await;
    for _ in 0..3 {
        let recorded = world.append([Event::poison("a")]);
        let outcome = outcomes(handle.wait(Await::events("accounts", &recorded)).await);
        assert!(matches!(&outcome[..], [Outcome::Skipped(_)]), "{outcome:?}");
    }
    assert_eq!(skips(&world).len(), 3);
    handle.stop().await;
}

async fn every_bad_event_of_many_is_skipped_and_every_good_one_applied(world: World) {
    let handle = world.start_with([Accounts::new().on_failure(skip)]).await;
    let accounts = ["a", "b", "c", "d"];
    world.append(accounts.map(Event::opened));
    for round in 0..25 {
        world.append(accounts.map(|id| Event::deposited(id, round)));
        world.append(accounts[1..].iter().map(|id| match round % 3 {
            0 => Event::poison(id),
            1 => Event::Bomb { id: (*id).to_owned() },
            _ => Event::OpenedTwice { id: (*id).to_owned() },
        }));
    }
    handle.wait(Await::caught_up("accounts")).await.expect("nothing is halted");
    let events = world.events();
    assert_eq!(world.rows(), fold_healed(&events).rows);
    let bad = events.iter().filter(|event| event.data.is_bad()).map(|event| &event.cursor);
    let skips = skips(&world);
    assert!(skips.iter().map(|record| &record.skip.cursor).eq(bad));
    assert_eq!(world.probe.count(skipped), 75);
    handle.stop().await;
}

async fn a_stop_is_prompt_while_an_event_waits_to_be_tried_again(world: World) {
    let policy = |_| OnFailure::Retry(Duration::from_secs(3600));
    let handle = world.start_with([Accounts::new().on_failure(policy)]).await;
    world.append([Event::opened("a"), Event::deposited("a", 1), Event::poison("a")]);
    let last = world.append([Event::deposited("a", 2), Event::opened("b")]);
    until(&handle, "accounts", |status| status.retrying_partitions == 1).await;
    let waiting = actix_rt::spawn({
        let handle = handle.clone();
        let last = last[0].cursor.clone();
        async move { handle.wait(Await::cursors("accounts", [last])).await }
    });
    actix_rt::task::yield_now().await;
    actix_rt::time::timeout(PATIENCE, handle.stop()).await.expect("it does not wait an hour");
    let told = waiting.await.expect("no panic");
    assert!(!told.is_ok_and(|awaited| awaited.replies[0].outcome.is_success()));
    // What was not settled is dispatched again, once.
    let handle = world.start_with([Accounts::new().healed()]).await;
    handle.wait(Await::caught_up("accounts")).await.expect("nothing is halted");
    assert_eq!(world.rows(), fold_healed(&world.events()).rows);
    handle.stop().await;
}

async fn an_event_is_tried_again_after_its_actor_has_died(world: World) {
    let reducer = Accounts::new().on_failure(at_once);
    let cure = reducer.cure();
    let handle = world.start_with([reducer]).await;
    let recorded = world.append([Event::opened("a"), Event::poison("a"), Event::deposited("a", 1)]);
    world.probe.from_start().wait_for(retrying, PATIENCE);
    let mut probe = world.probe.from_now();
    kill(&handle, Victim::Partition("a".into()));
    probe.wait_for(restarted("partition dispatcher"), PATIENCE);
    probe.wait_for(retrying, PATIENCE);
    // Its next commit is kept from being answered while the actor dies again.
    let gate = Gate::closed();
    world.store_faults().on_commit(CommitFault::StallAfter(gate.clone()));
    cure.store(true, Ordering::SeqCst);
    gate.wait_for_arrivals(1, PATIENCE);
    kill(&handle, Victim::Partition("a".into()));
    gate.open();
    handle.wait(Await::events("accounts", &recorded)).await.expect("done");
    let events = world.events();
    assert_eq!(world.rows(), fold_healed(&events).rows);
    assert_ne!(world.rows(), fold(&events).rows, "the poison would have halted it");
    handle.stop().await;
}
