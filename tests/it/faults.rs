//! Faults of the store that pass: nothing halts, nothing is lost or doubled, and the status tells.

use std::time::Duration;

use rederive::{Await, Notice, Outcome};
use rederive_testkit::{CommitFault, Gate};

use crate::fixture::{
    PATIENCE, World, bank::Event, notices::halted, on_every_store, outcomes, status,
};

on_every_store!(
    a_transient_fault_is_waited_out_with_growing_pauses,
    the_status_tells_that_the_store_is_away_until_it_is_back,
    a_wait_times_out_while_the_store_is_away_and_is_never_told_done,
    a_commit_in_doubt_that_was_done_is_not_done_again,
    a_commit_in_doubt_that_was_lost_is_done_again,
    a_store_that_panics_before_its_commit_is_in_doubt,
    a_store_that_panics_after_its_commit_is_in_doubt,
    a_doubt_lasts_until_the_store_can_tell,
    a_store_that_gives_no_writer_is_asked_again,
    a_fault_while_the_guilty_commit_is_searched_loses_none_of_the_others,
);

/// Commits three events while these faults befall the first transactions.
async fn commit_despite(world: &World, faults: impl IntoIterator<Item = CommitFault>) {
    let script = world.store_faults();
    let mut scripted = 0;
    for fault in faults {
        script.on_commit(fault);
        scripted += 1;
    }
    let transfer = Event::Transferred { from: "a".into(), to: "b".into(), amount: 2 };
    world.append([Event::opened("a"), Event::opened("b"), transfer]);
    let handle = world.start().await;
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    world.check();
    assert_eq!(script.scripted_commits(), 0);
    assert_eq!(world.probe.count(halted), 0);
    let delayed = |notice: &Notice| matches!(notice, Notice::CommitDelayed { .. });
    assert!(world.probe.count(delayed) >= scripted);
    let resumed = |notice: &Notice| matches!(notice, Notice::CommitResumed { .. });
    assert_eq!(world.probe.count(resumed), 1);
    assert_eq!(status(&handle).await.store_delay, None);
    handle.stop().await;
    world.check();
}

async fn a_transient_fault_is_waited_out_with_growing_pauses(world: World) {
    commit_despite(&world, vec![CommitFault::Transient; 5]).await;
    let delays: Vec<_> = world
        .probe
        .all()
        .into_iter()
        .filter_map(|notice| match notice {
            Notice::CommitDelayed { reducers, attempt, delay, error } => {
                assert_eq!(reducers, ["accounts".into()]);
                assert!(error.contains("scripted"), "{error}");
                Some((attempt, delay.as_millis()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(delays, [(1, 1), (2, 2), (3, 4), (4, 5), (5, 5)]);
    let resumed = |notice: &Notice| *notice == Notice::CommitResumed { attempts: 5 };
    assert_eq!(world.probe.count(resumed), 1);
}

async fn the_status_tells_that_the_store_is_away_until_it_is_back(world: World) {
    let gate = Gate::closed();
    let faults = world.store_faults();
    faults.on_commit(CommitFault::Transient);
    faults.on_commit(CommitFault::Transient);
    faults.on_commit(CommitFault::Stall(gate.clone()));
    let recorded = world.append([Event::opened("a")]);
    let handle = world.start().await;
    gate.wait_for_arrivals(1, PATIENCE);
    let told = status(&handle).await;
    let delay = told.store_delay.expect("it is away");
    assert_eq!((delay.attempts, told.halted_partitions), (2, 0));
    assert!(delay.error.contains("scripted"), "{}", delay.error);
    gate.open();
    handle.wait(Await::events("accounts", &recorded)).await.expect("done");
    assert_eq!(status(&handle).await.store_delay, None);
    handle.stop().await;
}

async fn a_wait_times_out_while_the_store_is_away_and_is_never_told_done(world: World) {
    let gate = Gate::closed();
    world.store_faults().on_commit(CommitFault::Stall(gate.clone()));
    let recorded = world.append([Event::opened("a")]);
    let handle = world.start().await;
    gate.wait_for_arrivals(1, PATIENCE);
    for request in [Await::events("accounts", &recorded), Await::caught_up("accounts")] {
        let waited = handle.wait(request.within(Duration::from_millis(20))).await;
        assert!(waited.as_ref().is_err_and(rederive::AwaitError::is_timeout));
        assert_eq!(outcomes(waited), [Outcome::TimedOut]);
    }
    assert!(world.rows().is_empty());
    gate.open();
    handle.wait(Await::events("accounts", &recorded)).await.expect("done");
    assert_eq!(world.rows().len(), 1);
    handle.stop().await;
}

async fn a_commit_in_doubt_that_was_done_is_not_done_again(world: World) {
    commit_despite(&world, [CommitFault::InDoubtDone]).await;
    let counts = world.store_faults().counts();
    assert_eq!((counts.commits, counts.revisions), (1, 1));
}

async fn a_commit_in_doubt_that_was_lost_is_done_again(world: World) {
    commit_despite(&world, [CommitFault::InDoubtLost, CommitFault::InDoubtLost]).await;
    let counts = world.store_faults().counts();
    assert_eq!((counts.commits, counts.revisions), (3, 2));
}

async fn a_store_that_panics_before_its_commit_is_in_doubt(world: World) {
    commit_despite(&world, [CommitFault::PanicBefore]).await;
    let counts = world.store_faults().counts();
    // The writer that panicked is not used again.
    assert_eq!((counts.committed, counts.writers), (1, 2));
}

async fn a_store_that_panics_after_its_commit_is_in_doubt(world: World) {
    commit_despite(&world, [CommitFault::PanicAfter]).await;
    let counts = world.store_faults().counts();
    assert_eq!((counts.committed, counts.writers), (1, 2));
}

async fn a_doubt_lasts_until_the_store_can_tell(world: World) {
    world.store_faults().fail_revision(4);
    commit_despite(&world, [CommitFault::InDoubtDone]).await;
    let counts = world.store_faults().counts();
    assert_eq!((counts.commits, counts.revisions), (1, 5));
}

async fn a_store_that_gives_no_writer_is_asked_again(world: World) {
    world.store_faults().fail_writer(3);
    commit_despite(&world, []).await;
    assert_eq!(world.store_faults().counts().writers, 4);
}

async fn a_fault_while_the_guilty_commit_is_searched_loses_none_of_the_others(world: World) {
    use CommitFault::{InDoubtDone, InDoubtLost, PanicAfter, Transient};
    world.store_faults().reject("07");
    for (skip, fault) in [(1, Transient), (1, InDoubtDone), (0, InDoubtLost), (1, PanicAfter)] {
        world.store_faults().on_commit_after(skip, fault);
    }
    for number in 0..20 {
        let id = format!("{number:02}");
        world.append([Event::opened(&id), Event::deposited(&id, number)]);
    }
    let handle = world.start().await;
    world.settled(&handle).await;
    assert_eq!(world.store_faults().scripted_commits(), 0);
    let rows = world.rows();
    assert_eq!(rows.len(), 19);
    assert!(rows.iter().all(|(id, row)| (row.0, row.1) == (id.parse().unwrap(), 2)));
    assert_eq!(world.halts().into_keys().collect::<Vec<_>>(), ["07"]);
    handle.stop().await;
}
