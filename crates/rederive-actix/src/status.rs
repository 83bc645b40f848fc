//! [`ReducerStatus`]: how a reducer is doing.

use actix::Message;
use rederive_core::{Blocked, Cursor};

pub use crate::health::Delay;

/// How a reducer is doing at the moment.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ReducerStatus {
    /// Its name.
    pub reducer: String,
    /// The version of its code.
    pub version: u32,
    /// What it is doing.
    pub activity: Activity,
    /// Every event up to here was handed to its partitions.
    pub position: Cursor,
    /// Every event up to here is settled: committed, ignored, or held by a halted partition.
    pub watermark: Cursor,
    /// How many deliveries (one per event and partition) are not settled.
    pub in_flight: usize,
    /// How many partitions have an actor.
    pub active_partitions: usize,
    /// How many partitions are halted.
    pub halted_partitions: usize,
    /// How many partitions wait to try an event again that failed.
    pub retrying_partitions: usize,
    /// The store cannot commit at the moment and is tried again.
    pub store_delay: Option<Delay>,
    /// The log cannot be read at the moment and is tried again.
    pub log_delay: Option<Delay>,
}

/// What a reducer is doing.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Activity {
    /// It waits for the store to tell where to resume.
    Opening,
    /// It has events to settle.
    CatchingUp,
    /// It has settled all that the log held.
    CaughtUp,
    /// It is paused and reads nothing on.
    Paused,
    /// It stands before an event that it cannot pass.
    Blocked(Blocked),
    /// Another owner has taken it over.
    Fenced,
    /// It finishes what it has begun.
    Stopping,
}

/// supervisor → dispatcher: how are you doing?
pub(crate) struct Report;

impl Message for Report {
    type Result = ReducerStatus;
}
