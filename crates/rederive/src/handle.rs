//! [`Handle`]: what an application holds of a running supervisor.

use std::sync::{Arc, Mutex, PoisonError};

use actix::{Addr, MailboxError};
use rederive_actix::{
    Await, AwaitError, Awaited, CancelRebuild, CountEffects, DropEffect, ListError, ListHalted,
    ListParked, ListSkips, Pause, PauseError, Rebuild, RebuildError, RebuildPartition,
    RebuildReport, Redeliver, ReducerStatus, RegisterError, Registration, RepairError, RetriedAll,
    Retry, RetryAll, Shutdown, SkipEvent, Status, Supervisor, Waits,
};
use rederive_core::{
    Cursor, EffectKey, EffectRecord, FailureKind, OutboxCounts, PartitionId, PartitionRecord,
    SkipRecord,
};

use crate::home::Home;

/// A running supervisor. Clones are handles of the same; share them freely between threads and
/// runtimes.
///
/// Dropping handles stops nothing: call [`stop`](Self::stop).
#[derive(Clone)]
pub struct Handle(Arc<Running>);

struct Running {
    supervisor: Addr<Supervisor>,
    waits: Waits,
    home: Mutex<Option<Home>>,
}

impl Handle {
    pub(crate) fn new(supervisor: Addr<Supervisor>, waits: Waits, home: Home) -> Self {
        Self(Arc::new(Running { supervisor, waits, home: Mutex::new(Some(home)) }))
    }

    /// The supervisor's address, for those who send messages themselves.
    pub fn supervisor(&self) -> &Addr<Supervisor> {
        &self.0.supervisor
    }

    /// Sends an [`Await`] as a message: the same as [`wait`](Self::wait), in the manner of actors.
    ///
    /// # Errors
    /// The outer error when the supervisor has stopped, the inner one as for `wait`.
    pub async fn send(&self, request: Await) -> Result<Result<Awaited, AwaitError>, MailboxError> {
        self.0.supervisor.send(request).await
    }

    /// Waits until events have taken effect. Dropping the future stops the waiting, never the work.
    ///
    /// # Errors
    /// [`AwaitError`] when they have not: a partition is halted, the time is up, the supervisor has
    /// stopped. The events are in the log all the same.
    pub async fn wait(&self, request: Await) -> Result<Awaited, AwaitError> {
        self.0.waits.wait(&self.0.supervisor, request).await
    }

    /// Registers one more reducer and starts it.
    ///
    /// # Errors
    /// [`RegisterError`]; nothing was changed.
    pub async fn register(&self, registration: Registration) -> Result<(), RegisterError> {
        self.0.supervisor.send(registration).await.unwrap_or(Err(RegisterError::Stopped))
    }

    /// Tries a halted partition again; see [`Retry`].
    ///
    /// # Errors
    /// [`RepairError`] when it is not repaired: each variant says what was done.
    pub async fn retry(
        &self,
        reducer: impl Into<String>,
        partition: impl Into<PartitionId>,
    ) -> Result<(), RepairError> {
        let retry = Retry { reducer: reducer.into(), partition: partition.into() };
        self.0.supervisor.send(retry).await.unwrap_or(Err(RepairError::Interrupted))
    }

    /// Tries all halted partitions of a reducer again, or those that are halted by a failure of this
    /// kind; see [`RetryAll`].
    ///
    /// # Errors
    /// [`ListError`] when the halted partitions could not be listed; some may have been repaired.
    pub async fn retry_all(
        &self,
        reducer: impl Into<String>,
        kind: impl Into<Option<FailureKind>>,
    ) -> Result<RetriedAll, ListError> {
        let retry = RetryAll { reducer: reducer.into(), kind: kind.into() };
        self.0.supervisor.send(retry).await.unwrap_or(Err(ListError::Interrupted))
    }

    /// Has a halted partition pass by the event at `cursor`, which halted it, and go on; see
    /// [`SkipEvent`].
    ///
    /// # Errors
    /// [`RepairError`] when it does not go on: each variant says what was done.
    pub async fn skip(
        &self,
        reducer: impl Into<String>,
        partition: impl Into<PartitionId>,
        cursor: Cursor,
    ) -> Result<(), RepairError> {
        let skip = SkipEvent { reducer: reducer.into(), partition: partition.into(), cursor };
        self.0.supervisor.send(skip).await.unwrap_or(Err(RepairError::Interrupted))
    }

    /// The halted partitions of a reducer: up to `limit` of those after `after`, in the order of
    /// their ids.
    ///
    /// # Errors
    /// [`ListError`] when they cannot be read.
    pub async fn halted(
        &self,
        reducer: impl Into<String>,
        after: Option<PartitionId>,
        limit: usize,
    ) -> Result<Vec<PartitionRecord>, ListError> {
        let request = ListHalted { reducer: reducer.into(), after, limit };
        self.0.supervisor.send(request).await.unwrap_or(Err(ListError::Interrupted))
    }

    /// The skipped events of a reducer: up to `limit` of those after `after`, in the order of their
    /// cursors and partitions.
    ///
    /// # Errors
    /// [`ListError`] when they cannot be read.
    pub async fn skips(
        &self,
        reducer: impl Into<String>,
        after: Option<(Cursor, Option<PartitionId>)>,
        limit: usize,
    ) -> Result<Vec<SkipRecord>, ListError> {
        let request = ListSkips { reducer: reducer.into(), after, limit };
        self.0.supervisor.send(request).await.unwrap_or(Err(ListError::Interrupted))
    }

