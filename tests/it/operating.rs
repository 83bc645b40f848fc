//! What operators do: skip an event, repair many partitions, pause a reducer.

use rederive::{
    Await, Cursor, FailureKind, Handle, ListError, Notice, Outcome, PartitionId, PauseError,
    RepairError, SkippedBy,
};
use rederive_testkit::{CommitFault, Gate};

use crate::fixture::{
    World,
    bank::{Accounts, Event, fold_healed},
    on_every_store, outcomes, until,
};

on_every_store!(
    an_operator_skips_the_event_they_looked_at_and_the_partition_goes_on,
    no_other_event_than_the_one_named_is_skipped,
    an_event_is_not_skipped_while_a_repair_is_under_way,
    a_skip_that_was_interrupted_is_done_or_not_done,
    all_partitions_that_failed_alike_are_repaired_at_once,
    halted_partitions_are_listed_page_by_page,
    a_paused_reducer_reads_no_more_until_it_is_told_to,
    a_pause_survives_a_restart_and_other_reducers_go_on,
    a_pause_that_cannot_be_noted_does_not_hold,
    a_paused_reducer_can_be_repaired,
    requests_about_unknown_reducers_name_them,
);

/// Account `a` is halted at its second event and holds a third.
async fn halted(world: &World) -> (Handle, Cursor) {
    let handle = world.start().await;
    let recorded = world.append([Event::opened("a"), Event::poison("a"), Event::deposited("a", 4)]);
    world.settled(&handle).await;
    (handle, recorded[1].cursor.clone())
}

async fn an_operator_skips_the_event_they_looked_at_and_the_partition_goes_on(world: World) {
    let (handle, poison) = halted(&world).await;
    handle.skip("accounts", "a", poison.clone()).await.expect("it goes on");
    let later = world.append([Event::deposited("a", 8)]);
    handle.wait(Await::events("accounts", &later)).await.expect("done");
    assert_eq!(world.rows(), fold_healed(&world.events()).rows);
    assert!(world.halts().is_empty());
    let skips = handle.skips("accounts", None, 10).await.expect("they can be read");
    assert_eq!(skips.len(), 1);
    assert_eq!((&skips[0].skip.cursor, skips[0].skip.by), (&poison, SkippedBy::Operator));
    assert_eq!(skips[0].skip.message, "poison");
    let outcome = outcomes(handle.wait(Await::cursors("accounts", [poison])).await);
    assert!(matches!(&outcome[..], [Outcome::Skipped(_)]), "{outcome:?}");
    handle.stop().await;
}

async fn no_other_event_than_the_one_named_is_skipped(world: World) {
    let (handle, poison) = halted(&world).await;
    let elsewhere = handle.skip("accounts", "a", 1.into()).await;
    let Err(RepairError::Elsewhere(halt)) = elsewhere else { panic!("{elsewhere:?}") };
    assert_eq!(halt.cursor, poison);
    assert_eq!(handle.skip("accounts", "b", 1.into()).await, Err(RepairError::NotHalted));
    world.check();
    assert_eq!(handle.skips("accounts", None, 10).await, Ok(vec![]));
    // The next bad event halts again, and has to be named in its turn.
    world.append([Event::Bomb { id: "a".into() }]);
    let again = handle.skip("accounts", "a", poison.clone()).await;
    let Err(RepairError::Halted(halt)) = again else { panic!("{again:?}") };
    assert_eq!((&halt.cursor, halt.attempts), (&4.into(), 1));
    let gone = handle.skip("accounts", "a", poison).await;
    assert!(matches!(gone, Err(RepairError::Elsewhere(_))), "{gone:?}");
    handle.skip("accounts", "a", 4.into()).await.expect("it goes on");
    handle.stop().await;
}

