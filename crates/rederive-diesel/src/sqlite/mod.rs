//! Everything that knows SQLite: opening a file, executing plans, the event log and the store.

mod error;
mod fault;
mod options;
mod target;
mod ddl;
mod connections;
mod joint;
mod database;
mod jsonb;
mod rows;
mod custom;
mod statement;
mod transaction;
mod introspect;
mod lease;
mod owned;
mod execute;
mod explain;
mod foreign_keys;
mod outbox;
mod progress;
mod states;
mod silence;
mod skips;
mod store;
mod event_writer;
mod read;
mod event_log;
mod query_log;

pub use custom::SqliteOps;
pub use database::SqliteDatabase;
pub use error::SqliteError;
pub use event_log::SqliteEventLog;
pub use options::{SqliteOptions, Synchronous};
pub use query_log::QueryLog;
pub use store::SqliteStore;
