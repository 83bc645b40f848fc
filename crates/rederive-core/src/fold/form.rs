//! [`StateForm`]: how the states of a fold are stored.

use std::sync::Arc;

use crate::{Cursor, Op, OwnedTable, PartitionId, ReduceError, StoredRow, Value};

/// How the states of a fold are stored and read.
///
/// A state is stored by an op, in the same transaction as the progress of its partition.
pub trait StateForm<S>: Send + Sync + 'static {
    /// Whether states are [found](Self::find) in rows, and so have to be loaded.
    fn is_loaded(&self) -> bool {
        true
    }

    /// Whether the fold is asked for [effects](super::Fold::effects): they are written beside the
    /// states, so both must last as long.
    fn keeps_effects(&self) -> bool {
        true
    }

    /// The tables that hold the states: emptied by a rebuild. Those of Rederive's own are not named.
    fn tables(&self) -> Vec<OwnedTable> {
        Vec::new()
    }

    /// Where the state of a partition is.
    ///
    /// # Errors
    /// When a partition of that id can have none. It halts at its first event.
    fn find(&self, partition: &PartitionId) -> Result<FoundState<S>, ReduceError>;

    /// The state in a row that was found, and, if the row says so, the cursor of the last event
    /// folded into it.
    ///
    /// # Errors
    /// When the row holds no state. The partition halts, and others go on.
    fn read(&self, row: Vec<Value>) -> Result<(S, Option<Cursor>), ReduceError>;

    /// The op that stores the state after the event at this cursor, or removes it.
    ///
    /// # Errors
    /// When the state cannot be stored. The event that led to it halts the partition.
    fn store(
        &self,
        partition: &PartitionId,
        cursor: &Cursor,
        state: Option<&Arc<S>>,
    ) -> Result<Op, ReduceError>;
}

/// Where the state of a partition is.
#[derive(Debug)]
pub enum FoundState<S> {
    /// In this row, if there is one.
    Row(StoredRow),
    /// Here; `None` when the partition has none.
    Here(Option<Arc<S>>),
}
