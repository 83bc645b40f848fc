//! Connections that break while events are appended: what can be found out is found out.

use std::{sync::Arc, thread, time::Duration};

use diesel::{Connection as _, PgConnection, connection::SimpleConnection as _};
use rederive_core::{Cursor, EventLog};
use rederive_diesel::{AppendError, Expected, PostgresDatabase, PostgresEventLog, PostgresOptions};
use test_postgres::{Cluster, Moment, Proxy, Then};

use super::{scratch::Scratch, waiting::Other};

/// A log that is reached by way of a proxy, and the same without.
struct World {
    proxy: Proxy,
    through: PostgresEventLog<u64>,
    direct: PostgresEventLog<u64>,
    scratch: Scratch,
}

/// In every transaction that appends.
const APPEND: &str = "rederive_append(";

/// First if the transaction has several statements.
const LOCK: &str = "pg_advisory_xact_lock";

impl World {
    /// With appends that are one statement, and with such as are made behind a pooler.
    fn both() -> [Self; 2] {
        [Self::new(), Self::with(PostgresOptions::default().prepared_statements(false))]
    }

    fn new() -> Self {
        Self::with(PostgresOptions::default())
    }

    fn with(options: PostgresOptions) -> Self {
        let scratch = Scratch::new("");
        let url = scratch.url();
        let (place, database) = url.rsplit_once('/').unwrap();
        let (head, port) = place.rsplit_once(':').unwrap();
        let proxy = Proxy::to(port.parse().unwrap()).unwrap();
        let through = format!("{head}:{}/{database}", proxy.port());
        let options = options.notifications(false).connect_timeout(Duration::from_secs(1));
        let through = PostgresDatabase::connect_with(through, options).unwrap().event_log();
        let direct = scratch.db.event_log();
        Self { proxy, through, direct, scratch }
    }

    fn events(&self) -> Vec<u64> {
        events(&self.direct)
    }
}

fn events(log: &PostgresEventLog<u64>) -> Vec<u64> {
    let slice = log.fetch(&Cursor::Start, 1000).unwrap();
    slice.events.into_iter().map(|event| event.data).collect()
}

#[test]
fn an_append_is_one_statement_unless_a_pooler_may_be_in_between() {
    for (world, steps) in World::both().into_iter().zip([0, 1]) {
        world.proxy.at(Moment::BeforeStatement, LOCK, || Then::Pass);
        world.through.append_blocking(vec![1]).unwrap();
        world.through.append_to_blocking("s", Expected::NoStream, vec![2, 3]).unwrap();
        let late = world.through.append_to_blocking("s", Expected::NoStream, vec![4]).unwrap_err();
        assert!(matches!(late, AppendError::Conflict { actual: 2, .. }), "{late}");
        assert_eq!((world.events(), world.proxy.sprung()), (vec![1, 2, 3], steps));
    }
}

#[test]
fn an_append_that_is_not_answered_is_known_to_be_done() {
    for world in World::both() {
        world.through.append_blocking(vec![1]).unwrap();
        world.proxy.cut_at(Moment::AfterCommit, APPEND);
        let recorded = world.through.append_blocking(vec![2, 3]).unwrap();
        assert_eq!(world.proxy.sprung(), 1);
        let stored = world.direct.fetch(&Cursor::Start, 9).unwrap().events;
        assert_eq!(stored[1..], recorded);
        let version = world.through.append_to_blocking("s", Expected::NoStream, vec![4]).unwrap();
        assert_eq!(world.direct.find(&version[0].cursor).unwrap().unwrap().data, 4);
    }
}

/// The events of others that have come meanwhile are not taken for its own.
#[test]
fn of_an_append_that_is_not_answered_just_its_own_events_are_found() {
    for world in World::both() {
        world.through.append_blocking(vec![1]).unwrap();
        world.direct.append_blocking(vec![2, 2]).unwrap();
        let direct = world.direct.clone();
        world.proxy.at(Moment::AfterCommit, APPEND, move || {
            direct.append_blocking(vec![2, 2]).unwrap();
            Then::Cut
        });
        let recorded = world.through.append_blocking(vec![2, 2]).unwrap();
        assert_eq!(world.proxy.sprung(), 1);
        let stored = world.direct.fetch(&Cursor::Start, 9).unwrap().events;
        assert_eq!((stored.len(), &stored[3..5]), (7, recorded.as_slice()));
    }
}

