//! [`Bank`]: a supervisor's view of a server of the test's own, and another that no fault reaches.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use diesel::{connection::SimpleConnection as _, pg::PgConnection, prelude::*, sql_types::BigInt};
use rederive::{
    Await, Handle,
    diesel::{PostgresDatabase, PostgresOptions},
};
use test_postgres::{Cluster, Proxy};

use super::load::{Load, Told};
use crate::fixture::{
    PATIENCE, World,
    bank::{Event, Recorded, fold},
    notices::halted,
    postgres, status, until,
};

const DATABASE: &str = "bank";

/// How many accounts there are.
pub(super) const ACCOUNT_COUNT: usize = 8;

/// A world whose log and store are on a server that this test alone uses, by way of a proxy.
pub(super) struct Bank {
    pub(super) world: World,
    /// Beside the proxy.
    direct: World,
    pub(super) proxy: Proxy,
    cluster: Arc<Mutex<Cluster>>,
    url: String,
}

impl Bank {
    pub(super) fn new() -> Self {
        Self::with(&[], PostgresOptions::default())
    }

    /// With these settings of the server and of the supervisor's connections.
    pub(super) fn with(settings: &[(&str, &str)], options: PostgresOptions) -> Self {
        let cluster = Cluster::start_with(settings).expect("a server");
        let sql = format!("CREATE DATABASE {DATABASE}");
        postgres::execute(&cluster.url("postgres"), &sql).expect("a database");
        let proxy = Proxy::to(cluster.port()).expect("a port");
        let url = cluster.url(DATABASE);
        let connect = |url: &str, options| {
            PostgresDatabase::connect_with(url, options).expect("it can be connected to")
        };
        // Few connections, so that they fit where those of the server are short.
        let direct = connect(&url, PostgresOptions::default().connections(1));
        postgres::execute(&url, &postgres::tables()).expect("tables");
        let (log, store) = postgres::on(&direct, ());
        let direct = World::new(log, store);
        let (log, store) = postgres::on(&connect(&proxy.url(DATABASE), options), ());
        let world = World::new(log, store).with(|config| {
            config.poll_interval = Duration::from_millis(20);
            config.watermark_interval = Duration::from_millis(20);
            config.max_backoff = Duration::from_millis(50);
        });
        direct.append((0..ACCOUNT_COUNT).map(|id| Event::opened(&id.to_string())));
        Self { world, direct, proxy, cluster: Arc::new(Mutex::new(cluster)), url }
    }

    /// A supervisor that has caught up with the opening of the accounts.
    pub(super) async fn start(&self) -> Handle {
        let handle = self.world.start().await;
        handle.wait(Await::caught_up("accounts")).await.expect("caught up");
        handle
    }

    /// Appends by a connection that no fault of the proxy reaches.
    pub(super) fn append(&self, events: impl IntoIterator<Item = Event>) -> Vec<Recorded> {
        self.direct.append(events)
    }

    /// Those who append from now on, each of them by the proxy and connections of its own.
    pub(super) fn load(&self, writers: usize) -> Load {
        Load::start(&self.proxy.url(DATABASE), writers)
    }

    /// Does something to the server, while the supervisor goes on.
    pub(super) async fn server<T: Send + 'static>(
        &self,
        what: impl FnOnce(&mut Cluster) -> T + Send + 'static,
    ) -> T {
        let cluster = Arc::clone(&self.cluster);
        let done = tokio::task::spawn_blocking(move || {
            what(&mut cluster.lock().unwrap_or_else(PoisonError::into_inner))
        });
        done.await.expect("no panic")
    }

    /// A connection for whatever a test wants to do on the server.
    pub(super) fn connect(&self) -> Sql {
        self.try_connect().expect("it can be connected to")
    }

    /// The same; none when there is none free.
    pub(super) fn try_connect(&self) -> Option<Sql> {
        PgConnection::establish(&self.url).ok().map(Sql)
    }

    /// Waits until the reducer knows that the store or the log is away.
    pub(super) async fn told(&self, handle: &Handle) {
        until(handle, "accounts", |status| {
            status.store_delay.is_some() || status.log_delay.is_some()
        })
        .await;
    }

    /// Waits until the store has been tried in vain so often, and returns what the status says.
    pub(super) async fn delayed(&self, handle: &Handle, attempts: u32) -> String {
        let begun = Instant::now();
        loop {
            let told = status(handle).await;
            match told.store_delay {
                Some(delay) if delay.attempts >= attempts => return delay.error,
                _ => assert!(begun.elapsed() < PATIENCE, "not delayed: {told:?}"),
            }
            actix_rt::task::yield_now().await;
        }
    }

    /// Waits until everything has taken effect, and checks that it has done so once; then stops.
    pub(super) async fn check(&self, handle: Handle) {
        handle.wait(Await::caught_up("accounts")).await.expect("caught up, with nothing halted");
        let told = status(&handle).await;
        assert_eq!((told.store_delay, told.log_delay, told.halted_partitions), (None, None, 0));
        self.check_rows();
        handle.stop().await;
        self.check_rows();
        assert_eq!(self.world.probe.count(halted), 0);
    }

    /// The same, after what those who appended were told is true as well.
    pub(super) async fn check_told(&self, handle: Handle, told: &[Told]) {
        let events = self.direct.events();
        told.iter().for_each(|told| told.check(&events));
        self.check(handle).await;
    }

    fn check_rows(&self) {
        let expected = fold(&self.direct.events());
        assert!(expected.halts.is_empty(), "a test appends what can be applied");
        assert_eq!(self.direct.rows(), expected.rows);
        assert_eq!(self.direct.halts(), expected.halts);
    }
}

/// A connection of somebody who is not us.
pub(super) struct Sql(PgConnection);

impl Sql {
    pub(super) fn execute(&mut self, sql: &str) {
        self.try_execute(sql).unwrap_or_else(|why| panic!("{why}: {sql}"));
    }

    pub(super) fn try_execute(&mut self, sql: &str) -> Result<(), String> {
        self.0.batch_execute(sql).map_err(|why| why.to_string())
    }

    /// The single number that a query gives.
    pub(super) fn number(&mut self, sql: &str) -> i64 {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = BigInt)]
            number: i64,
        }
        let sql = format!("SELECT ({sql})::bigint AS number");
        diesel::sql_query(sql).get_result::<Row>(&mut self.0).expect("it can be asked").number
    }

    /// Waits until it is so.
    pub(super) async fn until(&mut self, condition: &str) {
        let begun = Instant::now();
        while self.number(&format!("SELECT count(*) WHERE {condition}")) == 0 {
            assert!(begun.elapsed() < PATIENCE, "it never was: {condition}");
            actix_rt::task::yield_now().await;
        }
    }

    /// Waits until somebody else waits for a lock that this connection has.
    pub(super) async fn until_somebody_waits(&mut self) {
        let waits = "EXISTS (SELECT FROM pg_stat_activity
            WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid)))";
        self.until(waits).await;
    }
}