    /// The parked effects of a reducer: up to `limit` of those after `after`, in the order of their
    /// keys.
    ///
    /// # Errors
    /// [`ListError`] when they cannot be read.
    pub async fn parked(
        &self,
        reducer: impl Into<String>,
        after: Option<EffectKey>,
        limit: usize,
    ) -> Result<Vec<EffectRecord>, ListError> {
        let request = ListParked { reducer: reducer.into(), after, limit };
        self.0.supervisor.send(request).await.unwrap_or(Err(ListError::Interrupted))
    }

    /// How many effects of a reducer are still to be delivered, and how many are parked.
    ///
    /// # Errors
    /// [`ListError`] when they cannot be read.
    pub async fn count_effects(
        &self,
        reducer: impl Into<String>,
    ) -> Result<OutboxCounts, ListError> {
        let request = CountEffects { reducer: reducer.into() };
        self.0.supervisor.send(request).await.unwrap_or(Err(ListError::Interrupted))
    }

    /// Has a parked effect delivered again; see [`Redeliver`].
    ///
    /// # Errors
    /// [`ListError`]; it may have been done all the same, and doing it again does no harm.
    pub async fn redeliver(
        &self,
        reducer: impl Into<String>,
        key: EffectKey,
    ) -> Result<bool, ListError> {
        let request = Redeliver { reducer: reducer.into(), key };
        self.0.supervisor.send(request).await.unwrap_or(Err(ListError::Interrupted))
    }

    /// Deletes a parked effect without delivering it; see [`DropEffect`].
    ///
    /// # Errors
    /// As for [`redeliver`](Self::redeliver).
    pub async fn drop_effect(
        &self,
        reducer: impl Into<String>,
        key: EffectKey,
    ) -> Result<bool, ListError> {
        let request = DropEffect { reducer: reducer.into(), key };
        self.0.supervisor.send(request).await.unwrap_or(Err(ListError::Interrupted))
    }

    /// Has a reducer read no more until [`resume`](Self::resume), also after a restart; see
    /// [`Pause`].
    ///
    /// # Errors
    /// [`PauseError`] when it goes on as before.
    pub async fn pause(&self, reducer: impl Into<String>) -> Result<(), PauseError> {
        self.set_paused(reducer.into(), true).await
    }

    /// Has a paused reducer go on.
    ///
    /// # Errors
    /// [`PauseError`] when it stays paused.
    pub async fn resume(&self, reducer: impl Into<String>) -> Result<(), PauseError> {
        self.set_paused(reducer.into(), false).await
    }

    async fn set_paused(&self, reducer: String, paused: bool) -> Result<(), PauseError> {
        let pause = Pause { reducer, paused };
        self.0.supervisor.send(pause).await.unwrap_or(Err(PauseError::Interrupted))
    }

    /// Builds the derived state of a reducer anew, while others go on; see [`Rebuild`]. Returns when it
    /// is live. Dropping the future stops the waiting, not the rebuild.
    ///
    /// # Errors
    /// [`RebuildError`]: each variant says what was done. [`RebuildError::Halted`] when everything was
    /// read, but some partitions are halted.
    pub async fn rebuild(&self, reducer: impl Into<String>) -> Result<RebuildReport, RebuildError> {
        let rebuild = Rebuild { reducer: reducer.into() };
        self.0.supervisor.send(rebuild).await.unwrap_or(Err(RebuildError::Interrupted))
    }

    /// Builds what a reducer derives for one partition anew, while all others go on; see
    /// [`RebuildPartition`]. Returns when the partition is up to date. Dropping the future stops the
    /// waiting, not the rebuild.
    ///
    /// # Errors
    /// [`RepairError`] when it is not rebuilt: each variant says what was done.
    /// [`RepairError::Halted`] when an event failed: the partition is right up to there.
    pub async fn rebuild_partition(
        &self,
        reducer: impl Into<String>,
        partition: impl Into<PartitionId>,
    ) -> Result<(), RepairError> {
        let (reducer, partition) = (reducer.into(), partition.into());
        let rebuild = RebuildPartition { reducer, partition };
        self.0.supervisor.send(rebuild).await.unwrap_or(Err(RepairError::Interrupted))
    }

    /// Stops a rebuild where it is; see [`CancelRebuild`].
    ///
    /// # Errors
    /// [`RebuildError::NotRebuilding`] when there is none, [`RebuildError::UnknownReducer`] when there
    /// is no such reducer.
    pub async fn cancel_rebuild(&self, reducer: impl Into<String>) -> Result<(), RebuildError> {
        let cancel = CancelRebuild { reducer: reducer.into() };
        self.0.supervisor.send(cancel).await.unwrap_or(Err(RebuildError::Interrupted))
    }

    /// How every reducer is doing, in the order of their names; nothing when stopped.
    pub async fn status(&self) -> Vec<ReducerStatus> {
        self.0.supervisor.send(Status).await.unwrap_or_default()
    }

    /// Stops cleanly: reads no more, commits what is in flight, stores the low watermarks and ends
    /// the threads. Pauses between attempts are cut short. Does nothing when stopped already.
    pub async fn stop(&self) {
        // Fails when it has stopped already.
        let _ = self.0.supervisor.send(Shutdown).await;
        let home = self.0.home.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(home) = home {
            home.end();
        }
    }
}
