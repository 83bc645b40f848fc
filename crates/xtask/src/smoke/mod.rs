//! Smoke runs: the examples, started as programs and used as a user would use them.

pub(crate) mod bank;
pub(crate) mod bench;
pub(crate) mod examples;
pub(crate) mod git_history;
mod http;
pub(crate) mod ledger;
mod scratch;
mod server;
