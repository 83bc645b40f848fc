//! An event that cannot be decoded and whose partition is known from what is stored beside it: that
//! partition halts or skips it, and no other is touched.

use rederive::{
    Await, Blocked, Cursor, FailureKind, Fold, Handle, OnUndecodable, Outcome, PartitionId,
    Partitions, ReduceError, RepairError, States, Undecodable, chaos::Victim,
};
use rederive_testkit::{CommitFault, Gate};

use crate::{
    fixture::{
        PATIENCE, World,
        bank::{Accounts, Event, Recorded, fold},
        notices::restarted,
        on_every_store, outcomes, status, until,
    },
    killing::kill,
};

on_every_store!(
    only_the_partition_halts_whose_event_it_is,
    a_retry_reads_it_again_and_applies_all_that_was_held,
    a_retry_halts_at_the_next_one,
    an_operator_has_the_partition_skip_it,
    the_partition_skips_it_and_records_that,
    of_two_partitions_each_decides_for_itself,
    without_a_partition_to_halt_the_reducer_blocks,
    it_is_handed_out_again_when_the_partitions_actor_dies,
    a_halt_is_stored_once_whatever_becomes_of_its_commit,
    a_fold_halts_and_goes_on_too,
);

/// Breaks the event at this cursor: all that is known of it is its stream, named after accounts.
pub(crate) fn break_in_stream(world: &World, cursor: u64, stream: &str) {
    let mut broken = Undecodable::new(cursor.into(), "unknown variant");
    broken.stream = Some(stream.into());
    world.log_faults().break_event_as(broken);
}

/// The accounts after which the stream is named.
pub(crate) fn partitions(event: &Undecodable) -> Partitions {
    let stream = event.stream.as_deref().unwrap_or_default();
    Partitions::of(stream.split('+').filter(|id| !id.is_empty()))
}

fn halting() -> Accounts {
    Accounts::new().on_undecodable(|event| OnUndecodable::Halt(partitions(event)))
}

fn skipping() -> Accounts {
    Accounts::new().on_undecodable(|event| OnUndecodable::Skip(partitions(event)))
}

/// Two accounts; a deposit of the first one cannot be decoded, and later ones stand behind it.
fn some_events(world: &World) -> Vec<Recorded> {
    break_in_stream(world, 3, "a");
    let deposited = Event::deposited;
    world.append([Event::opened("a"), Event::opened("b"), deposited("a", 1)]);
    world.append([deposited("a", 2), deposited("b", 4), deposited("a", 8)]);
    world.events()
}

async fn outcomes_of(handle: &Handle, cursors: impl IntoIterator<Item = u64>) -> Vec<Outcome> {
    let mut told = Vec::new();
    for cursor in cursors {
        let waited = handle.wait(Await::cursors("accounts", [cursor.into()])).await;
        told.extend(outcomes(waited));
    }
    told
}

async fn only_the_partition_halts_whose_event_it_is(world: World) {
    let handle = world.start_with([halting()]).await;
    let early = actix_rt::spawn({
        let handle = handle.clone();
        async move { outcomes_of(&handle, [3]).await }
    });
    some_events(&world);
    let early = early.await.expect("no panic");
    let [Outcome::Halted(halt)] = &early[..] else { panic!("not halted: {early:?}") };
    assert_eq!((&halt.cursor, halt.kind), (&3.into(), FailureKind::Undecodable));
    assert_eq!((&*halt.message, halt.attempts), ("unknown variant", 1));
    world.settled(&handle).await;
    handle.stop().await;
    for _ in 0..2 {
        let handle = world.start_with([halting()]).await;
        let told = outcomes_of(&handle, 1..=6).await;
        let done = |cursor: usize| told[cursor - 1] == Outcome::Done;
        assert!([1, 2, 5].into_iter().all(done), "{told:?}");
        for cursor in [3, 4, 6] {
            assert_eq!(told[cursor - 1], Outcome::Halted(halt.clone()), "{cursor}");
        }
        assert_eq!(world.halts().into_keys().collect::<String>(), "a");
        assert_eq!((world.rows()["a"].0, world.rows()["b"].0), (0, 4));
        world.settled(&handle).await;
        assert_eq!(status(&handle).await.halted_partitions, 1);
        handle.stop().await;
    }
    let stored = rederive::Store::stored(&world.store, "accounts").expect("readable");
    assert_eq!(stored.expect("known").watermark, Cursor::from(6), "what is held is passed");
}

