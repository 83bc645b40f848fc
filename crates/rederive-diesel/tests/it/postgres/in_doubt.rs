//! Connections that break while events are appended: what can be found out is found out.

use std::time::Duration;

use rederive_core::{Cursor, EventLog};
use rederive_diesel::{AppendError, Expected, PostgresDatabase, PostgresEventLog, PostgresOptions};
use test_postgres::{Moment, Proxy, Then};

use super::scratch::Scratch;

/// A log that is reached by way of a proxy, and the same without.
struct World {
    proxy: Proxy,
    through: PostgresEventLog<u64>,
    direct: PostgresEventLog<u64>,
    scratch: Scratch,
}

impl World {
    fn new() -> Self {
        let scratch = Scratch::new("");
        let url = scratch.url();
        let (place, database) = url.rsplit_once('/').unwrap();
        let (head, port) = place.rsplit_once(':').unwrap();
        let proxy = Proxy::to(port.parse().unwrap()).unwrap();
        let through = format!("{head}:{}/{database}", proxy.port());
        let options =
            PostgresOptions::default().notifications(false).connect_timeout(Duration::from_secs(1));
        let through = PostgresDatabase::connect_with(through, options).unwrap().event_log();
        let direct = scratch.db.event_log();
        Self { proxy, through, direct, scratch }
    }

    fn events(&self) -> Vec<u64> {
        let slice = self.direct.fetch(&Cursor::Start, 1000).unwrap();
        slice.events.into_iter().map(|event| event.data).collect()
    }
}

#[test]
fn an_append_whose_commit_is_not_answered_is_known_to_be_done() {
    let world = World::new();
    world.through.append_blocking(vec![1]).unwrap();
    world.proxy.cut_at(Moment::AfterCommit, "INSERT INTO");
    let recorded = world.through.append_blocking(vec![2, 3]).unwrap();
    assert_eq!(world.proxy.sprung(), 1);
    assert_eq!(world.events(), [1, 2, 3]);
    assert_eq!(world.direct.head().ok().as_ref(), recorded.last().map(|event| &event.cursor));
    let version = world.through.append_to_blocking("s", Expected::NoStream, vec![4]).unwrap();
    assert_eq!(world.direct.find(&version[0].cursor).unwrap().unwrap().data, 4);
}

#[test]
fn an_append_whose_commit_does_not_arrive_is_done_by_another_connection_and_once() {
    let world = World::new();
    for moment in [Moment::BeforeCommit, Moment::BeforeStatement] {
        world.proxy.cut_at(moment, "INSERT INTO");
        world.through.append_blocking(vec![1]).unwrap();
    }
    assert_eq!(world.proxy.sprung(), 2);
    assert_eq!(world.events(), [1, 1]);
}

#[test]
fn an_append_after_the_connection_was_lost_while_idle_is_done() {
    let world = World::new();
    world.through.append_blocking(vec![1]).unwrap();
    world.proxy.cut_all();
    world.through.append_blocking(vec![2]).unwrap();
    assert_eq!(world.events(), [1, 2]);
}

#[test]
fn an_append_of_which_nothing_can_be_found_out_is_in_doubt() {
    let world = World::new();
    world.through.append_blocking(vec![1]).unwrap();
    let proxy = std::sync::Arc::new(world.proxy);
    let shut = std::sync::Arc::clone(&proxy);
    proxy.at(Moment::AfterCommit, "INSERT INTO", move || {
        shut.refuse(true);
        Then::Cut
    });
    let doubtful = world.through.append_blocking(vec![2]).unwrap_err();
    assert!(matches!(doubtful, AppendError::InDoubt { .. }), "{doubtful}");
    // Before anything is sent, there is no doubt.
    let refused = world.through.append_blocking(vec![3]).unwrap_err();
    assert!(matches!(refused, AppendError::Unavailable { .. }), "{refused}");
    proxy.refuse(false);
    world.through.append_blocking(vec![4]).unwrap();
    let seen = world.scratch.text("SELECT data AS line FROM rederive_events ORDER BY id");
    assert_eq!(seen, ["1", "2", "4"]);
}

/// The server waits for its COMMIT, and all who append wait for it.
#[test]
fn a_transaction_that_has_lost_its_client_is_ended_and_done_again() {
    let world = World::new();
    world.through.append_blocking(vec![1]).unwrap();
    for number in [2, 3] {
        world.proxy.at(Moment::BeforeCommit, "INSERT INTO", || Then::Vanish);
        world.through.append_blocking(vec![number]).unwrap();
    }
    assert_eq!(world.proxy.sprung(), 2);
    assert_eq!(world.events(), [1, 2, 3]);
}
