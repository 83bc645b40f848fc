//! Rebuilding single partitions: what is derived for one is built anew, others are left alone.

use actix_rt::{task::JoinHandle, time::timeout};
use rederive::{
    Await, Change, Cursor, FailureKind, Handle, RepairError, Value, chaos::Victim, core::RowOp,
};
use rederive_testkit::{CommitFault, Gate};

use crate::{
    fixture::{
        PATIENCE, World,
        bank::{ACCOUNTS, Accounts, Event, fold_healed},
        notices::recovered,
        on_every_store, status,
    },
    killing::kill,
};

on_every_store!(
    spoiled_rows_are_right_again_and_others_untouched,
    a_partition_that_was_never_seen_can_be_rebuilt,
    new_events_wait_until_the_old_ones_are_applied,
    a_rebuild_whose_dispatcher_dies_goes_on_by_itself,
    a_rebuild_interrupted_by_a_stop_goes_on_after_the_next_start,
    a_rebuild_outlives_its_partition_dispatcher,
    a_commit_in_doubt_applies_nothing_twice,
    a_rebuild_that_the_store_refuses_changes_nothing,
    refused_where_it_is_not_known_which_rows_are_whose,
    two_rebuilds_of_a_partition_at_once_are_refused,
    a_halted_partition_is_rebuilt_with_corrected_code,
    a_rebuild_that_meets_a_bad_event_halts_behind_the_good_ones,
    a_partition_whose_events_of_one_read_were_taken_apart_is_rebuilt,
    the_state_of_a_fold_is_built_anew,
    refused_while_the_reducer_is_rebuilt_as_a_whole,
    a_retry_that_meets_a_rebuild_ends_with_it,
    an_event_is_not_skipped_by_who_looked_before_a_rebuild,
    it_ends_while_events_are_appended_without_a_pause,
);

const SPOILED: i64 = -777;

fn spoil(world: &World, id: &str) {
    let key = [Value::from(id)].into_iter().collect();
    let change = Change::Upsert(vec![(1, SPOILED.into()), (2, 1.into()), (3, 1.into())]);
    world.write_by_hand(RowOp { table: &ACCOUNTS, key, change });
}

/// Two accounts with some events each, all of them settled. The rows of `a` are spoiled.
async fn spoiled(world: &World) -> Handle {
    let handle = world.start().await;
    fill(world);
    world.settled(&handle).await;
    world.check();
    spoil(world, "a");
    handle
}

fn fill(world: &World) {
    world.append([Event::opened("a"), Event::opened("b")]);
    for amount in 1..10 {
        let event = Event::Transferred { from: "a".into(), to: "b".into(), amount };
        world.append([event, Event::deposited("a", amount), Event::Noise]);
    }
}

/// Asks for a rebuild and goes on without waiting for its end.
async fn begin(handle: &Handle) -> JoinHandle<Result<(), RepairError>> {
    let handle = handle.clone();
    let rebuild = actix_rt::spawn(async move { handle.rebuild_partition("accounts", "a").await });
    // The request is sent when the task runs for the first time.
    actix_rt::task::yield_now().await;
    rebuild
}

/// A rebuild that stands still in its commit of this number, from zero.
async fn begin_and_stall(
    world: &World,
    handle: &Handle,
    commit: usize,
) -> (Gate, JoinHandle<Result<(), RepairError>>) {
    let gate = Gate::closed();
    world.store_faults().on_commit_after(commit, CommitFault::Stall(gate.clone()));
    let rebuild = begin(handle).await;
    gate.wait_for_arrivals(1, PATIENCE);
    (gate, rebuild)
}

async fn spoiled_rows_are_right_again_and_others_untouched(world: World) {
    let handle = spoiled(&world).await;
    let b = world.rows()["b"];
    spoil(&world, "b");
    handle.rebuild_partition("accounts", "a").await.expect("it is rebuilt");
    assert_eq!(world.rows()["b"].0, SPOILED, "another partition was touched");
    handle.rebuild_partition("accounts", "b").await.expect("it is rebuilt");
    assert_eq!(world.rows()["b"], b);
    world.check();
    assert_eq!(status(&handle).await.halted_partitions, 0);
    let later = world.append([Event::deposited("a", 1)]);
    handle.wait(Await::events("accounts", &later)).await.expect("it goes on");
    handle.stop().await;
    // And so it stays.
    let handle = world.start().await;
    world.settled(&handle).await;
    world.check();
    handle.stop().await;
}

async fn a_partition_that_was_never_seen_can_be_rebuilt(world: World) {
    let handle = spoiled(&world).await;
    spoil(&world, "nobody");
    handle.rebuild_partition("accounts", "nobody").await.expect("there is nothing of it");
    handle.rebuild_partition("accounts", "a").await.expect("it is rebuilt");
    world.check();
    handle.stop().await;
}

