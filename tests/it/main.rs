//! Integration tests.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

mod fixture;
mod layers;
mod waiting;
