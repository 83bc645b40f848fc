//! [`Retry`]: repairing a halted partition.

use std::sync::Arc;

use actix::Message;
use rederive_core::{Halt, PartitionId, Undecodable};

/// Tries a halted partition again: the event that halted it and, if that succeeds, all events that
/// were held since, read from the log again, in order. Then the partition is halted no more.
///
/// Ask for it once the cause is corrected, which in most cases means after a start with corrected
/// code. Other partitions go on meanwhile, and new events of this one are held until it has caught
/// up. A repair that was interrupted by a stop or a crash goes on after the next start by itself, if
/// it had passed the event that halted the partition; else the partition is halted as before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The reducer.
    pub reducer: String,
    /// The partition.
    pub partition: PartitionId,
}

impl Message for Retry {
    type Result = Result<(), RetryError>;
}

/// A halted partition was not repaired.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RetryError {
    /// No reducer of that name is registered. Nothing was done; correct the name.
    #[error("no reducer {name:?} is registered")]
    UnknownReducer {
        /// The name.
        name: String,
    },
    /// The partition is not halted: there is nothing to repair.
    #[error("the partition is not halted")]
    NotHalted,
    /// The partition is halted again, at the same event or a later one; the events before it are
    /// committed. Correct the cause and try again.
    #[error("the partition is halted again: {0}")]
    Halted(Arc<Halt>),
    /// An event that was held cannot be read any more. The events before it are committed. Correct
    /// what is stored and try again.
    #[error("the partition cannot be repaired: {0}")]
    Undecodable(Undecodable),
    /// The reducer stopped, was taken over or died meanwhile. How far the repair came is stored;
    /// try again.
    #[error("the repair was interrupted")]
    Interrupted,
}
