//! Everything that knows PostgreSQL: connecting to a server, executing plans, the event log and the
//! store.

mod error;
mod fault;
mod options;
mod target;
mod text;
mod sql;
mod ddl;
mod connections;
mod database;
mod custom;

pub use custom::PostgresOps;
pub use database::PostgresDatabase;
pub use error::PostgresError;
pub use options::PostgresOptions;
