//! Observing: notices are told when they say they are, and observers can harm nobody.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rederive::{Await, Cursor, Halt, Notice};

use crate::fixture::{
    PATIENCE, World,
    bank::{Accounts, Event},
    notices::{caught_up, passivated},
    on_every_store,
};

on_every_store!(
    a_life_is_told_from_its_start_to_its_stop,
    a_watermark_that_no_commit_stores_is_told_when_it_is_stored,
    caught_up_is_told_when_it_becomes_true_and_not_again,
    an_observer_that_panics_harms_nobody,
    a_closure_can_observe,
);

fn told(world: &World) -> Vec<Notice> {
    world.probe.all()
}

async fn a_life_is_told_from_its_start_to_its_stop(world: World) {
    let reducer: Arc<str> = "accounts".into();
    let handle = world.start().await;
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    world.append([Event::opened("a"), Event::deposited("a", 1), Event::Noise]);
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    world.append([Event::deposited("a", 2), Event::poison("a")]);
    world.settled(&handle).await;
    handle.stop().await;

    let of_halt = |notice: &Notice| match notice {
        Notice::Halted { halt, .. } => Some(Arc::clone(halt)),
        _ => None,
    };
    let halt: Arc<Halt> = told(&world).iter().find_map(of_halt).expect("it is halted");
    assert_eq!((&halt.cursor, &*halt.message), (&Cursor::from(5), "poison"));
    let watermark = Cursor::from;
    let start = Cursor::Start;
    let of = || Arc::clone(&reducer);
    assert_eq!(
        told(&world),
        [
            Notice::Started { reducer: of(), watermark: start.clone() },
            Notice::CaughtUp { reducer: of(), watermark: start },
            Notice::Activated { reducer: of(), partition: "a".into() },
            Notice::Committed { reducer: of(), partitions: 1, events: 2, watermark: watermark(3) },
            Notice::CaughtUp { reducer: of(), watermark: watermark(3) },
            // Told before the commit that it is part of, as it is in the store by then.
            Notice::Halted { reducer: of(), partition: "a".into(), halt },
            Notice::Committed { reducer: of(), partitions: 1, events: 1, watermark: watermark(5) },
            Notice::CaughtUp { reducer: of(), watermark: watermark(5) },
            Notice::Stopped { reducer: of(), watermark: watermark(5) },
        ]
    );
}

async fn a_watermark_that_no_commit_stores_is_told_when_it_is_stored(world: World) {
    let world = world.with(|config| config.watermark_interval = Duration::from_millis(2));
    let handle = world.start().await;
    let stored = |notice: &Notice| matches!(notice, Notice::WatermarkStored { .. });
    for round in 1..=3 {
        let mut watch = world.probe.from_now();
        world.append([Event::Noise, Event::Noise]);
        let notice = watch.notified(stored, PATIENCE).await;
        let watermark = Cursor::from(2 * round);
        assert_eq!(notice, Notice::WatermarkStored { reducer: "accounts".into(), watermark });
    }
    handle.stop().await;
    // Not again when it is stored already: neither by the timer nor at the stop.
    assert_eq!(world.probe.count(stored), 3);
    let committed = |notice: &Notice| matches!(notice, Notice::Committed { .. });
    assert_eq!(world.probe.count(committed), 0);
}

async fn caught_up_is_told_when_it_becomes_true_and_not_again(world: World) {
    let handle = world.start().await;
    world.probe.notified(caught_up, PATIENCE).await;
    for _ in 0..5 {
        world.log_faults().wake();
        handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    }
    assert_eq!(world.probe.count(caught_up), 1);
    for round in 1..=3 {
        let recorded = world.append([Event::opened(&round.to_string())]);
        handle.wait(Await::events("accounts", &recorded)).await.expect("done");
        handle.wait(Await::caught_up("accounts")).await.expect("caught up");
        assert_eq!(world.probe.count(caught_up), 1 + round);
    }
    handle.stop().await;
}

async fn an_observer_that_panics_harms_nobody(world: World) {
    let world = world.with(|config| config.idle_timeout = Duration::ZERO);
    let handle = rederive::Rederive::new(world.log.clone())
        .observe(|notice: &Notice| panic!("I cannot bear {notice:?}"))
        .observe(world.probe.clone())
        .config(world.config.clone())
        .register(Accounts::new(), world.store.clone())
        .start()
        .await
        .expect("it starts");
    world.append([Event::opened("a"), Event::opened("b"), Event::poison("b")]);
    world.settled(&handle).await;
    world.probe.notified(passivated, PATIENCE).await;
    handle.stop().await;
    world.check();
    let restarted = |notice: &Notice| matches!(notice, Notice::Restarted { .. });
    assert_eq!(world.probe.count(restarted), 0);
    assert!(matches!(told(&world).last(), Some(Notice::Stopped { .. })));
}

async fn a_closure_can_observe(world: World) {
    let counted = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&counted);
    let observer = move |_: &Notice| {
        counter.fetch_add(1, Ordering::Relaxed);
    };
    let builder = world.builder().observe(observer);
    let handle = builder.register(Accounts::new(), world.store.clone()).start().await;
    let handle = handle.expect("it starts");
    world.append([Event::opened("a")]);
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    handle.stop().await;
    assert_eq!(counted.load(Ordering::Relaxed), told(&world).len());
}
