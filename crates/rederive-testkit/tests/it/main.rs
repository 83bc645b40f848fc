//! The suites of the testkit over what core brings, and core as a whole under random faults.

#![allow(clippy::expect_used, reason = "a broken assumption of a test is a failed test")]

mod broken_log;
mod conformance;
mod simulation;
