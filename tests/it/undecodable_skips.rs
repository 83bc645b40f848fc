//! An event that cannot be decoded and of which no partition is known is skipped by the reducer as a
//! whole: in the transaction that passes it, that is recorded.

use std::{collections::BTreeSet, time::Duration};

use rederive::{
    Activity, Await, Cursor, CursorKind, FailureKind, Handle, Notice, OnFailure, OnUndecodable,
    Outcome, Partitions, Reducer, SkipRecord, SkippedBy, Store,
    chaos::Victim,
    core::{Claim, Opening, TakeFrom},
};
use rederive_testkit::{CommitFault, Gate};

use crate::{
    fixture::{
        PATIENCE, World,
        bank::{Accounts, Event, fold},
        notices::fenced,
        on_every_store, outcomes, status, until,
    },
    killing::kill,
};

on_every_store!(
    it_is_recorded_and_told_to_whoever_waits,
    whoever_waits_is_told_once_it_is_recorded,
    it_is_not_passed_before_what_stands_before_it,
    it_is_passed_and_recorded_together_wherever_the_process_ends,
    it_is_recorded_once_whatever_becomes_of_the_commit,
    it_is_recorded_beside_an_op_that_is_rejected,
    it_is_recorded_at_a_stop,
    many_of_them_are_read_no_further_than_the_window,
    a_dispatcher_that_dies_skips_it_again,
    a_rebuild_applies_it_once_it_can_be_decoded,
);

fn skipping() -> Accounts {
    Accounts::new().on_undecodable(|_| OnUndecodable::Skip(Partitions::None))
}

fn is_skip(notice: &Notice) -> bool {
    matches!(notice, Notice::Skipped { partition: None, .. })
}

fn skips(world: &World) -> Vec<SkipRecord> {
    world.store.inner().skips("accounts", None, 1_000_000).expect("they can be read")
}

fn skipped(world: &World) -> Vec<Cursor> {
    let skips = skips(world);
    assert!(skips.iter().all(|record| record.partition.is_none()), "{skips:?}");
    skips.into_iter().map(|record| record.skip.cursor).collect()
}

fn watermark(world: &World) -> Cursor {
    let stored = world.store.inner().stored("accounts").expect("readable");
    stored.map(|stored| stored.watermark).unwrap_or_default()
}

/// The rows are those of all events but these.
#[track_caller]
fn check_without(world: &World, broken: &[u64]) {
    let broken: BTreeSet<Cursor> = broken.iter().map(|cursor| (*cursor).into()).collect();
    let mut events = world.events();
    events.retain(|event| !broken.contains(&event.cursor));
    assert_eq!(world.rows(), fold(&events).rows);
    assert!(skipped(world).iter().eq(&broken), "{:?}", skipped(world));
}

async fn outcome(handle: &Handle, cursor: u64) -> Outcome {
    outcomes(handle.wait(Await::cursors("accounts", [cursor.into()])).await).remove(0)
}

async fn it_is_recorded_and_told_to_whoever_waits(world: World) {
    let handle = world.start_with([skipping()]).await;
    world.log_faults().break_event(2);
    let early = actix_rt::spawn({
        let handle = handle.clone();
        async move { outcome(&handle, 2).await }
    });
    let recorded = world.append([Event::opened("a"), Event::poison("a"), Event::deposited("a", 1)]);
    let Outcome::Skipped(skip) = early.await.expect("no panic") else { panic!("not skipped") };
    assert_eq!((&skip.cursor, skip.kind), (&2.into(), FailureKind::Undecodable));
    assert_eq!((skip.by, skip.attempts), (SkippedBy::Policy, 1));
    handle.wait(Await::caught_up("accounts")).await.expect("nothing is halted");
    assert_eq!(skips(&world), [SkipRecord { partition: None, skip: (*skip).clone() }]);
    assert_eq!(handle.skips("accounts", None, 9).await, Ok(skips(&world)));
    check_without(&world, &[2]);
    assert_eq!(world.probe.count(is_skip), 1);
    assert_eq!(outcome(&handle, 2).await, Outcome::Skipped(skip.clone()));
    handle.stop().await;
    // Whoever asks later is told the same, also once the event can be decoded.
    for _ in 0..2 {
        let handle = world.start_with([skipping()]).await;
        assert_eq!(outcome(&handle, 2).await, Outcome::Skipped(skip.clone()));
        handle.wait(Await::events("accounts", [&recorded[0], &recorded[2]])).await.expect("done");
        handle.stop().await;
        world.log_faults().mend(2);
    }
    assert_eq!(world.probe.count(is_skip), 1);
}

