//! Rederive on Diesel: an event log and a store in one SQLite database.
//!
//! [`SqliteDatabase`] opens the file. [`SqliteDatabase::event_log`] gives a log to append to and to follow, and a
//! [`QueryLog`] follows a table of your own. [`SqliteDatabase::store`] keeps derived state and progress, and
//! [`DieselOps`] lets reducers write ops against the tables that Diesel's `table!` knows. Reading is up
//! to your own Diesel queries, through [`SqliteDatabase::read`].
//!
//! An op is checked against the table by the compiler, carried as data, planned together with the
//! ops of many other partitions (`plan`) and executed in few statements (`sqlite`).

pub mod error;
pub mod sqlite;
pub mod typed;
mod codec;
mod plan;
mod schema;

pub use codec::{StoredEvent, UpcastError, Upcasts};
pub use error::{AppendError, SqliteError};
pub use sqlite::{
    QueryLog, SqliteDatabase, SqliteEventLog, SqliteOptions, SqliteStore, Synchronous,
    append::Expected,
    explain::{SqlExplanation, SqlStatement},
};
pub use typed::{ColumnType, DieselOps, TableRow, TableState, TypedRows, owned};
