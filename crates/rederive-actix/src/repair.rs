//! [`Retry`], [`RetryAll`] and [`SkipEvent`]: repairing halted partitions.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::Poll,
};

use actix::{Handler, Message, Recipient, ResponseFuture};
use rederive_core::{Cursor, FailureKind, Halt, PartitionId, Undecodable};
use tokio::sync::oneshot;

use crate::{
    listing::{ListError, ListHalted},
    message::RepairPartition,
    supervisor::Supervisor,
};

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
    type Result = Result<(), RepairError>;
}

/// Has a halted partition pass by the event that halted it, records that, and goes on as [`Retry`]
/// does.
///
/// The event is named, so that nobody skips another than the one they looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkipEvent {
    /// The reducer.
    pub reducer: String,
    /// The partition.
    pub partition: PartitionId,
    /// The event that halted it.
    pub cursor: Cursor,
}

impl Message for SkipEvent {
    type Result = Result<(), RepairError>;
}

/// Does what [`Retry`] does with every halted partition of a reducer, a few at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryAll {
    /// The reducer.
    pub reducer: String,
    /// Only those that are halted by a failure of this kind.
    pub kind: Option<FailureKind>,
}

impl Message for RetryAll {
    type Result = Result<RetriedAll, ListError>;
}

/// What [`RetryAll`] did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RetriedAll {
    /// How many partitions are halted no more.
    pub recovered: usize,
    /// Those that were not repaired, and why.
    pub failed: Vec<(PartitionId, RepairError)>,
}

/// A halted partition was not repaired.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RepairError {
    /// No reducer of that name is registered. Nothing was done; correct the name.
    #[error("no reducer {name:?} is registered")]
    UnknownReducer {
        /// The name.
        name: String,
    },
    /// The partition is not halted: there is nothing to repair.
    #[error("the partition is not halted")]
    NotHalted,
    /// The partition is halted at another event than the one to be skipped. Nothing was done; look
    /// at that one.
    #[error("the partition is halted elsewhere: {0}")]
    Elsewhere(Arc<Halt>),
    /// A repair or rebuild of the partition is under way, so there is no event to be skipped now, and
    /// it cannot be rebuilt. Nothing was done; look again when it has ended.
    #[error("a repair or rebuild of the partition is under way")]
    UnderWay,
    /// The partition is halted again, at the same event or a later one; the events before it are
    /// committed. Correct the cause and try again.
    #[error("the partition is halted again: {0}")]
    Halted(Arc<Halt>),
    /// An event that was held cannot be read any more. The events before it are committed. Correct
    /// what is stored and try again.
    #[error("the partition cannot be repaired: {0}")]
    Undecodable(Undecodable),
    /// The reducer declares no tables and is no fold, so that nothing would be deleted. Nothing was
    /// done; declare the tables.
    #[error(
        "the reducer declares no tables, so no partition of it can be rebuilt; declare them in `Reducer::tables`"
    )]
    NoTables,
    /// It is not known which rows of this table are the partition's. Nothing was done; declare the
    /// column that tells, with `OwnedTable::partitioned_by`, or rebuild the reducer as a whole.
    #[error(
        "which rows of table {table:?} are the partition's is not known; declare it with `partitioned_by`, or rebuild the reducer as a whole"
    )]
    RowsUnknown {
        /// The table.
        table: String,
    },
    /// The reducer is being rebuilt as a whole, this partition included. Nothing was done.
    #[error("the reducer is being rebuilt as a whole")]
    Rebuilding,
    /// The store refused to delete the partition's rows, as when others refer to them. Nothing was
    /// done, and the partition goes on as before.
    #[error("the partition cannot be rebuilt: {message}")]
    Refused {
        /// What the store said.
        message: String,
    },
    /// Another process owns the reducer, and this one stands by. Nothing was done; ask that one.
    #[error("the reducer is owned by {owner:?}, and this process stands by: ask that one")]
    StandingBy {
        /// The name of the owner.
        owner: String,
    },
    /// The reducer stopped, was taken over or died meanwhile. How far the repair came is stored;
    /// try again. A rebuild that has begun goes on by itself.
    #[error("the repair was interrupted")]
    Interrupted,
}