async fn whoever_waits_is_told_once_it_is_recorded(world: World) {
    let gate = Gate::closed();
    world.store_faults().on_commit(CommitFault::Stall(gate.clone()));
    world.log_faults().break_event(1);
    let handle = world.start_with([skipping()]).await;
    world.append([Event::opened("a")]);
    gate.wait_for_arrivals(1, PATIENCE);
    let wait = |request: Await| {
        let handle = handle.clone();
        actix_rt::spawn(async move { outcomes(handle.wait(request).await) })
    };
    let one = wait(Await::cursors("accounts", [1.into()]));
    let all = wait(Await::caught_up("accounts"));
    until(&handle, "accounts", |status| status.watermark == 1.into()).await;
    for request in [Await::cursors("accounts", [1.into()]), Await::caught_up("accounts")] {
        let early = handle.wait(request.within(Duration::from_millis(50))).await;
        assert_eq!(outcomes(early), [Outcome::TimedOut], "nothing is recorded yet");
    }
    assert_eq!(skips(&world), []);
    gate.open();
    assert!(matches!(one.await.expect("no panic")[..], [Outcome::Skipped(_)]));
    assert_eq!(all.await.expect("no panic"), [Outcome::Done]);
    assert_eq!(skipped(&world), [1.into()]);
    handle.stop().await;
}

async fn it_is_not_passed_before_what_stands_before_it(world: World) {
    let policy = |_| OnFailure::Retry(Duration::from_secs(3600));
    let handle = world.start_with([skipping().on_failure(policy)]).await;
    world.append([Event::opened("a"), Event::poison("a")]);
    until(&handle, "accounts", |status| status.retrying_partitions == 1).await;
    world.log_faults().break_event(3);
    let later = world.append([Event::deposited("a", 1), Event::opened("b")]);
    handle.wait(Await::events("accounts", &later[1..])).await.expect("others go on");
    assert_eq!((skips(&world), watermark(&world) < 2.into()), (vec![], true));
    handle.stop().await;
    // A later version can decode it: it takes effect, and nothing says that it was skipped.
    world.log_faults().mend(3);
    let handle = world.start_with([skipping().healed()]).await;
    handle.wait(Await::caught_up("accounts")).await.expect("nothing is halted");
    assert_eq!((world.rows()["a"].0, skips(&world)), (1, vec![]));
    assert_eq!(outcome(&handle, 3).await, Outcome::Done);
    handle.stop().await;
}

/// Accounts that are opened and changed, and among them events that cannot be decoded.
fn interspersed(world: &World) -> Vec<u64> {
    let ids = ["a", "b", "c"];
    world.append(ids.map(Event::opened));
    let mut broken = Vec::new();
    for round in 0..6 {
        let recorded = world.append(ids.map(|id| Event::deposited(id, round)));
        let Cursor::Integer(cursor) = recorded[0].cursor else { unreachable!("numbers") };
        broken.push(cursor + round as u64 % 3);
    }
    broken.iter().for_each(|cursor| world.log_faults().break_event(*cursor));
    broken
}

async fn it_is_passed_and_recorded_together_wherever_the_process_ends(world: World) {
    let world = world.with(|config| (config.slice, config.window, config.group) = (2, 4, 2));
    let broken = interspersed(&world);
    let together = |world: &World| {
        let (skipped, at) = (skipped(world), watermark(world));
        let passed = broken.iter().map(|cursor| Cursor::from(*cursor)).filter(|it| *it <= at);
        assert!(skipped.iter().cloned().eq(passed), "{skipped:?} at {at}");
    };
    for fault in [CommitFault::Stall, CommitFault::StallAfter].iter().cycle() {
        let gate = Gate::closed();
        world.store_faults().on_commit(fault(gate.clone()));
        let handle = world.start_with([skipping()]).await;
        let mut caught_up = false;
        while gate.arrived() == 0 && !caught_up {
            caught_up = status(&handle).await.activity == Activity::CaughtUp;
        }
        together(&world);
        if gate.arrived() == 0 {
            world.store_faults().heal();
            handle.stop().await;
            break;
        }
        // Nothing that it begins from here on is in the store: as if it had been killed.
        take_over(&world);
        gate.open();
        handle.stop().await;
    }
    check_without(&world, &broken);
}

fn take_over(world: &World) {
    let tables = Accounts::new().tables();
    let opening = Opening::new("accounts", 1, CursorKind::Integer);
    let claim = Claim { from: TakeFrom::Anybody, ..Claim::default() };
    let opening = Opening { tables: &tables, claim, ..opening };
    world.store.inner().open(&opening).expect("it opens");
}

