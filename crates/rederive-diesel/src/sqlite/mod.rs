//! Everything that knows SQLite: opening a file, executing plans, the event log and the store.

mod fault;
mod options;
mod target;
mod ddl;
mod connections;
mod database;
mod rows;
mod statement;
pub(crate) mod transaction;
mod introspect;
mod lease;
mod owned;
mod execute;
pub mod explain;
mod foreign_keys;
mod outbox;
mod progress;
mod states;
mod silence;
mod skips;
mod store;
mod appender;
mod blocking;
mod read;
pub mod append;
mod append_once;
mod event_log;
mod query_log;

pub use database::SqliteDatabase;
pub use event_log::SqliteEventLog;
pub use options::{SqliteOptions, Synchronous};
pub use query_log::QueryLog;
pub use store::SqliteStore;
