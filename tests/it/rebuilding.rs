//! Rebuilding: the derived state of a reducer is built anew.

use rederive::{
    Activity, Await, Blocked, Handle, Notice, OnFailure, OnUndecodable, OnVersionChange, Outcome,
    Partitions, RebuildError, RebuildNeeded, RebuildReport, RegisterError, Sizes, StartError,
    Store, chaos::Victim, core::OpenError,
};
use rederive_testkit::{CommitFault, Gate};

use crate::{
    fixture::{
        PATIENCE, World,
        bank::{Accounts, COPIES, Event, fold, fold_healed},
        on_every_store, outcomes, status, until,
    },
    killing::kill,
};

on_every_store!(
    a_rebuild_leads_to_what_the_events_lead_to,
    a_first_start_needs_a_rebuild_and_so_does_another_version,
    another_version_is_refused_unless_a_rebuild_is_wanted,
    whether_another_version_is_rebuilt_can_be_said_of_each_reducer,
    what_is_skipped_during_a_rebuild_is_reported,
    a_rebuild_of_an_empty_log_is_over_at_once,
    a_rebuild_without_starting_replays_everything_and_stops,
    an_interrupted_rebuild_is_never_taken_for_complete_and_goes_on,
    others_go_on_and_events_are_appended_during_a_rebuild,
    two_rebuilds_at_once_are_refused,
    a_rebuild_with_halted_partitions_lists_them_and_is_live,
    corrected_code_rebuilds_what_was_halted,
    a_cancelled_rebuild_stays_unfinished,
    a_wait_during_a_rebuild_is_answered_when_the_event_is_there,
    a_rebuild_outlives_a_dispatcher_that_dies,
    a_rebuild_outlives_faults_of_the_store,
    bulk_and_one_by_one_lead_to_the_same,
    who_is_unknown_or_declares_no_tables_is_not_rebuilt,
    events_of_no_partition_at_the_end_are_passed,
);

fn small(world: World) -> World {
    world.with(|config| {
        config.rebuild = Sizes { slice: 3, window: 6, batch: 3, group: 3 };
        // The event log hands on what it has read for others.
        config.slice = 3;
    })
}

fn some_events(world: &World, rounds: i64) {
    for round in 1..=rounds {
        let id = |n: i64| format!("{}", n % 5);
        if round <= 5 {
            world.append([Event::Opened { id: id(round) }]);
        } else {
            let (from, to) = (id(round), id(round + 1));
            world.append([Event::Transferred { from, to, amount: round }, Event::Noise]);
        }
    }
}

fn rebuilt(notice: &Notice) -> bool {
    matches!(notice, Notice::Rebuilt { .. })
}

fn unfinished(world: &World) -> bool {
    let stored = world.store.stored("accounts").expect("readable").expect("known");
    stored.rebuilding.is_some()
}

/// Asks for a rebuild and goes on without waiting for its end.
async fn begin_rebuild(
    handle: &Handle,
) -> actix_rt::task::JoinHandle<Result<RebuildReport, RebuildError>> {
    let handle = handle.clone();
    let rebuild = actix_rt::spawn(async move { handle.rebuild("accounts").await });
    actix_rt::task::yield_now().await;
    rebuild
}

/// A rebuild that stands still in its second commit until the gate is opened.
async fn begin_and_stall(
    world: &World,
    handle: &Handle,
) -> (Gate, actix_rt::task::JoinHandle<Result<RebuildReport, RebuildError>>) {
    let gate = Gate::closed();
    world.store_faults().on_commit_after(1, CommitFault::Stall(gate.clone()));
    let rebuild = begin_rebuild(handle).await;
    gate.wait_for_arrivals(1, PATIENCE);
    (gate, rebuild)
}

async fn a_rebuild_leads_to_what_the_events_lead_to(world: World) {
    some_events(&world, 40);
    let handle = world.start().await;
    world.settled(&handle).await;
    let before = world.rows();
    let report = handle.rebuild("accounts").await.expect("it is rebuilt");
    assert_eq!(report.events, world.events().len() as u64);
    assert_eq!((world.rows(), report.halted), (before, 0));
    assert_eq!((report.partitions, report.skips), (5, 0));
    assert!(report.to_string().contains("events of 5 partitions"), "{report}");
    world.check();
    assert_eq!(status(&handle).await.rebuild, None);
    let later = world.append([Event::deposited("1", 1)]);
    handle.wait(Await::events("accounts", &later)).await.expect("it goes on");
    world.check();
    handle.stop().await;
}

