//! Services: what an event asks for is done, and what came of it is in the log exactly once.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use rederive::{
    Await, Begin, Cursor, DeliverError, DeliverySettings, Due, Effects, EventLog, Handle, Notice,
    Partitions, ReduceError, Service,
    chaos::{Kill, Victim},
};
use rederive_testkit::AppendFault;

use crate::fixture::{
    PATIENCE, World,
    bank::{Accounts, Event, Recorded},
    on_every_store,
};

on_every_store!(
    a_service_does_what_is_asked_of_it_one_by_one_and_records_it,
    a_task_whose_events_are_recorded_is_not_served_again,
    a_crash_at_any_point_of_a_task_leaves_its_events_in_the_log_once,
    a_service_that_is_killed_while_it_reacts_to_its_own_events_records_each_once,
    a_failure_of_a_service_holds_up_its_partition_and_is_told,
    a_task_is_tried_again_while_the_log_is_away_and_parked_when_its_events_are_refused,
    a_service_begins_with_what_is_appended_after_its_first_start,
    what_a_service_appends_reaches_other_reducers,
);

/// Pays out what is deposited, in instalments of one: each deposit but the last leads to the next, one
/// less. Clones share what was served.
#[derive(Clone, Default)]
struct Instalments {
    served: Arc<Mutex<Vec<String>>>,
    troubles: Arc<Mutex<VecDeque<Trouble>>>,
}

/// What befalls a task.
enum Trouble {
    /// It is never done.
    Hangs,
    Refused,
}

impl Service for Instalments {
    type Event = Event;
    type Task = (String, i64);

    fn name(&self) -> &str {
        "instalments"
    }

    fn partition(&self, event: &Event) -> Partitions {
        match event {
            Event::Deposited { id, .. } => id.into(),
            _ => Partitions::None,
        }
    }

    fn plan(
        &self,
        event: &Recorded,
        tasks: &mut Effects<'_, (String, i64)>,
    ) -> Result<(), ReduceError> {
        match &event.data {
            Event::Deposited { id, amount } if *amount > 0 => tasks.push(&(id.clone(), *amount)),
            _ => Ok(()),
        }
    }

    async fn serve(&self, due: Due<(String, i64)>) -> Result<Vec<Event>, DeliverError> {
        self.served.lock().expect("no panic").push(due.key);
        let trouble = self.troubles.lock().expect("no panic").pop_front();
        match trouble {
            None => {}
            Some(Trouble::Hangs) => std::future::pending().await,
            Some(Trouble::Refused) => return Err(DeliverError::refuse("there is no such account")),
        }
        let (id, amount) = due.effect;
        Ok(vec![Event::Noise, Event::deposited(&id, amount - 1)])
    }

    fn settings(&self) -> DeliverySettings {
        DeliverySettings {
            min_backoff: Duration::from_millis(1),
            max_backoff: Duration::from_millis(5),
            poll_interval: Duration::from_secs(3600),
            grace: Duration::ZERO,
            attempts: 5,
            ..DeliverySettings::default()
        }
    }
}

impl Instalments {
    async fn start(&self, world: &World) -> Handle {
        let builder = world.builder();
        let (log, store) = (world.log.clone(), world.store.clone());
        let builder = builder.register_service_from(self.clone(), Begin::Start, log, store);
        builder.start().await.expect("it starts")
    }

    /// How many tasks were begun, with repetitions.
    fn served(&self) -> usize {
        self.served.lock().expect("no panic").len()
    }

    /// Waits until so many tasks have been begun.
    async fn begun(&self, count: usize) {
        let begun = std::time::Instant::now();
        while self.served() < count {
            assert!(begun.elapsed() < PATIENCE, "only {} tasks were begun", self.served());
            actix_rt::task::yield_now().await;
        }
    }
}

