//! A throwaway cluster is a real server while it runs, and leaves nothing behind.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod client;
mod cluster;
mod proxy;
