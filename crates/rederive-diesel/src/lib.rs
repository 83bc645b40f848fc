//! Rederive on Diesel: an event log and a store in one database, SQLite or PostgreSQL.
//!
//! [`SqliteDatabase`] opens a file. [`SqliteDatabase::event_log`] gives a log to append to and to follow, and a
//! [`QueryLog`] follows a table of your own. [`SqliteDatabase::store`] keeps derived state and progress, and
//! [`DieselOps`] lets reducers write ops against the tables that Diesel's `table!` knows. Reading is up
//! to your own Diesel queries, through [`SqliteDatabase::read`]. `PostgresDatabase` does the same with a
//! server, when the feature `postgres` is on (or `postgres-tls`, for connections by TLS).
//!
//! An op is checked against the table by the compiler, carried as data, planned together with the
//! ops of many other partitions (`plan`) and executed in few statements (`sqlite`, `postgres`).

#[cfg(not(any(feature = "sqlite", feature = "postgres")))]
compile_error!(
    "rederive-diesel needs a database: turn on its feature `sqlite`, `postgres` or both"
);

mod append;
mod codec;
mod compute;
mod error;
mod expected;
mod explanation;
mod failed;
mod plan;
mod read;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "sqlite")]
mod schema;
#[cfg(feature = "sqlite")]
pub mod sqlite;
pub mod typed;

pub use codec::{StoredEvent, UpcastError, Upcasts};
pub use error::AppendError;
pub use expected::Expected;
pub use explanation::{SqlExplanation, SqlStatement};
#[cfg(feature = "postgres")]
pub use postgres::{
    OrderedBy, Placed, PostgresDatabase, PostgresError, PostgresEventLog, PostgresOps,
    PostgresOptions, PostgresQueryLog, PostgresStore, QueryLogError, TableOrder, Xid8,
    placed_after,
};
#[cfg(feature = "sqlite")]
pub use sqlite::{
    QueryLog, SqliteDatabase, SqliteError, SqliteEventLog, SqliteOps, SqliteOptions, SqliteStore,
    Synchronous,
};
pub use typed::{ColumnType, DieselOps, TableRow, TableState, TypedRows, owned};
