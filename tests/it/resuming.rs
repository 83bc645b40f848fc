//! Resuming: a start goes on where the last one stopped, however that ended.

use rederive::{
    Await, Cursor, CursorKind, MemoryLog, Notice, RegisterError, Registration, core::OpenError,
};
use rederive_testkit::{CommitFault, FaultyLog, Gate};

use crate::fixture::{
    PATIENCE, World,
    backend::AnyLog,
    bank::{Accounts, Event},
    on_every_store,
};

on_every_store!(
    a_start_resumes_from_the_stored_cursor,
    partitions_ahead_of_the_watermark_are_not_applied_twice,
    a_stop_in_the_middle_of_catching_up_loses_nothing,
    a_reducer_of_another_version_is_refused_and_nothing_is_changed,
    a_reducer_that_has_followed_another_kind_of_log_is_refused,
    a_second_reducer_of_the_same_name_is_refused_and_the_first_goes_on,
    a_store_that_is_away_at_the_first_start_is_reported,
    a_registration_is_refused_after_the_stop,
);

async fn refusal(world: &World, reducer: Accounts) -> RegisterError {
    match world.builder().register(reducer, world.store.clone()).start().await {
        Err(rederive::StartError::Register(error)) => error,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was accepted"),
    }
}

fn started_at(cursor: u64) -> impl Fn(&Notice) -> bool {
    let at = Cursor::from(cursor);
    move |notice| matches!(notice, Notice::Started { watermark, .. } if *watermark == at)
}

async fn a_start_resumes_from_the_stored_cursor(world: World) {
    for round in 0..5 {
        let handle = world.start().await;
        if round > 0 {
            assert_eq!(world.probe.count(started_at(round * 4)), 1);
        }
        let id = round.to_string();
        world.append([Event::opened(&id), Event::Noise, Event::deposited(&id, 1)]);
        world.append([Event::deposited("0", 1)]);
        handle.wait(Await::caught_up("accounts")).await.expect("caught up");
        handle.stop().await;
        world.check();
    }
    // Nothing was reduced that was not new: what is committed is committed once.
    let committed = |notice: Notice| match notice {
        Notice::Committed { events, .. } => events,
        _ => 0,
    };
    assert_eq!(world.probe.all().into_iter().map(committed).sum::<usize>(), 15);
}

async fn partitions_ahead_of_the_watermark_are_not_applied_twice(world: World) {
    let world = world.with(|config| config.group = 1);
    let gate = Gate::closed();
    world.store_faults().on_commit_after(1, CommitFault::Stall(gate.clone()));
    let transfer = Event::Transferred { from: "a".into(), to: "b".into(), amount: 3 };
    world.append([Event::opened("a"), Event::opened("b"), transfer, Event::opened("c")]);
    let crashed = world.start().await;
    // The first partition is committed, the second stalls: so nothing is settled up to anywhere.
    gate.wait_for_arrivals(1, PATIENCE);
    assert_eq!(world.rows().len(), 1);
    let handle = world.start().await;
    assert_eq!(
        world
            .probe
            .count(|notice| { matches!(notice, Notice::Started { watermark: Cursor::Start, .. }) }),
        2
    );
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    world.check();
    gate.open();
    crashed.stop().await;
    handle.stop().await;
    world.check();
}

async fn a_stop_in_the_middle_of_catching_up_loses_nothing(world: World) {
    let world = world.with(|config| (config.slice, config.window) = (3, 6));
    world.append((0..10).map(|id| Event::opened(&id.to_string())));
    world.append((0..200).map(|n| Event::deposited(&(n % 10).to_string(), n)));
    let mut starts = 0;
    loop {
        starts += 1;
        let mut watch = world.probe.from_now();
        let handle = world.start().await;
        let worked =
            |notice: &Notice| matches!(notice, Notice::Committed { .. } | Notice::CaughtUp { .. });
        let notice = watch.notified(worked, PATIENCE).await;
        handle.stop().await;
        if matches!(notice, Notice::CaughtUp { .. }) {
            break;
        }
    }
    assert!(starts > 2, "it was never stopped in the middle");
    world.check();
}

async fn a_reducer_of_another_version_is_refused_and_nothing_is_changed(world: World) {
    let handle = world.start().await;
    world.append([Event::opened("a")]);
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    handle.stop().await;
    let error = refusal(&world, Accounts::new().version(2)).await;
    assert_eq!(
        error.to_string(),
        "reducer \"accounts\" has version 2, but its stored state was built by version 1: \
         rebuild it, or start the version that built it"
    );
    let handle = world.start().await;
    world.append([Event::deposited("a", 1)]);
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    world.check();
    handle.stop().await;
}

async fn a_reducer_that_has_followed_another_kind_of_log_is_refused(world: World) {
    let handle = world.start().await;
    world.append([Event::opened("a")]);
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    handle.stop().await;
    let of_text = AnyLog::new(MemoryLog::of_kind(CursorKind::Text));
    let other = World { log: FaultyLog::new(of_text), ..world.clone() };
    let error = refusal(&other, Accounts::new()).await;
    assert!(matches!(error, RegisterError::Open(OpenError::CursorKindDiffers { .. })), "{error}");
}

async fn a_second_reducer_of_the_same_name_is_refused_and_the_first_goes_on(world: World) {
    let handle = world.start().await;
    let log = std::sync::Arc::new(world.log.clone());
    let again = Registration::new(
        std::sync::Arc::new(Accounts::new()),
        log,
        std::sync::Arc::new(world.store.clone()),
    );
    let error = handle.register(again).await.expect_err("the name is taken");
    assert_eq!(error, RegisterError::Duplicate { name: "accounts".to_owned() });
    world.append([Event::opened("a")]);
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    world.check();
    handle.stop().await;
    // At the start as well; then nothing runs.
    let builder = world.builder().register(Accounts::new(), world.store.clone());
    let error = builder.register(Accounts::new(), world.store.clone()).start().await.err();
    assert!(error.expect("refused").to_string().contains("registered already"));
}

async fn a_store_that_is_away_at_the_first_start_is_reported(world: World) {
    world.store_faults().fail_open(1);
    let error = refusal(&world, Accounts::new()).await;
    assert!(matches!(error, RegisterError::Open(OpenError::Store(_))), "{error}");
    assert!(error.to_string().contains("it cannot be opened"), "{error}");
    let handle = world.start().await;
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    handle.stop().await;
}

async fn a_registration_is_refused_after_the_stop(world: World) {
    let handle = world.builder().start().await.expect("it starts");
    handle.stop().await;
    let log = std::sync::Arc::new(world.log.clone());
    let store = std::sync::Arc::new(world.store.clone());
    let late = Registration::new(std::sync::Arc::new(Accounts::new()), log, store);
    assert_eq!(handle.register(late).await, Err(RegisterError::Stopped));
}
