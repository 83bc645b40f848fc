//! Integration tests.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

mod catching_up;
mod dying;
mod fixture;
mod halting;
mod layers;
mod waiting;
