//! A throwaway PostgreSQL cluster, and where tests find a server.
//!
//! - [`Database`] is for a test that shares a server: a database of its own on the one of `cargo xtask`,
//!   which [`server_url`] names.
//! - [`Cluster`] is for a test that stops, kills or fills its server: one of its own.
//! - [`Pgbouncer`] is a pooler before such a cluster.
//! - [`Proxy`] stands between a test and its server, and cuts connections at the worst moments.
//!
//! ```no_run
//! # use test_postgres::{Cluster, Database, Moment, Proxy};
//! # fn example(execute: test_postgres::Execute) -> Result<(), Box<dyn std::error::Error>> {
//! // `execute` is the client's part: it connects to a URL and runs a statement.
//! let database = Database::create(execute);
//! database.execute("CREATE TABLE accounts (id text PRIMARY KEY)");
//!
//! let mut cluster = Cluster::start()?;
//! let proxy = Proxy::to(cluster.port())?;
//! proxy.cut_at(Moment::AfterCommit, "INSERT INTO accounts");
//! // Whoever inserts by way of `proxy.url("postgres")` does not hear that it was committed.
//! cluster.kill()?;
//! cluster.start_again()?;
//! # Ok(()) }
//! ```
//!
//! A cluster lives in a temporary folder and listens on 127.0.0.1 only. It ends with the process that
//! started it, however that ends: a process beside it, the keeper, sees to it. Nothing here needs an async
//! runtime, a database client, or anything beyond the standard library and the shell of a Unix system.
//!
//! Errors are sentences for whoever reads the terminal.

mod account;
mod cluster;
mod database;
mod folder;
mod keeper;
mod pgbouncer;
mod port;
mod programs;
mod proxy;
mod server;
mod signal;

pub use cluster::Cluster;
pub use database::{Database, Execute};
pub use pgbouncer::Pgbouncer;
pub use programs::Programs;
pub use proxy::{Moment, Proxy, Then};

/// The environment variable that names the server for tests: a URL of a role that may create
/// databases, such as `postgres://postgres@127.0.0.1:5432/postgres`.
pub const URL_VARIABLE: &str = "REDERIVE_TEST_POSTGRES_URL";

/// The server that tests share.
///
/// # Panics
///
/// When there is none. A test that needs a server fails without one: skipped, it would look as if it
/// had passed.
#[must_use]
pub fn server_url() -> String {
    match std::env::var(URL_VARIABLE) {
        Ok(url) => url,
        Err(_) => panic!(
            "this test needs a PostgreSQL server: run it as `cargo xtask postgres -- cargo nextest \
             run …`, which starts one for it, or name one of yours in {URL_VARIABLE}"
        ),
    }
}