async fn a_retry_reads_it_again_and_applies_all_that_was_held(world: World) {
    some_events(&world);
    let handle = world.start_with([halting()]).await;
    world.settled(&handle).await;
    let again = handle.retry("accounts", "a").await;
    let Err(RepairError::Halted(halt)) = again else { panic!("it cannot be read: {again:?}") };
    assert_eq!((&halt.cursor, halt.attempts), (&3.into(), 2));
    handle.stop().await;
    // The code is corrected, and in this way the event can be decoded.
    world.log_faults().mend(3);
    let handle = world.start().await;
    world.append([Event::deposited("a", 16)]);
    handle.retry("accounts", "a").await.expect("it is repaired");
    world.settled(&handle).await;
    world.check();
    assert!(outcomes_of(&handle, 1..=7).await.iter().all(Outcome::is_success));
    handle.stop().await;
}

async fn a_retry_halts_at_the_next_one(world: World) {
    some_events(&world);
    break_in_stream(&world, 6, "a");
    let handle = world.start_with([halting()]).await;
    world.settled(&handle).await;
    world.log_faults().mend(3);
    let again = handle.retry("accounts", "a").await;
    let Err(RepairError::Halted(halt)) = again else { panic!("{again:?}") };
    assert_eq!((&halt.cursor, halt.attempts), (&6.into(), 1));
    assert_eq!(world.rows()["a"].0, 3, "what stands between them is kept");
    world.log_faults().mend(6);
    handle.retry("accounts", "a").await.expect("it is repaired");
    world.check();
    handle.stop().await;
}

async fn an_operator_has_the_partition_skip_it(world: World) {
    some_events(&world);
    let handle = world.start_with([halting()]).await;
    world.settled(&handle).await;
    let wrong = handle.skip("accounts", "a", 4.into()).await;
    assert!(matches!(wrong, Err(RepairError::Elsewhere(_))), "{wrong:?}");
    handle.stop().await;
    // Whatever the code says of such events by now: the partition stands there.
    let handle = world.start().await;
    handle.skip("accounts", "a", 3.into()).await.expect("it goes on");
    world.settled(&handle).await;
    assert_eq!((world.rows()["a"].0, world.halts().len()), (10, 0));
    let skips = handle.skips("accounts", None, 10).await.expect("they can be read");
    assert_eq!((skips.len(), &skips[0].partition), (1, &Some("a".into())));
    assert_eq!(skips[0].skip.kind, FailureKind::Undecodable);
    handle.stop().await;
}

async fn the_partition_skips_it_and_records_that(world: World) {
    some_events(&world);
    let handle = world.start_with([skipping()]).await;
    handle.wait(Await::caught_up("accounts")).await.expect("nothing is halted");
    assert_eq!((world.rows()["a"].0, world.rows()["b"].0), (10, 4));
    let skips = handle.skips("accounts", None, 10).await.expect("they can be read");
    assert_eq!((skips.len(), &skips[0].partition), (1, &Some("a".into())));
    handle.stop().await;
    let handle = world.start_with([skipping()]).await;
    let told = outcomes_of(&handle, 3..=4).await;
    assert!(matches!(&told[..], [Outcome::Skipped(_), Outcome::Done]), "{told:?}");
    handle.stop().await;
}

async fn of_two_partitions_each_decides_for_itself(world: World) {
    let transfer = |amount| Event::Transferred { from: "a".into(), to: "b".into(), amount };
    world.append([Event::opened("a"), Event::opened("b"), transfer(1), transfer(2)]);
    break_in_stream(&world, 3, "a+b");
    let handle = world.start_with([halting()]).await;
    world.settled(&handle).await;
    assert_eq!(world.halts().into_keys().collect::<String>(), "ab");
    handle.skip("accounts", "b", 3.into()).await.expect("it goes on");
    world.log_faults().mend(3);
    handle.retry("accounts", "a").await.expect("it goes on");
    assert_eq!((world.rows()["a"].0, world.rows()["b"].0), (-3, 2));
    handle.stop().await;
}