/// The deposits of each of these that the log holds, in order.
fn deposits<const N: usize>(world: &World, of: [&str; N]) -> [Vec<i64>; N] {
    let events =
        world.log.inner().fetch(&Cursor::Start, usize::MAX).expect("it can be read").events;
    of.map(|of| {
        let amounts = events.iter().filter_map(|event| match &event.data {
            Event::Deposited { id, amount } if id == of => Some(*amount),
            _ => None,
        });
        amounts.collect()
    })
}

fn down_from(amount: i64) -> Vec<i64> {
    (0..=amount).rev().collect()
}

/// Waits until nothing is left to be done.
async fn done(world: &World, handle: &Handle, of: &str) {
    let begun = std::time::Instant::now();
    while deposits(world, [of])[0].last() != Some(&0) {
        assert!(begun.elapsed() < PATIENCE, "not done: {:?}", deposits(world, [of]));
        actix_rt::task::yield_now().await;
    }
    loop {
        let counts = handle.count_effects("instalments").await.expect("it counts");
        if counts.pending == 0 {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{counts:?}");
        actix_rt::task::yield_now().await;
    }
}

async fn a_service_does_what_is_asked_of_it_one_by_one_and_records_it(world: World) {
    let service = Instalments::default();
    let handle = service.start(&world).await;
    world.append([Event::deposited("a", 20), Event::deposited("b", 9)]);
    done(&world, &handle, "a").await;
    done(&world, &handle, "b").await;
    handle.stop().await;
    assert_eq!(deposits(&world, ["a", "b"]), [down_from(20), down_from(9)]);
    assert_eq!(service.served(), 29, "each once");
}

async fn a_task_whose_events_are_recorded_is_not_served_again(world: World) {
    let service = Instalments::default();
    world.store_faults().fail_mark(1_000_000);
    let handle = service.start(&world).await;
    world.append([Event::deposited("a", 3)]);
    service.begun(1).await;
    let is_delayed = |notice: &Notice| matches!(notice, Notice::OutboxDelayed { .. });
    world.probe.notified(is_delayed, PATIENCE).await;
    handle.stop().await;
    // The second may have been asked for already when the first ended.
    assert_eq!(deposits(&world, ["a"])[0][..2], [3, 2]);
    world.store_faults().heal();
    let handle = service.start(&world).await;
    done(&world, &handle, "a").await;
    handle.stop().await;
    let served = service.served.lock().expect("no panic").clone();
    let again = served.iter().filter(|key| **key == served[0]).count();
    assert_eq!(again, 1, "the first is not noted as done, and not done again");
    assert_eq!(deposits(&world, ["a"]), [down_from(3)]);
}

async fn a_crash_at_any_point_of_a_task_leaves_its_events_in_the_log_once(world: World) {
    const POINTS: [&str; 4] = ["served", "not appended", "appended", "told"];
    let service = Instalments::default();
    for point in POINTS {
        let before = service.served();
        match point {
            "served" => service.troubles.lock().expect("no panic").push_back(Trouble::Hangs),
            "not appended" => world.log_faults().on_append_once(AppendFault::Before),
            "appended" => world.log_faults().on_append_once(AppendFault::After),
            _ => world.store_faults().fail_mark(1_000_000),
        }
        let handle = service.start(&world).await;
        world.append([Event::deposited(point, 1)]);
        service.begun(before + 1).await;
        // Its grace is none: what is under way is dropped.
        handle.stop().await;
        world.store_faults().heal();
        world.log_faults().heal();
        let handle = service.start(&world).await;
        done(&world, &handle, point).await;
        handle.stop().await;
        assert_eq!(deposits(&world, [point]), [[1, 0]], "{point}");
        assert!(service.served() - before <= 2, "{point}: no more than one crash has to repeat");
    }
}

async fn a_service_that_is_killed_while_it_reacts_to_its_own_events_records_each_once(
    world: World,
) {
    let service = Instalments::default();
    let handle = service.start(&world).await;
    world.append([Event::deposited("a", 40)]);
    for (kill, victim) in [Victim::Courier, Victim::Dispatcher].iter().cycle().take(10).enumerate()
    {
        service.begun(1 + 3 * kill).await;
        let kill = Kill { reducer: "instalments".into(), victim: victim.clone() };
        handle.supervisor().send(kill).await.expect("it lives");
    }
    done(&world, &handle, "a").await;
    handle.stop().await;
    assert_eq!(deposits(&world, ["a"]), [down_from(40)]);
}

async fn a_failure_of_a_service_holds_up_its_partition_and_is_told(world: World) {
    let service = Instalments::default();
    service.troubles.lock().expect("no panic").push_back(Trouble::Refused);
    let handle = service.start(&world).await;
    world.append([Event::deposited("nobody", 2), Event::deposited("nobody", 1)]);
    let is_parked = |notice: &Notice| matches!(notice, Notice::Parked { .. });
    world.probe.notified(is_parked, PATIENCE).await;
    world.append([Event::deposited("a", 1)]);
    let begun = std::time::Instant::now();
    while deposits(&world, ["a"])[0] != [1, 0] {
        assert!(begun.elapsed() < PATIENCE);
        actix_rt::task::yield_now().await;
    }
    handle.stop().await;
    assert_eq!(deposits(&world, ["nobody"]), [[2, 1]], "nothing came of either");
    let handle = service.start(&world).await;
    let parked = handle.parked("instalments", None, 10).await.expect("it lists");
    assert_eq!((parked.len(), parked[0].key.partition.as_str()), (1, "nobody"));
    handle.stop().await;
}

async fn a_task_is_tried_again_while_the_log_is_away_and_parked_when_its_events_are_refused(
    world: World,
) {
    let service = Instalments::default();
    let faults = world.log_faults();
    for fault in [AppendFault::Before, AppendFault::After, AppendFault::Refused] {
        faults.on_append_once(fault);
    }
    let handle = service.start(&world).await;
    world.append([Event::deposited("a", 2)]);
    let is_parked = |notice: &Notice| matches!(notice, Notice::Parked { .. });
    let Notice::Parked { key, parked, .. } = world.probe.notified(is_parked, PATIENCE).await else {
        unreachable!("it is what was waited for")
    };
    assert!(parked.message.contains("refused"), "{parked}");
    let delays = |notice: &Notice| matches!(notice, Notice::DeliveryDelayed { .. });
    assert_eq!(world.probe.count(delays), 2);
    let begun = std::time::Instant::now();
    while handle.redeliver("instalments", key.clone()).await != Ok(true) {
        assert!(begun.elapsed() < PATIENCE, "it is noted soon");
        actix_rt::task::yield_now().await;
    }
    done(&world, &handle, "a").await;
    handle.stop().await;
    assert_eq!(deposits(&world, ["a"]), [down_from(2)]);
}

async fn a_service_begins_with_what_is_appended_after_its_first_start(world: World) {
    world.append([Event::deposited("old", 3)]);
    let service = Instalments::default();
    let start = || {
        let (log, store) = (world.log.clone(), world.store.clone());
        world.builder().register_service(service.clone(), log, store).start()
    };
    start().await.expect("it starts").stop().await;
    world.append([Event::deposited("a", 1)]);
    let handle = start().await.expect("it starts");
    done(&world, &handle, "a").await;
    handle.stop().await;
    assert_eq!(deposits(&world, ["old", "a"]), [vec![3], vec![1, 0]]);
}

async fn what_a_service_appends_reaches_other_reducers(world: World) {
    let service = Instalments::default();
    let (log, store) = (world.log.clone(), world.store.clone());
    let builder = world.builder().register(Accounts::new(), store.clone());
    let handle = builder.register_service(service, log, store).start().await.expect("it starts");
    handle.wait(Await::caught_up("instalments")).await.expect("caught up");
    world.append([Event::opened("a"), Event::deposited("a", 4)]);
    done(&world, &handle, "a").await;
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    handle.stop().await;
    assert_eq!(world.rows()["a"].0, 4 + 3 + 2 + 1);
}
