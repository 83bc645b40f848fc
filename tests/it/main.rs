//! Integration tests.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

mod blocking;
mod catching_up;
mod chaos;
mod crash;
mod delivering;
mod documents;
mod dying;
mod failing;
mod event_types;
mod faults;
mod fencing;
mod fixture;
mod folding;
mod git_history;
mod halting;
mod holes;
mod isolation;
mod killing;
mod layers;
mod living;
mod mailing;
mod notifying;
mod observing;
mod operating;
mod passivation;
mod querying;
mod reading;
mod rebuilding;
mod rebuilding_partitions;
mod repairing;
mod resuming;
mod serving;
mod settings;
mod sharing;
mod stopping;
mod supervised;
mod undecodable;
mod undecodable_skips;
mod viewing;
mod waiting;
mod waiting_elsewhere;
mod waiting_together;
mod watching;
