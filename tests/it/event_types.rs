//! Event types: a reducer is read, and shown, only those that it wants.

use rederive::{
    Await, Change, Cursor, EventTypes, MemoryLog, Ops, Outcome, Partitions, ReduceError, Reducer,
    core::{OnUndecodable, Undecodable},
};

use crate::fixture::{
    World,
    backend::{AnyLog, AnyStore},
    bank::{ACCOUNTS, Accounts, Event, Recorded},
    outcomes,
};

/// Keeps the accounts as they were opened; would fail at anything else.
struct Openings;

impl Reducer for Openings {
    type Event = Event;

    fn name(&self) -> &str {
        "accounts"
    }

    fn event_types(&self) -> EventTypes {
        EventTypes::only(["Opened"])
    }

    fn on_undecodable(&self, event: &Undecodable) -> OnUndecodable {
        match event.message.contains("scripted") {
            true => OnUndecodable::Ignore,
            false => OnUndecodable::Block,
        }
    }

    fn partition(&self, event: &Event) -> Partitions {
        Partitions::of(event.partitions())
    }

    fn reduce(&self, event: &Recorded, ops: &mut Ops) -> Result<(), ReduceError> {
        let Event::Opened { id } = &event.data else {
            return Err(ReduceError::new("it was not wanted"));
        };
        let row = vec![(1, 0.into()), (2, 1.into()), (3, 0.into())];
        ops.change(&ACCOUNTS, [id.as_str().into()], Change::Insert(row))
    }
}

fn in_memory() -> World {
    let log = MemoryLog::typed_by(|event: &Event| match event {
        Event::Opened { .. } => "Opened",
        _ => "other",
    });
    World::new(AnyLog::new(log), AnyStore::memory())
}

fn events() -> [Event; 4] {
    [Event::opened("a"), Event::deposited("a", 5), Event::Noise, Event::opened("b")]
}

async fn only_what_is_wanted_is_seen(world: World) {
    let builder = world.builder().register(Openings, world.store.clone());
    let handle = builder.start().await.expect("it starts");
    let recorded = world.append(events());
    let waited = handle.wait(Await::events("accounts", &recorded)).await;
    let ignored = Outcome::Ignored;
    assert_eq!(outcomes(waited), [Outcome::Done, ignored.clone(), ignored, Outcome::Done]);
    let asked = world.log_faults().fetched_types();
    assert!(asked.iter().all(|types| !types.contains("Deposited")), "{asked:?}");
    handle.stop().await;
    assert_eq!(world.rows().into_keys().collect::<String>(), "ab");
}

async fn what_others_read_beside_is_not_shown(world: World) {
    let builder = world.builder().register(Accounts::copies(), world.store.clone());
    let builder = builder.register(Openings, world.store.clone());
    let handle = builder.start().await.expect("it starts");
    for id in 0..50 {
        let id = id.to_string();
        let recorded = world.append([Event::opened(&id), Event::deposited(&id, 1)]);
        let waited = handle.wait(Await::events("accounts", &recorded).and("copies")).await;
        let done = Outcome::Done;
        assert_eq!(outcomes(waited), [done.clone(), Outcome::Ignored, done.clone(), done]);
    }
    handle.stop().await;
    assert_eq!(world.rows().len(), 50);
}

async fn an_undecodable_event_that_does_not_concern_it_is_passed(world: World) {
    world.log_faults().break_event(1);
    let builder = world.builder().register(Openings, world.store.clone());
    let handle = builder.start().await.expect("it starts");
    let recorded = world.append(events());
    let waited = outcomes(handle.wait(Await::events("accounts", &recorded)).await);
    assert_eq!((&waited[0], &waited[3]), (&Outcome::Ignored, &Outcome::Done));
    let late = handle.wait(Await::cursors("accounts", [Cursor::from(1)])).await;
    assert_eq!(outcomes(late), [Outcome::Ignored]);
    handle.stop().await;
    assert_eq!(world.rows().into_keys().collect::<String>(), "b");
}

macro_rules! on_typed_logs {
    ($($name:ident),* $(,)?) => {
        mod memory {$(
            #[actix_rt::test]
            async fn $name() {
                super::$name(super::in_memory()).await;
            }
        )*}

        mod sqlite {$(
            #[actix_rt::test]
            async fn $name() {
                super::$name(crate::fixture::World::sqlite()).await;
            }
        )*}

        mod postgres {$(
            #[actix_rt::test]
            async fn $name() {
                super::$name(crate::fixture::World::postgres()).await;
            }
        )*}
    };
}

on_typed_logs!(
    only_what_is_wanted_is_seen,
    what_others_read_beside_is_not_shown,
    an_undecodable_event_that_does_not_concern_it_is_passed,
);
