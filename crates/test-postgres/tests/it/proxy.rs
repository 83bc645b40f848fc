//! [`Proxy`]: the connection breaks at the moment that was asked for, and at no other.

use std::{io::ErrorKind, sync::mpsc, thread, time::Duration};

use test_postgres::{Cluster, Moment, Proxy, Then};

use crate::client::Client;

const PATIENCE: Duration = Duration::from_secs(30);

struct World {
    proxy: Proxy,
    cluster: Cluster,
}

impl World {
    fn new() -> Self {
        let cluster = Cluster::start().unwrap();
        let world = Self { proxy: Proxy::to(cluster.port()).unwrap(), cluster };
        world.direct().query("CREATE TABLE notes (n int); CREATE TABLE others (n int)").unwrap();
        world
    }

    fn direct(&self) -> Client {
        Client::connect(self.cluster.port()).unwrap()
    }

    fn client(&self) -> Client {
        Client::connect(self.proxy.port()).unwrap()
    }

    fn notes(&self) -> String {
        self.direct().query("SELECT count(*) FROM notes").unwrap().remove(0)
    }
}

/// Adds a row in a transaction.
fn insert(client: &mut Client, table: &str) -> Result<(), ErrorKind> {
    for sql in ["BEGIN", &format!("INSERT INTO {table} VALUES (1)"), "SELECT; COMMIT"] {
        client.query(sql).map_err(|error| error.kind())?;
    }
    Ok(())
}

#[test]
fn a_connection_is_cut_before_and_after_the_commit_of_the_transaction_that_was_meant() {
    let world = World::new();
    for (moment, there) in
        [(Moment::BeforeStatement, "0"), (Moment::BeforeCommit, "0"), (Moment::AfterCommit, "1")]
    {
        let mut client = world.client();
        world.proxy.cut_at(moment, "into NOTES");
        insert(&mut client, "others").unwrap();
        let sprung = world.proxy.sprung();
        assert_eq!(insert(&mut client, "notes"), Err(ErrorKind::UnexpectedEof), "{moment:?}");
        assert_eq!(world.proxy.sprung(), sprung + 1);
        assert_eq!(world.notes(), there, "{moment:?}");
    }
    insert(&mut world.client(), "notes").unwrap();
    assert_eq!(world.notes(), "2");
}

#[test]
fn a_commit_that_is_none_leaves_the_trap_for_the_next() {
    let world = World::new();
    let mut client = world.client();
    world.proxy.cut_at(Moment::AfterCommit, "notes");
    client.query("BEGIN").unwrap();
    client.query("INSERT INTO notes VALUES ('no number')").unwrap_err();
    client.query("COMMIT").unwrap();
    assert_eq!(world.proxy.sprung(), 0);
    assert_eq!(insert(&mut client, "notes"), Err(ErrorKind::UnexpectedEof));
    assert_eq!(world.notes(), "1");
}

#[test]
fn a_test_decides_at_the_moment_what_happens() {
    let world = World::new();
    let (go_on, waits) = mpsc::channel();
    world.proxy.at(Moment::AfterCommit, "notes", move || waits.recv().unwrap());
    let mut client = world.client();
    let inserting = thread::spawn(move || insert(&mut client, "notes").map(|()| client));
    while world.notes() == "0" {
        thread::yield_now();
    }
    assert!(!inserting.is_finished());
    go_on.send(Then::Pass).unwrap();
    world.proxy.wait_until_sprung(1, PATIENCE);
    insert(&mut inserting.join().unwrap().unwrap(), "notes").unwrap();
    assert_eq!(world.notes(), "2");
}

#[test]
fn all_connections_can_be_cut_and_new_ones_refused() {
    let world = World::new();
    let mut clients = [world.client(), world.client()];
    world.proxy.refuse(true);
    assert!(Client::connect(world.proxy.port()).is_err());
    assert_eq!(world.proxy.cut_all(), 2);
    for client in &mut clients {
        client.query("SELECT 1").unwrap_err();
    }
    world.proxy.refuse(false);
    let mut client = world.client();
    client.query("SELECT 1").unwrap();
    assert_eq!(world.proxy.cut_all(), 1);
}

#[test]
fn a_frozen_network_loses_nothing() {
    let world = World::new();
    let mut client = world.client();
    world.proxy.freeze(true);
    let inserting = thread::spawn(move || insert(&mut client, "notes"));
    assert_eq!(world.notes(), "0");
    assert!(!inserting.is_finished());
    world.proxy.freeze(false);
    inserting.join().unwrap().unwrap();
    assert_eq!(world.notes(), "1");
}
