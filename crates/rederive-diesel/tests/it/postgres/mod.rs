//! The same on a PostgreSQL server, each test in a database of its own.

pub(crate) mod scratch;
mod at_once;
mod conformance;
mod event_log;
mod gaps;
mod held_back;
mod in_doubt;
mod lengths;
mod notifying;
mod query_log;
mod store;
mod transactions;
mod waiting;