async fn without_a_partition_to_halt_the_reducer_blocks(world: World) {
    some_events(&world);
    break_in_stream(&world, 4, "");
    let handle = world.start_with([halting()]).await;
    let told = outcomes_of(&handle, [4]).await;
    let is_blocked = matches!(
        &told[..],
        [Outcome::Blocked(Blocked::Undecodable(event))] if event.cursor == 4.into()
    );
    assert!(is_blocked, "{told:?}");
    world.log_faults().mend(4);
    until(&handle, "accounts", |status| status.watermark == Cursor::from(6)).await;
    assert_eq!((world.rows()["a"].0, world.rows()["b"].0), (0, 4));
    handle.stop().await;
}

async fn it_is_handed_out_again_when_the_partitions_actor_dies(world: World) {
    let handle = world.start_with([halting()]).await;
    let gate = Gate::closed();
    world.store_faults().on_commit(CommitFault::Stall(gate.clone()));
    world.append([Event::opened("a"), Event::opened("b")]);
    gate.wait_for_arrivals(1, PATIENCE);
    break_in_stream(&world, 3, "a");
    world.append([Event::deposited("a", 1), Event::deposited("a", 2), Event::deposited("b", 4)]);
    while status(&handle).await.position < Cursor::from(5) {
        actix_rt::task::yield_now().await;
    }
    let mut probe = world.probe.from_now();
    kill(&handle, Victim::Partition("a".into()));
    // Its commit is answered first.
    gate.open();
    probe.wait_for(restarted("partition dispatcher"), PATIENCE);
    world.settled(&handle).await;
    assert_eq!(world.halts()["a"], Cursor::from(3));
    assert_eq!((world.rows()["a"].0, world.rows()["b"].0), (0, 4));
    world.log_faults().mend(3);
    handle.retry("accounts", "a").await.expect("it is repaired");
    world.check();
    handle.stop().await;
}

async fn a_halt_is_stored_once_whatever_becomes_of_its_commit(world: World) {
    let faults = [CommitFault::InDoubtDone, CommitFault::InDoubtLost, CommitFault::PanicAfter];
    for (round, fault) in faults.into_iter().enumerate() {
        let id = format!("{round}");
        let opened = world.append([Event::opened(&id), Event::opened(&format!("other{round}"))]);
        let handle = world.start_with([halting()]).await;
        handle.wait(Await::events("accounts", &opened)).await.expect("done");
        world.store_faults().on_commit(fault);
        break_in_stream(&world, 4 * round as u64 + 3, &id);
        world.append([Event::deposited(&id, 1), Event::deposited(&id, 2)]);
        world.settled(&handle).await;
        assert_eq!(world.halts()[&id], Cursor::from(4 * round as u64 + 3));
        assert_eq!(world.rows()[&id].0, 0);
        handle.stop().await;
    }
    let handle = world.start_with([halting()]).await;
    for round in 0..3_u64 {
        world.log_faults().mend(4 * round + 3);
        handle.retry("accounts", format!("{round}").as_str()).await.expect("it is repaired");
    }
    assert_eq!(world.rows(), fold(&world.events()).rows);
    handle.stop().await;
}

/// The sums of deposits, as a fold.
#[derive(Clone)]
struct Sums;

impl Fold for Sums {
    type Event = Event;
    type State = i64;

    fn name(&self) -> &str {
        "accounts"
    }

    fn on_undecodable(&self, event: &Undecodable) -> OnUndecodable {
        OnUndecodable::Halt(partitions(event))
    }

    fn partition(&self, event: &Event) -> Partitions {
        Partitions::of(event.partitions())
    }

    fn fold(&self, sum: &mut i64, event: &Recorded, _: &PartitionId) -> Result<(), ReduceError> {
        if let Event::Deposited { amount, .. } = event.data {
            *sum += amount;
        }
        Ok(())
    }
}

async fn a_fold_halts_and_goes_on_too(world: World) {
    some_events(&world);
    let start = || world.builder().register_fold(Sums, world.store.clone()).start();
    let handle = start().await.expect("it starts");
    world.settled(&handle).await;
    let sum =
        |id: &str| world.store.state::<i64>("accounts", id).expect("readable").unwrap_or_default();
    assert_eq!((sum("a"), sum("b")), (0, 4));
    handle.stop().await;
    world.log_faults().mend(3);
    let handle = start().await.expect("it starts");
    handle.retry("accounts", "a").await.expect("it is repaired");
    assert_eq!((sum("a"), sum("b")), (11, 4));
    handle.stop().await;
}