async fn new_events_wait_until_the_old_ones_are_applied(world: World) {
    let world = world.with(|config| (config.slice, config.batch) = (3, 3));
    let handle = spoiled(&world).await;
    for commit in 0..3 {
        let (gate, rebuild) = begin_and_stall(&world, &handle, commit).await;
        for amount in 0..20 {
            world.append([Event::deposited("a", amount), Event::deposited("b", 1)]);
            actix_rt::task::yield_now().await;
        }
        gate.open();
        rebuild.await.expect("no panic").expect("it is rebuilt");
        world.settled(&handle).await;
        world.check();
    }
    // And so if nothing stands still.
    spoil(&world, "a");
    let rebuild = begin(&handle).await;
    for amount in 0..100 {
        world.append([Event::deposited("a", amount)]);
        actix_rt::task::yield_now().await;
    }
    rebuild.await.expect("no panic").expect("it is rebuilt");
    world.settled(&handle).await;
    world.check();
    handle.stop().await;
}

async fn a_rebuild_whose_dispatcher_dies_goes_on_by_itself(world: World) {
    let world = world.with(|config| (config.slice, config.batch) = (3, 3));
    let handle = spoiled(&world).await;
    for commit in 0..3 {
        let mut watch = world.probe.from_now();
        let (gate, rebuild) = begin_and_stall(&world, &handle, commit).await;
        kill(&handle, Victim::Dispatcher);
        assert_eq!(rebuild.await.expect("no panic"), Err(RepairError::Interrupted));
        gate.open();
        world.append([Event::deposited("a", 5)]);
        watch.notified(recovered, PATIENCE).await;
        world.settled(&handle).await;
        world.check();
    }
    handle.stop().await;
}

async fn a_rebuild_interrupted_by_a_stop_goes_on_after_the_next_start(world: World) {
    let world = world.with(|config| (config.slice, config.batch) = (3, 3));
    let mut handle = spoiled(&world).await;
    for commit in 0..3 {
        spoil(&world, "a");
        let (gate, rebuild) = begin_and_stall(&world, &handle, commit).await;
        let stopping = handle.clone();
        let stop = actix_rt::spawn(async move { stopping.stop().await });
        actix_rt::task::yield_now().await;
        gate.open();
        stop.await.expect("no panic");
        let told = rebuild.await.expect("no panic");
        assert!(matches!(told, Ok(()) | Err(RepairError::Interrupted)), "{told:?}");
        world.append([Event::deposited("a", 5)]);
        let mut watch = world.probe.from_now();
        handle = world.start().await;
        if told.is_err() {
            watch.notified(recovered, PATIENCE).await;
        }
        world.settled(&handle).await;
        world.check();
    }
    handle.stop().await;
}

async fn a_rebuild_outlives_its_partition_dispatcher(world: World) {
    let handle = spoiled(&world).await;
    let (gate, rebuild) = begin_and_stall(&world, &handle, 0).await;
    let later = world.append([Event::deposited("a", 5)]);
    kill(&handle, Victim::Partition("a".into()));
    gate.open();
    rebuild.await.expect("no panic").expect("it is rebuilt");
    handle.wait(Await::events("accounts", &later)).await.expect("done");
    world.check();
    // Also if it dies before it could begin, as a commit of its own was under way.
    spoil(&world, "a");
    let gate = Gate::closed();
    world.store_faults().on_commit(CommitFault::Stall(gate.clone()));
    world.append([Event::deposited("a", 6)]);
    gate.wait_for_arrivals(1, PATIENCE);
    let rebuild = begin(&handle).await;
    kill(&handle, Victim::Partition("a".into()));
    gate.open();
    rebuild.await.expect("no panic").expect("it is rebuilt");
    world.settled(&handle).await;
    world.check();
    handle.stop().await;
}

async fn a_commit_in_doubt_applies_nothing_twice(world: World) {
    let handle = spoiled(&world).await;
    for fault in [CommitFault::InDoubtDone, CommitFault::InDoubtLost] {
        spoil(&world, "a");
        (0..3).for_each(|_| world.store_faults().on_commit(fault.clone()));
        handle.rebuild_partition("accounts", "a").await.expect("it is rebuilt");
        world.check();
    }
    handle.stop().await;
}