#[test]
fn an_append_that_does_not_arrive_is_done_by_another_connection_and_once() {
    for world in World::both() {
        world.through.append_blocking(vec![1]).unwrap();
        for moment in [Moment::BeforeCommit, Moment::BeforeStatement] {
            world.proxy.cut_at(moment, APPEND);
            world.through.append_blocking(vec![1]).unwrap();
        }
        assert_eq!(world.proxy.sprung(), 2);
        assert_eq!(world.events(), [1, 1, 1]);
    }
}

#[test]
fn an_append_after_the_connection_was_lost_while_idle_is_done() {
    for world in World::both() {
        world.through.append_blocking(vec![1]).unwrap();
        world.proxy.cut_all();
        world.through.append_blocking(vec![2]).unwrap();
        assert_eq!(world.events(), [1, 2]);
    }
}

#[test]
fn an_append_of_which_nothing_can_be_found_out_is_in_doubt() {
    for world in World::both() {
        world.through.append_blocking(vec![1]).unwrap();
        let proxy = Arc::new(world.proxy);
        let shut = Arc::clone(&proxy);
        proxy.at(Moment::AfterCommit, APPEND, move || {
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
}

/// What is not there may be in the log of the one that was there before.
#[test]
fn an_append_is_in_doubt_where_another_server_has_taken_over_that_has_not_heard_of_it() {
    let cluster = Cluster::start().unwrap();
    for world in World::both() {
        world.through.append_blocking(vec![1]).unwrap();
        let url = world.scratch.url();
        let name = url.rsplit('/').next().unwrap();
        let mut admin = PgConnection::establish(&cluster.url("postgres")).unwrap();
        admin.batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
        let other = PostgresDatabase::connect(cluster.url(name)).unwrap().event_log::<u64>();
        other.append_blocking(vec![1]).unwrap();
        let (proxy, port) = (Arc::new(world.proxy), cluster.port());
        let taken_over = Arc::clone(&proxy);
        proxy.at(Moment::BeforeCommit, APPEND, move || {
            taken_over.redirect(port);
            Then::Cut
        });
        let doubtful = world.through.append_blocking(vec![2]).unwrap_err();
        assert!(matches!(doubtful, AppendError::InDoubt { .. }), "{doubtful}");
        world.through.append_blocking(vec![3]).unwrap();
        assert_eq!(events(&other), [1, 3]);
    }
}

/// The server waits for its next word, and all who append wait for it.
#[test]
fn an_append_that_has_lost_its_client_is_ended_and_done_again() {
    for world in World::both() {
        world.through.append_blocking(vec![1]).unwrap();
        for number in [2, 3] {
            world.proxy.at(Moment::BeforeCommit, APPEND, || Then::Vanish);
            world.through.append_blocking(vec![number]).unwrap();
        }
        assert_eq!(world.proxy.sprung(), 2);
        assert_eq!(world.events(), [1, 2, 3]);
    }
}

/// The server does not see that it has lost its client, and would append when its turn comes.
#[test]
fn an_append_that_has_lost_its_client_while_it_waited_for_others_is_done_once() {
    for world in World::both() {
        let World { proxy, through, scratch, direct } = world;
        through.append_blocking(vec![1]).unwrap();
        // The connection is not the first one.
        proxy.cut_all();
        through.append_blocking(vec![2]).unwrap();
        let insert = "INSERT INTO rederive_events (time, data) VALUES (0, '3')";
        let other = Other::begin(&scratch, insert);
        let append = thread::spawn(move || through.append_blocking(vec![4]));
        let recorded = other.lets_wait_twice(append, || assert!(proxy.cut_all() > 0)).unwrap();
        assert_eq!(recorded[0].cursor, direct.head().unwrap());
        assert_eq!(events(&direct), [1, 2, 3, 4]);
    }
}

#[test]
fn whoever_appends_to_a_stream_meanwhile_is_not_overlooked() {
    let world = World::new();
    let meanwhile = |number| {
        let direct = world.direct.clone();
        world.proxy.at(Moment::BeforeStatement, APPEND, move || {
            direct.append_to_blocking("s", Expected::Any, vec![number]).unwrap();
            Then::Pass
        });
    };
    meanwhile(1);
    let late = world.through.append_to_blocking("s", Expected::NoStream, vec![2]).unwrap_err();
    assert!(matches!(late, AppendError::Conflict { actual: 1, .. }), "{late}");
    meanwhile(3);
    world.through.append_to_blocking("s", Expected::Any, vec![4]).unwrap();
    meanwhile(5);
    let late = world.through.append_to_blocking("s", Expected::Version(3), vec![6]).unwrap_err();
    assert!(matches!(late, AppendError::Conflict { actual: 4, .. }), "{late}");
    let stored = world.direct.read_stream("s", 0, 9).unwrap();
    assert_eq!(stored.iter().map(|event| event.data).collect::<Vec<_>>(), [1, 3, 4, 5]);
}

/// Below them, a follower that has seen them would never look for it.
#[test]
fn an_append_is_numbered_above_the_ids_that_others_have_taken_while_it_waited() {
    let world = World::new();
    world.through.append_blocking(vec![1]).unwrap();
    let insert = "INSERT INTO rederive_events (id, time, data) VALUES (100, 0, '2')";
    let other = Other::begin(&world.scratch, insert);
    let through = world.through.clone();
    let append = thread::spawn(move || through.append_blocking(vec![3]));
    let recorded = other.commits_when_waited_for(append).unwrap();
    assert_eq!(recorded[0].cursor, Cursor::from(101));
    assert_eq!(recorded[0].cursor, world.direct.head().unwrap());
}

/// It is only known that it was done.
#[test]
fn an_append_whose_answer_cannot_be_read_is_looked_up() {
    let world = World::new();
    world.scratch.execute(
        "ALTER FUNCTION rederive_append RENAME TO rederive_append_well;
         CREATE FUNCTION rederive_append(bigint, text[], bigint[], text[], bigint[], text[])
             RETURNS TABLE (id bigint, \"time\" bigint) LANGUAGE sql AS
             'SELECT NULL::bigint, \"time\" FROM rederive_append_well($1, $2, $3, $4, $5, $6)'",
    );
    let recorded = world.through.append_blocking(vec![1, 2]).unwrap();
    assert_eq!(world.direct.fetch(&Cursor::Start, 9).unwrap().events, recorded);
}

/// Nothing is asked in vain with each append.
#[test]
fn where_the_server_does_not_tell_who_serves_a_connection_appends_are_made_by_steps() {
    let cluster = Cluster::start().unwrap();
    let mut admin = PgConnection::establish(&cluster.url("postgres")).unwrap();
    for sql in ["CREATE ROLE plain LOGIN", "CREATE DATABASE plain OWNER plain"] {
        admin.batch_execute(sql).unwrap();
    }
    let mut admin = PgConnection::establish(&cluster.url("plain")).unwrap();
    admin
        .batch_execute(
            "REVOKE EXECUTE ON FUNCTION pg_catalog.pg_control_system FROM PUBLIC;
             ALTER SCHEMA public OWNER TO plain",
        )
        .unwrap();
    let proxy = Proxy::to(cluster.port()).unwrap();
    let url = proxy.url("plain").replace("postgres@", "plain@");
    let log = PostgresDatabase::connect(url).unwrap().event_log::<u64>();
    for _ in 0..2 {
        proxy.at(Moment::BeforeStatement, "pg_control_system", || Then::Pass);
    }
    for number in [1, 2] {
        log.append_blocking(vec![number]).unwrap();
    }
    assert_eq!((events(&log), proxy.sprung()), (vec![1, 2], 1));
}
