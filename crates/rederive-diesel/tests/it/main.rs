//! The event logs and the stores on real files of SQLite and on a PostgreSQL server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::type_complexity)]

mod postgres;
mod support;
mod column_types;
mod postgres_types;
mod conformance;
mod folding;
mod owned;
mod planning;
mod store;
mod typed_ops;
mod explain;
mod typed_rows;
mod values;
mod at_hand;
mod event_log;
mod query_log;
mod event_types;
mod upcasts;
mod database;
mod faults;
mod joining;