async fn a_rebuild_that_the_store_refuses_changes_nothing(world: World) {
    let handle = spoiled(&world).await;
    world.store_faults().reject_where(|write| {
        write.reset.then(|| (FailureKind::Rejected, "others refer to it".to_owned()))
    });
    let before = world.rows();
    let refused = handle.rebuild_partition("accounts", "a").await;
    assert_eq!(refused, Err(RepairError::Refused { message: "others refer to it".into() }));
    assert_eq!(world.rows(), before);
    let later = world.append([Event::deposited("a", 5)]);
    handle.wait(Await::events("accounts", &later)).await.expect("it goes on");
    world.store_faults().heal();
    handle.rebuild_partition("accounts", "a").await.expect("it is rebuilt");
    world.check();
    handle.stop().await;
}

async fn refused_where_it_is_not_known_which_rows_are_whose(world: World) {
    fill(&world);
    let handle = world.start_with([Accounts::new().unpartitioned()]).await;
    world.settled(&handle).await;
    let refused = handle.rebuild_partition("accounts", "a").await.expect_err("whose is it?");
    assert_eq!(refused, RepairError::RowsUnknown { table: "accounts".into() });
    assert!(refused.to_string().contains("partitioned_by"), "{refused}");
    let unknown = handle.rebuild_partition("acounts", "a").await;
    assert_eq!(unknown, Err(RepairError::UnknownReducer { name: "acounts".into() }));
    handle.stop().await;
    assert_eq!(handle.rebuild_partition("accounts", "a").await, Err(RepairError::Interrupted));
    let handle = world.start_with([Accounts::new().undeclared()]).await;
    assert_eq!(handle.rebuild_partition("accounts", "a").await, Err(RepairError::NoTables));
    world.check();
    handle.stop().await;
}

async fn two_rebuilds_of_a_partition_at_once_are_refused(world: World) {
    let world = world.with(|config| (config.slice, config.batch) = (3, 3));
    let handle = spoiled(&world).await;
    for commit in 0..3 {
        let (gate, rebuild) = begin_and_stall(&world, &handle, commit).await;
        let second = handle.rebuild_partition("accounts", "a").await;
        assert_eq!(second, Err(RepairError::UnderWay));
        gate.open();
        rebuild.await.expect("no panic").expect("it is rebuilt");
    }
    world.check();
    handle.stop().await;
}

async fn a_halted_partition_is_rebuilt_with_corrected_code(world: World) {
    let reducer = Accounts::new();
    let cure = reducer.cure();
    let handle = world.start_with([reducer]).await;
    fill(&world);
    world.append([Event::poison("a")]);
    fill_more(&world);
    world.settled(&handle).await;
    world.check();
    spoil(&world, "a");
    cure.store(true, std::sync::atomic::Ordering::SeqCst);
    handle.rebuild_partition("accounts", "a").await.expect("it is rebuilt");
    assert_eq!(world.rows(), fold_healed(&world.events()).rows);
    assert!(world.halts().is_empty());
    assert_eq!(status(&handle).await.halted_partitions, 0);
    handle.stop().await;
}

fn fill_more(world: &World) {
    world.append([Event::deposited("a", 8), Event::deposited("b", 8)]);
}

async fn a_rebuild_that_meets_a_bad_event_halts_behind_the_good_ones(world: World) {
    let handle = world.start().await;
    fill(&world);
    let poison = world.append([Event::poison("a")]).remove(0).cursor;
    fill_more(&world);
    world.settled(&handle).await;
    spoil(&world, "a");
    let told = handle.rebuild_partition("accounts", "a").await.expect_err("poison as before");
    let RepairError::Halted(halt) = told else { panic!("{told}") };
    assert_eq!((&halt.cursor, halt.attempts), (&poison, 1));
    assert_ne!(halt.cursor, Cursor::Start);
    world.check();
    handle.stop().await;
}

/// Events that are read at once are reduced in parts. A partition that meets with trouble in the first
/// goes on by itself, and is handed what is in the others as well.
async fn a_partition_whose_events_of_one_read_were_taken_apart_is_rebuilt(world: World) {
    let world = world.with(|config| (config.gather, config.group) = (1, 2));
    world.append([Event::opened("a"), Event::poison("a")]);
    world.append([1, 2, 3, 4, 5].map(|amount| Event::deposited("a", amount)));
    let reducer = Accounts::new();
    let cure = reducer.cure();
    let handle = world.start_with([reducer]).await;
    world.settled(&handle).await;
    world.check();
    cure.store(true, std::sync::atomic::Ordering::SeqCst);
    let rebuilt = timeout(PATIENCE, handle.rebuild_partition("accounts", "a")).await;
    rebuilt.expect("it ends").expect("it is rebuilt");
    assert_eq!(world.rows(), fold_healed(&world.events()).rows);
    assert!(world.halts().is_empty());
    handle.stop().await;
}

