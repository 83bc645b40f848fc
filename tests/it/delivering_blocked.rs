//! Deliveries that block their thread keep nobody but later deliveries of their reducer.

use std::{sync::Arc, time::Duration};

use rederive::{
    Await, Begin, DeliverError, DeliverySettings, Due, Effects, Handle, Notice, Notifier,
    OutboxCounts, Partitions, ReduceError,
};
use rederive_testkit::Gate;

use crate::fixture::{
    PATIENCE, World,
    bank::{Accounts, Event, Recorded},
    on_every_store, until,
};

on_every_store!(
    a_delivery_that_blocks_delays_no_await_and_no_other_deliveries,
    a_stop_gives_up_a_delivery_that_blocks_beyond_the_grace,
);

/// Delivers once the gate is open, and blocks until then.
#[derive(Clone)]
struct Blocking {
    name: &'static str,
    gate: Arc<Gate>,
}

impl Blocking {
    async fn start(world: &World, of: impl IntoIterator<Item = &Self>) -> Handle {
        let mut builder = world.builder().register(Accounts::new(), world.store.clone());
        for notifier in of {
            builder = builder.notify_from(notifier.clone(), Begin::Start, world.store.clone());
        }
        builder.start().await.expect("it starts")
    }
}

impl Notifier for Blocking {
    type Event = Event;
    type Effect = i64;

    fn name(&self) -> &str {
        self.name
    }

    fn partition(&self, event: &Event) -> Partitions {
        match event {
            Event::Deposited { id, .. } => id.into(),
            _ => Partitions::None,
        }
    }

    fn notify(&self, event: &Recorded, effects: &mut Effects<'_, i64>) -> Result<(), ReduceError> {
        match event.data {
            Event::Deposited { amount, .. } => effects.push(&amount),
            _ => Ok(()),
        }
    }

    async fn deliver(&self, _: Due<i64>) -> Result<(), DeliverError> {
        self.gate.pass();
        Ok(())
    }

    fn settings(&self) -> DeliverySettings {
        DeliverySettings { grace: Duration::from_millis(5), ..DeliverySettings::default() }
    }
}

fn delivered(by: &'static str) -> impl Fn(&Notice) -> bool {
    move |notice| matches!(notice, Notice::Delivered { reducer, .. } if **reducer == *by)
}

async fn a_delivery_that_blocks_delays_no_await_and_no_other_deliveries(world: World) {
    let blocked = Blocking { name: "blocked", gate: Arc::new(Gate::closed()) };
    let free = Blocking { name: "free", gate: Arc::new(Gate::closed()) };
    free.gate.open();
    let handle = Blocking::start(&world, [&blocked, &free]).await;
    world.append([Event::opened("a"), Event::deposited("a", 1)]);
    blocked.gate.wait_for_arrivals(1, PATIENCE);
    let later = world.append([Event::deposited("a", 2), Event::opened("b")]);
    for reducer in ["accounts", "blocked", "free"] {
        handle.wait(Await::events(reducer, &later)).await.expect("done");
    }
    let mut watch = world.probe.from_start();
    for _ in 0..2 {
        watch.notified(delivered("free"), PATIENCE).await;
    }
    let counts = OutboxCounts { pending: 2, parked: 0 };
    until(&handle, "blocked", |status| status.effects == Some(counts)).await;
    blocked.gate.open();
    let mut watch = world.probe.from_start();
    for _ in 0..2 {
        watch.notified(delivered("blocked"), PATIENCE).await;
    }
    handle.stop().await;
}

async fn a_stop_gives_up_a_delivery_that_blocks_beyond_the_grace(world: World) {
    let blocked = Blocking { name: "mails", gate: Arc::new(Gate::closed()) };
    let handle = Blocking::start(&world, [&blocked]).await;
    world.append([Event::deposited("a", 1)]);
    blocked.gate.wait_for_arrivals(1, PATIENCE);
    handle.stop().await;
    assert_eq!(world.probe.count(delivered("mails")), 0);
    let free = Blocking { name: "mails", gate: Arc::new(Gate::closed()) };
    free.gate.open();
    let handle = Blocking::start(&world, [&free]).await;
    world.probe.notified(delivered("mails"), PATIENCE).await;
    handle.stop().await;
    blocked.gate.open();
}
