//! [`RebuildPartition`]: building what is derived for one partition anew.

use actix::{Handler, Message, ResponseFuture};
use rederive_core::PartitionId;
use tokio::sync::oneshot;

use crate::{message, repair::RepairError, supervisor::Supervisor};

/// Builds what a reducer derives for one partition anew, while all others go on: for rows that were
/// spoiled, or an error in the reducer that touched few.
///
/// In one transaction the partition's rows, its state and its skips are deleted and it is recorded as
/// halted at the start of the log. From there it is repaired as by a [`Retry`](crate::Retry): the whole
/// log is read again for it, beside the reading of what is new. The answer comes when it is halted no
/// more. A rebuild that a stop or a crash interrupts after that transaction goes on after the next
/// start. Dropping the request stops the waiting, not the rebuild.
///
/// Whether the partition is halted, or was ever seen, does not matter. Which rows are its own must be
/// known: of each table that the reducer declares, by
/// [`OwnedTable::partitioned_by`](rederive_core::OwnedTable::partitioned_by). Whoever waits for an event
/// of the partition meanwhile is told that it is halted. Effects that were emitted are not emitted
/// again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RebuildPartition {
    /// The reducer.
    pub reducer: String,
    /// The partition.
    pub partition: PartitionId,
}

impl Message for RebuildPartition {
    type Result = Result<(), RepairError>;
}

impl Handler<RebuildPartition> for Supervisor {
    type Result = ResponseFuture<Result<(), RepairError>>;

    fn handle(&mut self, rebuild: RebuildPartition, _: &mut Self::Context) -> Self::Result {
        let RebuildPartition { reducer, partition } = rebuild;
        let dispatcher = self.dispatcher_of(&reducer);
        Box::pin(async move {
            let dispatcher = match dispatcher {
                None => return Err(RepairError::UnknownReducer { name: reducer }),
                Some(None) => return Err(RepairError::Interrupted),
                Some(Some(lines)) => lines.rebuild_partition,
            };
            let (reply, rebuilt) = oneshot::channel();
            dispatcher.do_send(message::RebuildPartition { partition, reply });
            rebuilt.await.unwrap_or(Err(RepairError::Interrupted))
        })
    }
}