async fn a_first_start_needs_a_rebuild_and_so_does_another_version(world: World) {
    let needs = |reducer| {
        let builder = world.builder().register(reducer, world.store.clone());
        let needed = builder.needs_rebuild().expect("readable");
        needed.into_iter().map(|(name, reason)| (name == "accounts").then_some(reason)).collect()
    };
    let needs = |reducer| -> Vec<Option<RebuildNeeded>> { needs(reducer) };
    assert_eq!(needs(Accounts::new()), [Some(RebuildNeeded::Nothing)]);
    world.start().await.stop().await;
    assert_eq!(needs(Accounts::new()), []);
    let other = RebuildNeeded::OtherVersion { stored: 1, current: 2 };
    assert_eq!(needs(Accounts::new().version(2)), [Some(other)]);
}

async fn another_version_is_refused_unless_a_rebuild_is_wanted(world: World) {
    some_events(&world, 20);
    let handle = world.start().await;
    world.settled(&handle).await;
    handle.stop().await;
    let second = || Accounts::new().version(2);
    let refused = world.builder().register(second(), world.store.clone()).start().await;
    let Err(StartError::Register(RegisterError::Open(error))) = refused else {
        panic!("it was not refused")
    };
    assert!(matches!(error, OpenError::VersionDiffers { stored: 1, current: 2, .. }), "{error}");
    let world = world.with(|config| config.on_version_change = OnVersionChange::Rebuild);
    let handle = world.start_with([second()]).await;
    world.probe.notified(rebuilt, PATIENCE).await;
    world.settled(&handle).await;
    world.check();
    handle.stop().await;
    assert_eq!(world.store.stored("accounts").expect("readable").expect("known").version, 2);
}

async fn whether_another_version_is_rebuilt_can_be_said_of_each_reducer(world: World) {
    some_events(&world, 20);
    let start = |version: u32, of_accounts, of_copies| {
        world
            .builder()
            .on_version_change(OnVersionChange::Rebuild)
            .register(Accounts::new().version(version), world.store.clone())
            .on_version_change(of_accounts)
            .register(Accounts::copies().version(version), world.store.clone())
            .on_version_change(of_copies)
            .start()
    };
    let (refuse, rebuild) = (OnVersionChange::Refuse, OnVersionChange::Rebuild);
    let handle = start(1, refuse, refuse).await.expect("nothing is stored yet");
    world.settled(&handle).await;
    handle.stop().await;
    let Err(StartError::Register(RegisterError::Open(error))) = start(2, rebuild, refuse).await
    else {
        panic!("it was not refused")
    };
    let is_it = |error: &OpenError| matches!(error, OpenError::VersionDiffers { reducer, .. } if reducer == "copies");
    assert!(is_it(&error), "{error}");
    let handle = start(2, rebuild, rebuild).await.expect("both are rebuilt");
    let all = Await::caught_up("accounts").and("copies");
    handle.wait(all).await.expect("nothing is halted");
    world.check();
    assert_eq!(world.store.inner().rows(&COPIES), world.rows());
    handle.stop().await;
}

async fn what_is_skipped_during_a_rebuild_is_reported(world: World) {
    some_events(&world, 20);
    world.append([Event::poison("1"), Event::poison("2"), Event::deposited("1", 1), Event::Noise]);
    world.log_faults().break_event(world.events().len() as u64);
    let reducer = Accounts::new()
        .on_failure(|_| OnFailure::Skip)
        .on_undecodable(|_| OnUndecodable::Skip(Partitions::None));
    let handle = world.start_with([reducer]).await;
    world.settled(&handle).await;
    let report = handle.rebuild("accounts").await.expect("it is rebuilt");
    assert_eq!((report.skips, report.partitions, report.halted), (3, 5, 0));
    assert!(report.to_string().contains("3 were skipped"), "{report}");
    assert_eq!(world.rows(), fold_healed(&world.events()).rows);
    handle.stop().await;
}

async fn a_rebuild_of_an_empty_log_is_over_at_once(world: World) {
    let handle = world.start().await;
    let report = handle.rebuild("accounts").await.expect("it is rebuilt");
    assert_eq!(report.events, 0);
    assert!(!unfinished(&world));
    handle.stop().await;
}

async fn a_rebuild_without_starting_replays_everything_and_stops(world: World) {
    some_events(&world, 30);
    let builder = || {
        let builder = world.builder().register(Accounts::new(), world.store.clone());
        builder.register(Accounts::copies(), world.store.clone())
    };
    let results = builder().rebuild(["accounts", "nobody"]).await.expect("it starts");
    assert_eq!(results[0].as_ref().expect("it is rebuilt").reducer, "accounts");
    assert!(matches!(&results[1], Err(RebuildError::UnknownReducer { name }) if name == "nobody"));
    world.check();
    assert!(!unfinished(&world));
    assert_eq!(world.store.stored("copies"), Ok(None), "it was not asked for");
    // Again, over what is there.
    let results = builder().rebuild(["accounts"]).await.expect("it starts");
    assert!(results[0].is_ok());
    world.check();
}