async fn it_is_recorded_once_whatever_becomes_of_the_commit(world: World) {
    let faults = [
        CommitFault::InDoubtDone,
        CommitFault::InDoubtLost,
        CommitFault::PanicBefore,
        CommitFault::PanicAfter,
        CommitFault::Transient,
    ];
    let handle = world.start_with([skipping()]).await;
    let mut broken = Vec::new();
    for (round, fault) in (0_u64..).zip(faults) {
        world.log_faults().break_event(2 * round + 1);
        broken.push(2 * round + 1);
        world.store_faults().on_commit(fault);
        world.append([Event::Noise, Event::opened(&format!("{round}"))]);
        handle.wait(Await::caught_up("accounts")).await.expect("nothing is halted");
        assert!(matches!(outcome(&handle, 2 * round + 1).await, Outcome::Skipped(_)));
        check_without(&world, &broken);
    }
    assert_eq!(world.probe.count(is_skip), broken.len());
    handle.stop().await;
}

async fn it_is_recorded_beside_an_op_that_is_rejected(world: World) {
    world.log_faults().break_event(3);
    let twice = Event::OpenedTwice { id: "a".into() };
    world.append([Event::opened("a"), Event::opened("b"), Event::Noise, twice]);
    world.append([Event::deposited("b", 1)]);
    let handle = world.start_with([skipping()]).await;
    world.settled(&handle).await;
    world.check();
    assert_eq!((skipped(&world), watermark(&world)), (vec![3.into()], 5.into()));
    handle.stop().await;
}

async fn it_is_recorded_at_a_stop(world: World) {
    let gate = Gate::closed();
    world.store_faults().on_commit(CommitFault::Stall(gate.clone()));
    let handle = world.start_with([skipping()]).await;
    world.append([Event::opened("a")]);
    gate.wait_for_arrivals(1, PATIENCE);
    world.log_faults().break_event(2);
    world.append([Event::Noise]);
    until(&handle, "accounts", |status| status.position == 2.into()).await;
    let stop = actix_rt::spawn(async move { handle.stop().await });
    actix_rt::task::yield_now().await;
    gate.open();
    stop.await.expect("no panic");
    assert_eq!((skipped(&world), watermark(&world)), (vec![2.into()], 2.into()));
}

async fn many_of_them_are_read_no_further_than_the_window(world: World) {
    let world = world.with(|config| (config.slice, config.window) = (5, 10));
    let gate = Gate::closed();
    world.store_faults().on_commit(CommitFault::Stall(gate.clone()));
    (2..=100).for_each(|cursor: u64| world.log_faults().break_event(cursor));
    world.append([Event::opened("a")]);
    world.append(vec![Event::Noise; 99]);
    let handle = world.start_with([skipping()]).await;
    gate.wait_for_arrivals(1, PATIENCE);
    until(&handle, "accounts", |status| status.position >= 10.into()).await;
    assert!(status(&handle).await.position <= 20.into());
    gate.open();
    handle.wait(Await::caught_up("accounts")).await.expect("nothing is halted");
    check_without(&world, &(2..=100).collect::<Vec<_>>());
    handle.stop().await;
}

async fn a_dispatcher_that_dies_skips_it_again(world: World) {
    for fault in [CommitFault::Stall, CommitFault::StallAfter] {
        let gate = Gate::closed();
        let next = world.events().len() as u64 + 1;
        world.log_faults().break_event(next);
        world.store_faults().on_commit(fault(gate.clone()));
        let handle = world.start_with([skipping()]).await;
        world.append([Event::Noise, Event::opened(&format!("{next}"))]);
        gate.wait_for_arrivals(1, PATIENCE);
        let waiting = actix_rt::spawn({
            let handle = handle.clone();
            async move { outcome(&handle, next).await }
        });
        actix_rt::task::yield_now().await;
        kill(&handle, Victim::Dispatcher);
        gate.open();
        assert!(matches!(waiting.await.expect("no panic"), Outcome::Skipped(_)));
        world.settled(&handle).await;
        handle.stop().await;
    }
    check_without(&world, &[1, 3]);
    assert_eq!(world.probe.count(fenced), 0);
}

async fn a_rebuild_applies_it_once_it_can_be_decoded(world: World) {
    let broken = interspersed(&world);
    let handle = world.start_with([skipping()]).await;
    handle.wait(Await::caught_up("accounts")).await.expect("nothing is halted");
    check_without(&world, &broken);
    // Still undecodable: skipped again, and the rebuild is complete.
    handle.rebuild("accounts").await.expect("it is rebuilt");
    check_without(&world, &broken);
    world.log_faults().mend(broken[0]);
    handle.rebuild("accounts").await.expect("it is rebuilt");
    check_without(&world, &broken[1..]);
    assert_eq!(outcome(&handle, broken[0]).await, Outcome::Done);
    handle.stop().await;
}