async fn an_event_is_not_skipped_while_a_repair_is_under_way(world: World) {
    let (handle, poison) = halted(&world).await;
    handle.stop().await;
    let handle = world.start_with([Accounts::new().healed()]).await;
    let gate = Gate::closed();
    world.store_faults().on_commit(CommitFault::Stall(gate.clone()));
    let repair = actix_rt::spawn({
        let handle = handle.clone();
        async move { handle.retry("accounts", "a").await }
    });
    // The worker thread waits at the gate; this thread's actors go on.
    while gate.arrived() == 0 {
        actix_rt::task::yield_now().await;
    }
    assert_eq!(handle.skip("accounts", "a", poison).await, Err(RepairError::UnderWay));
    gate.open();
    repair.await.expect("no panic").expect("it is repaired");
    assert_eq!(handle.skips("accounts", None, 10).await, Ok(vec![]));
    handle.stop().await;
}

async fn a_skip_that_was_interrupted_is_done_or_not_done(world: World) {
    for fault in [CommitFault::InDoubtDone, CommitFault::InDoubtLost, CommitFault::PanicBefore] {
        let (handle, _) = {
            world.append([Event::opened(&format!("{fault:?}"))]);
            (world.start().await, ())
        };
        let id = format!("{fault:?}");
        let recorded = world.append([Event::poison(&id), Event::deposited(&id, 2)]);
        world.settled(&handle).await;
        world.store_faults().on_commit(fault);
        let poison = recorded[0].cursor.clone();
        handle.skip("accounts", id.as_str(), poison.clone()).await.expect("it goes on");
        let skips = handle.skips("accounts", None, 10).await.expect("they can be read");
        assert_eq!(skips.iter().filter(|record| record.skip.cursor == poison).count(), 1);
        assert_eq!(world.rows()[&id].0, 2);
        handle.stop().await;
    }
}

async fn all_partitions_that_failed_alike_are_repaired_at_once(world: World) {
    let handle = world.start().await;
    let many: Vec<String> = (0..30).map(|number| format!("p{number:02}")).collect();
    world.append(many.iter().map(|id| Event::opened(id)));
    world.append(many.iter().enumerate().map(|(number, id)| match number % 3 {
        0 => Event::poison(id),
        1 => Event::Bomb { id: id.clone() },
        _ => Event::OpenedTwice { id: id.clone() },
    }));
    world.append(many.iter().map(|id| Event::deposited(id, 1)));
    world.settled(&handle).await;
    let failed = handle.retry_all("accounts", FailureKind::Panic).await.expect("they are listed");
    assert_eq!((failed.recovered, failed.failed.len()), (0, 10), "nothing is corrected yet");
    assert!(failed.failed.iter().all(|(_, error)| matches!(error, RepairError::Halted(_))));
    handle.stop().await;
    let handle = world.start_with([Accounts::new().healed()]).await;
    let panicked = handle.retry_all("accounts", FailureKind::Panic).await.expect("they are listed");
    assert_eq!((panicked.recovered, panicked.failed.len()), (10, 0));
    assert_eq!(world.halts().len(), 20);
    let all = handle.retry_all("accounts", None).await.expect("they are listed");
    assert_eq!((all.recovered, all.failed.len()), (20, 0));
    handle.wait(Await::caught_up("accounts")).await.expect("nothing is halted");
    assert_eq!(world.rows(), fold_healed(&world.events()).rows);
    handle.stop().await;
}

async fn halted_partitions_are_listed_page_by_page(world: World) {
    let handle = world.start().await;
    world.append(["c", "a", "b"].map(Event::poison));
    world.settled(&handle).await;
    let first = handle.halted("accounts", None, 2).await.expect("they can be read");
    let ids = |records: &[rederive::core::PartitionRecord]| {
        records.iter().map(|record| record.partition.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&first), ["a", "b"]);
    let rest = handle.halted("accounts", Some(PartitionId::from("b")), 2).await;
    assert_eq!(ids(&rest.expect("they can be read")), ["c"]);
    handle.stop().await;
}

fn paused(notice: &Notice) -> bool {
    matches!(notice, Notice::Paused { .. })
}