async fn an_interrupted_rebuild_is_never_taken_for_complete_and_goes_on(world: World) {
    let world = small(world);
    some_events(&world, 60);
    let handle = world.start().await;
    world.settled(&handle).await;
    let (gate, rebuild) = begin_and_stall(&world, &handle).await;
    let stop = actix_rt::spawn({
        let handle = handle.clone();
        async move { handle.stop().await }
    });
    actix_rt::task::yield_now().await;
    gate.open();
    stop.await.expect("no panic");
    assert_eq!(rebuild.await.expect("no panic"), Err(RebuildError::Interrupted));
    assert!(unfinished(&world));
    let builder = world.builder().register(Accounts::new(), world.store.clone());
    let needed = builder.needs_rebuild().expect("readable");
    assert!(matches!(needed[0].1, RebuildNeeded::Unfinished { .. }), "{needed:?}");
    let mut watch = world.probe.from_now();
    let handle = world.start().await;
    let resumed = |notice: &Notice| matches!(notice, Notice::RebuildStarted { resumed: true, .. });
    watch.notified(resumed, PATIENCE).await;
    watch.notified(rebuilt, PATIENCE).await;
    world.settled(&handle).await;
    world.check();
    assert!(!unfinished(&world));
    handle.stop().await;
}

async fn others_go_on_and_events_are_appended_during_a_rebuild(world: World) {
    let world = small(world);
    some_events(&world, 60);
    let handle = world.start_with([Accounts::new(), Accounts::copies()]).await;
    world.settled(&handle).await;
    let rebuild = begin_rebuild(&handle).await;
    for amount in 1..20 {
        let recorded = world.append([Event::deposited("1", amount)]);
        handle.wait(Await::events("copies", &recorded)).await.expect("the other one goes on");
        handle.wait(Await::events("accounts", &recorded)).await.expect("it is there in the end");
    }
    rebuild.await.expect("no panic").expect("it is rebuilt");
    world.check();
    assert_eq!(world.store.inner().rows(&COPIES), fold(&world.events()).rows);
    handle.stop().await;
}

async fn two_rebuilds_at_once_are_refused(world: World) {
    let world = small(world);
    some_events(&world, 60);
    let handle = world.start().await;
    world.settled(&handle).await;
    let (gate, rebuild) = begin_and_stall(&world, &handle).await;
    assert_eq!(handle.rebuild("accounts").await, Err(RebuildError::UnderWay));
    gate.open();
    rebuild.await.expect("no panic").expect("the first one goes on");
    world.check();
    handle.rebuild("accounts").await.expect("now it may");
    handle.stop().await;
}

async fn a_rebuild_with_halted_partitions_lists_them_and_is_live(world: World) {
    some_events(&world, 20);
    world.append([Event::poison("1"), Event::deposited("1", 1), Event::deposited("2", 1)]);
    let handle = world.start().await;
    world.settled(&handle).await;
    let rebuild = handle.rebuild("accounts").await;
    let Err(RebuildError::Halted(report)) = rebuild else { panic!("it is halted: {rebuild:?}") };
    assert_eq!((report.halted, report.halts[0].0.as_str()), (1, "1"));
    assert!(!unfinished(&world));
    world.check();
    let later = world.append([Event::deposited("2", 1)]);
    handle.wait(Await::events("accounts", &later)).await.expect("others go on");
    handle.stop().await;
}

async fn corrected_code_rebuilds_what_was_halted(world: World) {
    some_events(&world, 20);
    world.append([Event::poison("1"), Event::deposited("1", 1)]);
    let handle = world.start().await;
    world.settled(&handle).await;
    handle.stop().await;
    let handle = world.start_with([Accounts::new().healed()]).await;
    handle.rebuild("accounts").await.expect("nothing halts any more");
    assert!(world.halts().is_empty());
    assert_eq!(world.rows(), crate::fixture::bank::fold_healed(&world.events()).rows);
    handle.stop().await;
}

