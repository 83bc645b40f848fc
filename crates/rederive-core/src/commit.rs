//! [`PartitionCommit`] and [`Group`]: what is to be brought into a store.

use std::sync::Arc;

use crate::{
    Cursor, Halt, Op, PartitionId, Skip, Tentative,
    reduce::{Step, Steps},
    store::Revision,
};

/// The ops of one partition and the cursor that belongs to them.
#[derive(Clone, Debug)]
pub struct PartitionCommit {
    /// The partition.
    pub partition: PartitionId,
    /// The ops of all steps, in order.
    pub ops: Vec<Op>,
    /// One step per event, or a single one of a fold; empty when only a halt is recorded.
    pub steps: Steps,
    /// Where the partition stands afterwards: the last step's cursor if there is one.
    pub cursor: Cursor,
    /// Set when the partition halts after these steps, or is halted and being repaired.
    pub halt: Option<Halt>,
    /// Set when the event of the last step is skipped; it has no ops.
    pub skip: Option<Arc<Skip>>,
    /// Whether this is part of repairing a halted partition.
    pub repair: Repair,
}

impl PartitionCommit {
    /// How many events it commits.
    pub fn events(&self) -> usize {
        if self.repair == Repair::Reset {
            // Its one step stands for the reset itself.
            return 0;
        }
        self.steps.iter().map(Step::events).sum()
    }
}

/// How a commit relates to the repair of a halted partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Repair {
    /// It does not.
    #[default]
    None,
    /// The partition is catching up with the events that were held. It is still recorded as halted:
    /// the low watermark has passed those events and does not describe it.
    Going,
    /// The partition has caught up: it is recorded as halted no more.
    Done,
    /// The partition is to be built anew: its rows are deleted, and it is recorded as halted at the
    /// start of the log, to be repaired from there. It has one step, at the start, which is what a
    /// store rejects if it rejects this.
    Reset,
}

/// Commits of one reducer that may share a transaction, and how far they bring its low watermark.
#[derive(Clone, Debug)]
pub struct Group {
    /// The reducer.
    pub reducer: Arc<str>,
    /// The revision that the reducer is believed to have.
    pub revision: Revision,
    /// The low watermark that is stored now.
    pub stored: Cursor,
    /// The low watermark once every commit of the group is in the store.
    pub watermark: Cursor,
    /// The commits, each of a partition of its own.
    pub commits: Vec<PartitionCommit>,
    /// The events without a known partition that are skipped, at or below `watermark`: they are
    /// recorded in the transaction that stores it.
    pub skips: Vec<Arc<Skip>>,
    /// Set when events of it, or before them, may not be in the log yet: it is committed with them or
    /// after them.
    pub tentative: Option<Tentative>,
}
