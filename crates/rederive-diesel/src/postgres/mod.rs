//! Everything that knows PostgreSQL: connecting to a server, executing plans, the event log and the
//! store.

mod error;
mod fault;
mod options;
mod target;
mod text;
mod sql;
mod ddl;
mod connector;
mod line;
mod connections;
mod pool;
mod pooler;
mod database;
mod custom;
mod ids;
mod lease;
mod lengths;
mod progress;
mod advance;
mod at_once;
mod table_state;
mod tables;
mod values;
mod statement;
mod transaction;
mod introspect;
mod execute;
mod silence;
mod skips;
mod states;
mod outbox;
mod owned;
mod opening;
mod writer;
mod store;
mod explain;
mod event_log;
mod query_log;

pub use custom::PostgresOps;
pub use database::PostgresDatabase;
pub use error::PostgresError;
pub use event_log::PostgresEventLog;
pub use options::PostgresOptions;
pub use query_log::{
    OrderedBy, Placed, PostgresQueryLog, QueryLogError, TableOrder, Xid8, placed_after,
};
pub use store::PostgresStore;
