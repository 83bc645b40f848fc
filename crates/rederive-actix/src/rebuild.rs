//! [`Rebuild`]: building the derived state of a reducer anew.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use actix::{Handler, Message, ResponseFuture};
use rederive_core::{Blocked, Cursor, Halt, OpenError, PartitionId, StoredReducer};
use tokio::sync::oneshot;

use crate::{dispatcher::seen::Seen, message::StopRebuild, supervisor::Supervisor};

/// Builds the derived state of a reducer anew, while others go on: in one transaction its tables are
/// emptied, its progress is forgotten and it is marked as rebuilding; then it reads its log from the
/// start, in larger portions than usual ([`Config::rebuild`](crate::Config::rebuild)), and is live
/// with the transaction that reaches what was the log's end at the beginning.
///
/// The answer comes then. Dropping the request stops the waiting, not the rebuild. One that a stop
/// or a crash interrupts goes on after the next start. Readers of the derived state see it grow
/// meanwhile; an [`Await`](crate::Await) is told `Done` only once its event is really there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuild {
    /// The reducer.
    pub reducer: String,
}

impl Message for Rebuild {
    type Result = Result<RebuildReport, RebuildError>;
}

/// Stops a rebuild: nothing more is read, and what was read is committed. The reducer stays marked as
/// rebuilding and says [`Blocked::RebuildCancelled`]; it is rebuilt on after the next start, and from
/// the beginning by another [`Rebuild`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelRebuild {
    /// The reducer.
    pub reducer: String,
}

impl Message for CancelRebuild {
    type Result = Result<(), RebuildError>;
}

/// How a rebuild went.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RebuildReport {
    /// The reducer.
    pub reducer: String,
    /// How many events were read, those that concern no partition included; in this process, if the
    /// rebuild was begun by another.
    pub events: u64,
    /// Of how many partitions there were events; in this process, like `events`. They are counted in
    /// a fixed amount of memory: exactly as long as there are some thousands, and a few too low where
    /// there are very many.
    pub partitions: u64,
    /// How many events were skipped, once for each partition that did; in this process.
    pub skips: u64,
    /// How many partitions are halted.
    pub halted: usize,
    /// The first of them, in the order of their ids, at most [`RebuildReport::LISTED`].
    pub halts: Vec<(PartitionId, Arc<Halt>)>,
    /// How long it took, in this process.
    pub took: Duration,
}

impl RebuildReport {
    /// How many halted partitions are listed.
    pub const LISTED: usize = 100;

    /// Events per second.
    #[allow(clippy::cast_precision_loss, reason = "for people")]
    pub fn rate(&self) -> f64 {
        let seconds = self.took.as_secs_f64();
        if seconds > 0.0 { self.events as f64 / seconds } else { 0.0 }
    }
}

impl fmt::Display for RebuildReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reducer, events, partitions, skips, halted, took, .. } = self;
        write!(f, "reducer {reducer:?}: {events} events of {partitions} partitions")?;
        write!(f, " in {:.1} s, {:.0} per second", took.as_secs_f64(), self.rate())?;
        if *skips > 0 {
            write!(f, "; {skips} were skipped")?;
        }
        if *halted > 0 {
            write!(f, "; {halted} partitions are halted")?;
            for (partition, halt) in self.halts.iter().take(3) {
                write!(f, "; {partition}: {halt}")?;
            }
        }
        Ok(())
    }
}

/// A reducer was not rebuilt, or not as a whole.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// No reducer of that name is registered. Nothing was done; correct the name.
    #[error("no reducer {name:?} is registered")]
    UnknownReducer {
        /// The name.
        name: String,
    },
    /// It is being rebuilt already. Nothing was done.
    #[error("the reducer is being rebuilt already")]
    UnderWay,
    /// There is no rebuild to be cancelled.
    #[error("the reducer is not being rebuilt")]
    NotRebuilding,
    /// The store refused the rebuild. Nothing was done, and the reducer goes on as before, if it could
    /// be started at all.
    #[error(transparent)]
    Refused(#[from] OpenError),
    /// Everything was read, but some partitions are halted. The reducer is live all the same: correct
    /// the cause and try those partitions again.
    #[error("{0}")]
    Halted(RebuildReport),
    /// The reducer stands before an event that it cannot pass. It stays marked as rebuilding and goes
    /// on once it can.
    #[error("the rebuild cannot go on: {0}")]
    Blocked(Blocked),
    /// The rebuild was cancelled. The reducer stays marked as rebuilding.
    #[error("the rebuild was cancelled; it goes on after the next start, or is begun anew")]
    Cancelled,
    /// Another process owns the reducer, and this one stands by. Nothing was done; ask that one.
    #[error("the reducer is owned by {owner:?}, and this process stands by: ask that one")]
    StandingBy {
        /// The name of the owner.
        owner: String,
    },
    /// Another owner has taken the reducer over.
    #[error("another owner has taken the reducer over")]
    Fenced,
    /// The supervisor stopped. The rebuild goes on after the next start.
    #[error("the rebuild was interrupted; it goes on after the next start")]
    Interrupted,
}

/// Why the derived state of a reducer is not what its code would build, or not yet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildNeeded {
    /// The store knows nothing of the reducer: it builds its state when it is started.
    #[error("nothing is stored of it")]
    Nothing,
    /// It was built by another version.
    #[error("it was built by version {stored}, and the code is version {current}")]
    OtherVersion {
        /// The version that built it.
        stored: u32,
        /// The version of the code.
        current: u32,
    },
    /// A rebuild is not finished: it goes on when the reducer is started.
    #[error("a rebuild has not come to cursor {target} yet")]
    Unfinished {
        /// What it has to reach.
        target: Cursor,
    },
}

