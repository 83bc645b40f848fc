//! A log and a store that live in memory: for tests, and for state that may die with the process.

mod lease;
mod log;
mod outbox;
mod rows;
mod store;

pub use log::MemoryLog;
pub use store::MemoryStore;
