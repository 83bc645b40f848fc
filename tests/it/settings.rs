//! Settings: none of them can stop the work, and what they bound stays bounded.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rederive::{Await, Config, Notice, Sizes};

use crate::fixture::{
    World,
    bank::{Accounts, Event},
    on_every_store, status,
};

on_every_store!(
    settings_of_zero_stop_nothing,
    settings_of_one_stop_nothing,
    the_largest_settings_overflow_nowhere,
    partitions_with_an_actor_are_bounded_however_many_there_are,
);

async fn work(world: &World) {
    let handle = world.start().await;
    let transfer = Event::Transferred { from: "1".into(), to: "2".into(), amount: 3 };
    world.append((0..10).map(|id| Event::opened(&id.to_string())));
    world.append([transfer, Event::Noise, Event::deposited("3", 1)]);
    world.append((0..30).map(|n| Event::deposited(&(n % 10).to_string(), n)));
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    world.check();
    let later = world.append([Event::deposited("1", 1)]);
    handle.wait(Await::events("accounts", &later)).await.expect("done");
    handle.stop().await;
    world.check();
}

fn sizes(config: &mut Config, size: usize) {
    (config.slice, config.window, config.batch, config.group) = (size, size, size, size);
    (config.max_active, config.max_halted, config.bulk) = (size, size, size);
    config.gather = size;
    config.rebuild = Sizes { slice: size, window: size, batch: size, group: size };
}

fn times(config: &mut Config, time: Duration) {
    (config.idle_timeout, config.poll_interval, config.watermark_interval) = (time, time, time);
    (config.min_backoff, config.max_backoff) = (time, time);
}

async fn settings_of_zero_stop_nothing(world: World) {
    let world = world.with(|config| {
        sizes(config, 0);
        times(config, Duration::ZERO);
    });
    work(&world).await;
}

async fn settings_of_one_stop_nothing(world: World) {
    let world = world.with(|config| {
        sizes(config, 1);
        times(config, Duration::from_millis(1));
    });
    work(&world).await;
}

async fn the_largest_settings_overflow_nowhere(world: World) {
    let world = world.with(|config| {
        sizes(config, usize::MAX);
        times(config, Duration::MAX);
        config.await_timeout = Duration::MAX;
    });
    work(&world).await;
}

async fn partitions_with_an_actor_are_bounded_however_many_there_are(world: World) {
    let world = world.with(|config| {
        (config.slice, config.window, config.max_active) = (20, 40, 30);
    });
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let peak = Arc::clone(&most);
    let counting = move |notice: &Notice| match notice {
        Notice::Activated { .. } => {
            let active = now.fetch_add(1, Ordering::Relaxed) + 1;
            peak.fetch_max(active, Ordering::Relaxed);
        }
        Notice::Passivated { .. } => drop(now.fetch_sub(1, Ordering::Relaxed)),
        _ => {}
    };
    world.append((0..1500).map(|id| Event::opened(&id.to_string())));
    let builder = world.builder().observe(counting);
    let handle = builder.register(Accounts::new(), world.store.clone()).start().await;
    let handle = handle.expect("it starts");
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    // Those allowed, and those in flight: a window and one slice more.
    let most = most.load(Ordering::Relaxed);
    assert!(most <= 30 + 40 + 20, "{most} at once");
    assert!(status(&handle).await.active_partitions <= 90);
    world.check();
    handle.stop().await;
}