impl RebuildNeeded {
    pub(crate) fn of(current: u32, stored: Option<StoredReducer>) -> Option<Self> {
        match stored {
            None => Some(RebuildNeeded::Nothing),
            Some(StoredReducer { version, .. }) if version != current => {
                Some(RebuildNeeded::OtherVersion { stored: version, current })
            }
            Some(stored) => stored.rebuilding.map(|target| RebuildNeeded::Unfinished { target }),
        }
    }
}

type Reply = oneshot::Sender<Result<RebuildReport, RebuildError>>;

/// The rebuild of one reducer: whether one is wanted or under way, and who wants to know. Shared by
/// the dispatchers that succeed each other, so that it outlives one that dies.
#[derive(Clone, Default)]
pub(crate) struct Job(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// A reset is wanted and not stored yet.
    ordered: bool,
    begun: Option<Instant>,
    cancelled: bool,
    events: u64,
    seen: Seen,
    partitions: u64,
    skips: u64,
    replies: Vec<Reply>,
}

impl Job {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wants a rebuild from the beginning; false when one is under way.
    pub(crate) fn order(&self, reply: Option<Reply>) -> Result<(), RebuildError> {
        let mut state = self.lock();
        if state.begun.is_some() && !state.cancelled {
            return Err(RebuildError::UnderWay);
        }
        let begun = Some(Instant::now());
        *state = State {
            ordered: true,
            begun,
            replies: reply.into_iter().collect(),
            ..State::default()
        };
        Ok(())
    }

    /// Whether somebody waits for its end.
    pub(crate) fn is_awaited(&self) -> bool {
        !self.lock().replies.is_empty()
    }

    pub(crate) fn is_ordered(&self) -> bool {
        self.lock().ordered
    }

    /// The reset is stored: from now on the store knows of the rebuild.
    pub(crate) fn stored(&self) {
        self.lock().ordered = false;
    }

    /// Goes on with a rebuild that the store knows of.
    pub(crate) fn resume(&self) {
        self.lock().begun.get_or_insert_with(Instant::now);
    }

    pub(crate) fn is_under_way(&self) -> bool {
        self.lock().begun.is_some()
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.lock().cancelled
    }

    /// There are events of this partition.
    pub(crate) fn met(&self, partition: &PartitionId) {
        let mut state = self.lock();
        if state.seen.insert(partition) {
            state.partitions += 1;
        }
    }

    /// An event was skipped.
    pub(crate) fn skipped(&self) {
        self.lock().skips += 1;
    }

    /// So many events more are settled. Returns how long it has taken so far.
    pub(crate) fn progress(&self, events: u64) -> Duration {
        let mut state = self.lock();
        state.events += events;
        state.begun.map_or(Duration::ZERO, |begun| begun.elapsed())
    }

    /// Tells those who wait that it does not go on for now.
    pub(crate) fn tell(&self, error: &RebuildError) {
        let replies = std::mem::take(&mut self.lock().replies);
        for reply in replies {
            // Whoever asked may have gone.
            let _ = reply.send(Err(error.clone()));
        }
    }

    /// Stops it where it is; false when there is none.
    pub(crate) fn cancel(&self) -> bool {
        let cancels = {
            let mut state = self.lock();
            let cancels = state.begun.is_some() && !state.cancelled;
            state.cancelled |= cancels;
            cancels
        };
        if cancels {
            self.tell(&RebuildError::Cancelled);
        }
        cancels
    }

    /// Gives it up.
    pub(crate) fn give_up(&self, error: &RebuildError) {
        self.tell(error);
        *self.lock() = State::default();
    }

    /// It is done. Tells those who wait.
    pub(crate) fn finish(
        &self,
        reducer: &str,
        halted: usize,
        halts: Vec<(PartitionId, Arc<Halt>)>,
    ) -> RebuildReport {
        let state = std::mem::take(&mut *self.lock());
        let took = state.begun.map_or(Duration::ZERO, |begun| begun.elapsed());
        let reducer = reducer.to_owned();
        let State { events, partitions, skips, .. } = state;
        let report = RebuildReport { reducer, events, partitions, skips, halted, halts, took };
        for reply in state.replies {
            let result = match halted {
                0 => Ok(report.clone()),
                _ => Err(RebuildError::Halted(report.clone())),
            };
            let _ = reply.send(result);
        }
        report
    }
}

impl Handler<Rebuild> for Supervisor {
    type Result = ResponseFuture<Result<RebuildReport, RebuildError>>;

    fn handle(&mut self, Rebuild { reducer }: Rebuild, ctx: &mut Self::Context) -> Self::Result {
        let (reply, done) = oneshot::channel();
        match self.rebuild(&reducer, reply, ctx) {
            Ok(()) => Box::pin(async { done.await.unwrap_or(Err(RebuildError::Interrupted)) }),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }
}

impl Handler<CancelRebuild> for Supervisor {
    type Result = Result<(), RebuildError>;

    fn handle(&mut self, cancel: CancelRebuild, _: &mut Self::Context) -> Self::Result {
        let CancelRebuild { reducer } = cancel;
        let Some(job) = self.rebuild_of(&reducer) else {
            return Err(RebuildError::UnknownReducer { name: reducer });
        };
        if !job.cancel() {
            return Err(RebuildError::NotRebuilding);
        }
        if let Some(Some(dispatcher)) = self.dispatcher_of(&reducer) {
            dispatcher.stop_rebuild.do_send(StopRebuild);
        }
        Ok(())
    }
}