/// How many partitions a [`RetryAll`] repairs at once: each has its own reads of the log.
const AT_ONCE: usize = 8;

/// How many halted partitions it lists at once.
const PAGE: usize = 100;

impl Supervisor {
    fn repair(
        &self,
        reducer: String,
        partition: PartitionId,
        skip: Option<Cursor>,
    ) -> ResponseFuture<Result<(), RepairError>> {
        let dispatcher = self.dispatcher_of(&reducer).map(|lines| lines.map(|it| it.repair));
        Box::pin(async move {
            match dispatcher {
                None => Err(RepairError::UnknownReducer { name: reducer }),
                // It has died and is being replaced.
                Some(None) => Err(RepairError::Interrupted),
                Some(Some(dispatcher)) => ask(&dispatcher, partition, skip).await,
            }
        })
    }
}

async fn ask(
    dispatcher: &Recipient<RepairPartition>,
    partition: PartitionId,
    skip: Option<Cursor>,
) -> Result<(), RepairError> {
    let (reply, repaired) = oneshot::channel();
    dispatcher.do_send(RepairPartition { partition, skip, reply });
    repaired.await.unwrap_or(Err(RepairError::Interrupted))
}

impl Handler<Retry> for Supervisor {
    type Result = ResponseFuture<Result<(), RepairError>>;

    fn handle(&mut self, retry: Retry, _: &mut Self::Context) -> Self::Result {
        let Retry { reducer, partition } = retry;
        self.repair(reducer, partition, None)
    }
}

impl Handler<SkipEvent> for Supervisor {
    type Result = ResponseFuture<Result<(), RepairError>>;

    fn handle(&mut self, skip: SkipEvent, _: &mut Self::Context) -> Self::Result {
        let SkipEvent { reducer, partition, cursor } = skip;
        self.repair(reducer, partition, Some(cursor))
    }
}

impl Handler<RetryAll> for Supervisor {
    type Result = ResponseFuture<Result<RetriedAll, ListError>>;

    fn handle(&mut self, request: RetryAll, ctx: &mut Self::Context) -> Self::Result {
        let RetryAll { reducer, kind } = request;
        let lines = self.dispatcher_of(&reducer);
        let owner = self.owner_waited_for(&reducer);
        let me = actix::AsyncContext::address(ctx);
        Box::pin(async move {
            if let Some(owner) = owner {
                return Err(ListError::StandingBy { owner });
            }
            let dispatcher = match lines {
                None => return Err(ListError::UnknownReducer { name: reducer }),
                Some(None) => return Err(ListError::Interrupted),
                Some(Some(lines)) => lines.repair,
            };
            let mut done = RetriedAll::default();
            let mut after = None;
            loop {
                let page = ListHalted { reducer: reducer.clone(), after, limit: PAGE };
                let page = me.send(page).await.unwrap_or(Err(ListError::Interrupted))?;
                let Some(last) = page.last() else { return Ok(done) };
                after = Some(last.partition.clone());
                let of_kind = page.into_iter().filter(|record| {
                    record.halt.as_ref().is_some_and(|halt| kind.is_none_or(|it| it == halt.kind))
                });
                let partitions: Vec<_> = of_kind.map(|record| record.partition).collect();
                for partitions in partitions.chunks(AT_ONCE) {
                    repair_together(&dispatcher, partitions, &mut done).await;
                }
            }
        })
    }
}

/// Repairs these partitions side by side.
async fn repair_together(
    dispatcher: &Recipient<RepairPartition>,
    partitions: &[PartitionId],
    done: &mut RetriedAll,
) {
    let mut repairs: Vec<_> = partitions
        .iter()
        .map(|partition| (partition, Some(Box::pin(ask(dispatcher, partition.clone(), None)))))
        .collect();
    poll_fn(|cx| {
        let mut open = false;
        for (partition, repair) in &mut repairs {
            let Some(future) = repair else { continue };
            match Pin::new(future).poll(cx) {
                Poll::Pending => open = true,
                Poll::Ready(result) => {
                    *repair = None;
                    match result {
                        Ok(()) => done.recovered += 1,
                        // Somebody else has repaired it.
                        Err(RepairError::NotHalted) => {}
                        Err(error) => done.failed.push((partition.clone(), error)),
                    }
                }
            }
        }
        if open { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
}