async fn refused_while_the_reducer_is_rebuilt_as_a_whole(world: World) {
    let handle = spoiled(&world).await;
    let gate = Gate::closed();
    world.store_faults().on_commit(CommitFault::Stall(gate.clone()));
    let whole = actix_rt::spawn({
        let handle = handle.clone();
        async move { handle.rebuild("accounts").await }
    });
    while gate.arrived() == 0 {
        actix_rt::task::yield_now().await;
    }
    assert_eq!(handle.rebuild_partition("accounts", "a").await, Err(RepairError::Rebuilding));
    gate.open();
    whole.await.expect("no panic").expect("it is rebuilt");
    world.check();
    handle.rebuild_partition("accounts", "a").await.expect("now it may");
    world.check();
    handle.stop().await;
}

/// An account that is halted by poison and holds an event more.
async fn poisoned(world: &World, reducer: Accounts) -> (Handle, Cursor) {
    let handle = world.start_with([reducer]).await;
    fill(world);
    let poison = world.append([Event::poison("a")]).remove(0).cursor;
    fill_more(world);
    world.settled(&handle).await;
    world.check();
    (handle, poison)
}

async fn a_retry_that_meets_a_rebuild_ends_with_it(world: World) {
    let world = world.with(|config| (config.slice, config.batch) = (3, 3));
    let reducer = Accounts::new();
    let cure = reducer.cure();
    let (handle, _) = poisoned(&world, reducer).await;
    spoil(&world, "a");
    cure.store(true, std::sync::atomic::Ordering::SeqCst);
    for commit in 0..2 {
        let (gate, rebuild) = begin_and_stall(&world, &handle, commit).await;
        let retry = actix_rt::spawn({
            let handle = handle.clone();
            async move { handle.retry("accounts", "a").await }
        });
        actix_rt::task::yield_now().await;
        gate.open();
        rebuild.await.expect("no panic").expect("it is rebuilt");
        let retried = retry.await.expect("no panic");
        // In the second round it is not halted any more when the rebuild begins.
        assert!(matches!(retried, Ok(()) | Err(RepairError::NotHalted)), "{retried:?}");
        assert_eq!(world.rows(), fold_healed(&world.events()).rows);
        spoil(&world, "a");
    }
    handle.stop().await;
}

async fn an_event_is_not_skipped_by_who_looked_before_a_rebuild(world: World) {
    let reducer = Accounts::new();
    let cure = reducer.cure();
    let (handle, poison) = poisoned(&world, reducer).await;
    cure.store(true, std::sync::atomic::Ordering::SeqCst);
    let (gate, rebuild) = begin_and_stall(&world, &handle, 0).await;
    let skip = actix_rt::spawn({
        let handle = handle.clone();
        async move { handle.skip("accounts", "a", poison).await }
    });
    actix_rt::task::yield_now().await;
    gate.open();
    rebuild.await.expect("no panic").expect("it is rebuilt");
    let told = skip.await.expect("no panic");
    assert!(matches!(told, Err(RepairError::Elsewhere(_) | RepairError::UnderWay)), "{told:?}");
    assert_eq!(handle.skips("accounts", None, 9).await, Ok(vec![]));
    assert_eq!(world.rows(), fold_healed(&world.events()).rows);
    handle.stop().await;
}

async fn it_ends_while_events_are_appended_without_a_pause(world: World) {
    let world = world.with(|config| (config.slice, config.batch) = (10, 10));
    let handle = spoiled(&world).await;
    for amount in 0..300 {
        world.append([Event::deposited("a", amount), Event::deposited("b", 1)]);
    }
    let rebuild = begin(&handle).await;
    let begun = std::time::Instant::now();
    while !rebuild.is_finished() {
        assert!(begun.elapsed() < PATIENCE, "it does not end");
        let last = world.append([Event::deposited("a", 1), Event::deposited("b", 1)]);
        // As fast as the reducer can follow: that is what bounds a repair.
        handle.wait(Await::events("accounts", &last[1..])).await.expect("others go on");
    }
    rebuild.await.expect("no panic").expect("it is rebuilt");
    world.settled(&handle).await;
    world.check();
    handle.stop().await;
}

async fn the_state_of_a_fold_is_built_anew(world: World) {
    fill(&world);
    let handle = world.start_folded().await;
    handle.wait(Await::caught_up("balances")).await.expect("done");
    for _ in 0..2 {
        let spoiled = "{\"balance\":-777,\"changes\":1,\"last\":1}";
        world.overwrite_state("a", 1, spoiled);
        assert_eq!(world.balances()["a"].0, SPOILED);
        handle.rebuild_partition("balances", "a").await.expect("it is rebuilt");
        world.check_folded();
        // Its actor goes on with the state that was built anew.
        let later = world.append([Event::deposited("a", 3)]);
        handle.wait(Await::events("balances", &later)).await.expect("it goes on");
        world.check_folded();
    }
    handle.stop().await;
}