async fn a_paused_reducer_reads_no_more_until_it_is_told_to(world: World) {
    let handle = world.start().await;
    let before = world.append([Event::opened("a")]);
    handle.wait(Await::events("accounts", &before)).await.expect("done");
    let late = actix_rt::spawn({
        let handle = handle.clone();
        async move { handle.wait(Await::cursors("accounts", [Cursor::from(2)])).await }
    });
    actix_rt::task::yield_now().await;
    handle.pause("accounts").await.expect("it pauses");
    handle.pause("accounts").await.expect("it is paused already");
    assert_eq!(outcomes(late.await.expect("no panic")), [Outcome::Paused]);
    let during = world.append([Event::deposited("a", 1)]);
    let told = outcomes(handle.wait(Await::events("accounts", &during)).await);
    assert_eq!(told, [Outcome::Paused]);
    assert_eq!(outcomes(handle.wait(Await::caught_up("accounts")).await), [Outcome::Paused]);
    handle.wait(Await::events("accounts", &before)).await.expect("that was read before");
    until(&handle, "accounts", |status| status.activity == rederive::Activity::Paused).await;
    assert_eq!(world.rows()["a"].0, 0);
    handle.resume("accounts").await.expect("it goes on");
    handle.wait(Await::events("accounts", &during)).await.expect("done");
    world.check();
    assert_eq!(world.probe.count(paused), 1);
    handle.stop().await;
}

async fn a_pause_survives_a_restart_and_other_reducers_go_on(world: World) {
    let both = || [Accounts::new(), Accounts::copies()];
    let handle = world.start_with(both()).await;
    handle.pause("accounts").await.expect("it pauses");
    handle.stop().await;
    let handle = world.start_with(both()).await;
    let recorded = world.append([Event::opened("a")]);
    let told = outcomes(handle.wait(Await::events("accounts", &recorded)).await);
    assert_eq!(told, [Outcome::Paused]);
    handle.wait(Await::events("copies", &recorded)).await.expect("the other goes on");
    handle.resume("accounts").await.expect("it goes on");
    handle.wait(Await::events("accounts", &recorded)).await.expect("done");
    handle.stop().await;
    let handle = world.start_with(both()).await;
    let recorded = world.append([Event::deposited("a", 1)]);
    handle.wait(Await::events("accounts", &recorded)).await.expect("done");
    handle.stop().await;
}

async fn a_pause_that_cannot_be_noted_does_not_hold(world: World) {
    let handle = world.start().await;
    world.store_faults().fail_other(1);
    let refused = handle.pause("accounts").await;
    assert!(matches!(refused, Err(PauseError::Store(_))), "{refused:?}");
    let recorded = world.append([Event::opened("a")]);
    handle.wait(Await::events("accounts", &recorded)).await.expect("done");
    assert_eq!(world.probe.count(paused), 0);
    handle.stop().await;
}

async fn a_paused_reducer_can_be_repaired(world: World) {
    let (handle, poison) = halted(&world).await;
    handle.pause("accounts").await.expect("it pauses");
    world.append([Event::deposited("a", 8)]);
    handle.skip("accounts", "a", poison).await.expect("it goes on");
    assert_eq!(world.rows()["a"].0, 4, "what was read before the pause");
    handle.resume("accounts").await.expect("it goes on");
    handle.wait(Await::caught_up("accounts")).await.expect("nothing is halted");
    assert_eq!(world.rows()["a"].0, 12);
    handle.stop().await;
}

async fn requests_about_unknown_reducers_name_them(world: World) {
    let handle = world.start().await;
    let name = || "acounts".to_owned();
    let unknown = ListError::UnknownReducer { name: name() };
    assert_eq!(handle.skips(name(), None, 1).await, Err(unknown.clone()));
    assert_eq!(handle.halted(name(), None, 1).await, Err(unknown.clone()));
    assert_eq!(handle.retry_all(name(), None).await, Err(unknown));
    let unknown = Err(RepairError::UnknownReducer { name: name() });
    assert_eq!(handle.skip(name(), "a", 1.into()).await, unknown);
    assert_eq!(handle.pause(name()).await, Err(PauseError::UnknownReducer { name: name() }));
    handle.stop().await;
    assert_eq!(handle.pause("accounts").await, Err(PauseError::Interrupted));
    assert_eq!(handle.skips("accounts", None, 1).await, Err(ListError::Interrupted));
}