async fn a_cancelled_rebuild_stays_unfinished(world: World) {
    let world = small(world);
    some_events(&world, 60);
    let handle = world.start().await;
    world.settled(&handle).await;
    assert_eq!(handle.cancel_rebuild("accounts").await, Err(RebuildError::NotRebuilding));
    let (gate, rebuild) = begin_and_stall(&world, &handle).await;
    handle.cancel_rebuild("accounts").await.expect("it is cancelled");
    assert_eq!(rebuild.await.expect("no panic"), Err(RebuildError::Cancelled));
    let blocked = Activity::Blocked(Blocked::RebuildCancelled);
    until(&handle, "accounts", |status| status.activity == blocked).await;
    gate.open();
    let last = world.events().pop().expect("not empty");
    let waited = handle.wait(Await::events("accounts", [&last])).await;
    assert_eq!(outcomes(waited), [Outcome::Blocked(Blocked::RebuildCancelled)]);
    assert!(unfinished(&world));
    handle.rebuild("accounts").await.expect("from the beginning");
    world.check();
    handle.stop().await;
}

async fn a_wait_during_a_rebuild_is_answered_when_the_event_is_there(world: World) {
    let world = small(world);
    some_events(&world, 60);
    let handle = world.start().await;
    world.settled(&handle).await;
    let events = world.events();
    let last = events.iter().rfind(|event| event.data != Event::Noise).expect("not empty").clone();
    let (gate, rebuild) = begin_and_stall(&world, &handle).await;
    let waiting = actix_rt::spawn({
        let (handle, last) = (handle.clone(), last.clone());
        async move { handle.wait(Await::events("accounts", [&last])).await }
    });
    actix_rt::task::yield_now().await;
    assert!(!waiting.is_finished());
    let before = world.rows();
    gate.open();
    waiting.await.expect("no panic").expect("it is done");
    assert_ne!(world.rows(), before, "it was told before it was true");
    rebuild.await.expect("no panic").expect("it is rebuilt");
    world.check();
    handle.stop().await;
}

async fn a_rebuild_outlives_a_dispatcher_that_dies(world: World) {
    let world = small(world);
    some_events(&world, 60);
    let handle = world.start().await;
    world.settled(&handle).await;
    let (gate, rebuild) = begin_and_stall(&world, &handle).await;
    kill(&handle, Victim::Dispatcher);
    gate.open();
    rebuild.await.expect("no panic").expect("it is rebuilt");
    world.check();
    assert_eq!(world.store_faults().counts().resets, 1, "it was begun once");
    handle.stop().await;
}

async fn a_rebuild_outlives_faults_of_the_store(world: World) {
    let world = small(world);
    some_events(&world, 60);
    let handle = world.start().await;
    world.settled(&handle).await;
    world.store_faults().fail_reset(2);
    world.store_faults().on_commit(CommitFault::InDoubtDone);
    world.store_faults().on_commit_after(2, CommitFault::InDoubtLost);
    world.store_faults().on_commit_after(1, CommitFault::PanicAfter);
    handle.rebuild("accounts").await.expect("it is rebuilt");
    world.check();
    handle.stop().await;
}

async fn bulk_and_one_by_one_lead_to_the_same(world: World) {
    let tiny = Sizes { slice: 1, window: 1, batch: 1, group: 1 };
    some_events(&world, 80);
    world.append([Event::poison("3"), Event::deposited("3", 1), Event::deposited("4", 1)]);
    let mut ends = Vec::new();
    for sizes in [tiny, rederive::Config::default().rebuild] {
        let world = world.clone().with(|config| config.rebuild = sizes);
        let handle = world.start().await;
        let rebuild = handle.rebuild("accounts").await;
        assert!(matches!(rebuild, Err(RebuildError::Halted(_))), "{rebuild:?}");
        world.check();
        ends.push((world.rows(), world.halts()));
        handle.stop().await;
    }
    assert_eq!(ends[0], ends[1]);
}

async fn who_is_unknown_or_declares_no_tables_is_not_rebuilt(world: World) {
    let handle = world.start_with([Accounts::new().undeclared()]).await;
    let refused = handle.rebuild("accounts").await;
    assert!(matches!(refused, Err(RebuildError::Refused(OpenError::NoTables { .. }))));
    let unknown = RebuildError::UnknownReducer { name: "nobody".to_owned() };
    assert_eq!(handle.rebuild("nobody").await, Err(unknown));
    let recorded = world.append([Event::opened("a")]);
    handle.wait(Await::events("accounts", &recorded)).await.expect("it goes on");
    handle.stop().await;
}

async fn events_of_no_partition_at_the_end_are_passed(world: World) {
    let world = small(world);
    some_events(&world, 10);
    world.append(vec![Event::Noise; 20]);
    let handle = world.start().await;
    handle.rebuild("accounts").await.expect("it ends");
    assert!(!unfinished(&world));
    world.check();
    handle.stop().await;
}
