//! Services: what an effect leads to is recorded in the log, exactly once.

use std::sync::{Arc, Mutex};

use rederive::{
    Begin, DeliverError, DeliverySettings, Due, Effects, EventLog, MemoryLog, MemoryStore, Notice,
    Notifier, Partitions, Recorded, Rederive, ReduceError,
};
use rederive_testkit::{FaultyStore, Probe};
use serde::{Deserialize, Serialize};

use crate::fixture::{PATIENCE, quiet};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Event {
    Ordered { id: u64, customer: String },
    Shipped { id: u64 },
}

/// Ships what is ordered. Whoever has no address is refused.
#[derive(Clone)]
struct Shipping {
    log: MemoryLog<Event>,
    shipped: Arc<Mutex<Vec<u64>>>,
}

impl Notifier for Shipping {
    type Event = Event;
    type Effect = (u64, String);

    fn name(&self) -> &str {
        "shipping"
    }

    fn partition(&self, event: &Event) -> Partitions {
        match event {
            Event::Ordered { customer, .. } => customer.into(),
            Event::Shipped { .. } => Partitions::None,
        }
    }

    fn notify(
        &self,
        event: &Recorded<Event>,
        orders: &mut Effects<'_, (u64, String)>,
    ) -> Result<(), ReduceError> {
        match &event.data {
            Event::Ordered { id, customer } => orders.push(&(*id, customer.clone())),
            Event::Shipped { .. } => Ok(()),
        }
    }

    async fn deliver(&self, due: Due<(u64, String)>) -> Result<(), DeliverError> {
        let (id, customer) = due.effect;
        if customer == "nobody" {
            return Err(DeliverError::refuse("there is no address"));
        }
        self.shipped.lock().expect("no panic").push(id);
        self.log.append_once(&due.key, [Event::Shipped { id }]);
        Ok(())
    }

    fn settings(&self) -> DeliverySettings {
        DeliverySettings { grace: PATIENCE, ..DeliverySettings::default() }
    }
}

struct Scene {
    log: MemoryLog<Event>,
    store: FaultyStore<MemoryStore>,
    service: Shipping,
    probe: Probe,
}

impl Scene {
    fn new() -> Self {
        let log = MemoryLog::new();
        let service = Shipping { log: log.clone(), shipped: Arc::default() };
        let store = FaultyStore::new(MemoryStore::new());
        Self { log, store, service, probe: Probe::new() }
    }

    async fn start(&self) -> rederive::Handle {
        Rederive::new(self.log.clone())
            .config(quiet())
            .observe(self.probe.clone())
            .notify_from(self.service.clone(), Begin::Start, self.store.clone())
            .start()
            .await
            .expect("it starts")
    }

    fn order(&self, ids: std::ops::Range<u64>, customer: &str) {
        let customer = customer.to_owned();
        self.log.append(ids.map(|id| Event::Ordered { id, customer: customer.clone() }));
    }

    async fn delivered(&self, count: usize) {
        let mut watch = self.probe.from_start();
        for _ in 0..count {
            watch.notified(|notice| matches!(notice, Notice::Delivered { .. }), PATIENCE).await;
        }
    }

    /// The shipped orders that the log tells of.
    fn recorded(&self) -> Vec<u64> {
        let events = self.log.fetch(&rederive::Cursor::Start, 1000).expect("it can be read").events;
        let shipped = events.into_iter().filter_map(|event| match event.data {
            Event::Shipped { id } => Some(id),
            Event::Ordered { .. } => None,
        });
        shipped.collect()
    }
}

#[actix_rt::test]
async fn a_service_does_what_is_asked_of_it_one_by_one_and_records_it() {
    let scene = Scene::new();
    let handle = scene.start().await;
    scene.order(0..20, "alice");
    scene.delivered(20).await;
    handle.stop().await;
    assert_eq!(scene.recorded(), (0..20).collect::<Vec<_>>());
}

#[actix_rt::test]
async fn what_a_service_did_again_after_a_crash_is_recorded_once() {
    let scene = Scene::new();
    scene.store.faults().fail_mark(1_000_000);
    let handle = scene.start().await;
    scene.order(0..5, "alice");
    scene.delivered(5).await;
    handle.stop().await;
    scene.store.faults().heal();
    let handle = scene.start().await;
    scene.delivered(10).await;
    handle.stop().await;
    assert_eq!(scene.service.shipped.lock().expect("no panic").len(), 10, "done twice");
    assert_eq!(scene.recorded(), (0..5).collect::<Vec<_>>());
}

#[actix_rt::test]
async fn a_failure_of_a_service_holds_up_its_partition_and_is_told() {
    let scene = Scene::new();
    let handle = scene.start().await;
    scene.order(0..2, "nobody");
    scene.order(2..4, "alice");
    scene.delivered(2).await;
    let is_parked = |notice: &Notice| matches!(notice, Notice::Parked { .. });
    scene.probe.notified(is_parked, PATIENCE).await;
    handle.stop().await;
    assert_eq!(scene.recorded(), [2, 3]);
    let handle = scene.start().await;
    let parked = handle.parked("shipping", None, 10).await.expect("it lists");
    assert_eq!((parked.len(), parked[0].key.partition.as_str()), (1, "nobody"));
    handle.stop().await;
}
