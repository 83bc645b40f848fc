//! [`Handle`]: what an application holds of a running supervisor.

use std::sync::{Arc, Mutex, PoisonError};

use actix::{Addr, MailboxError};
use rederive_actix::{
    Await, AwaitError, Awaited, ReducerStatus, RegisterError, Registration, Retry, RetryError,
    Shutdown, Status, Supervisor,
};
use rederive_core::PartitionId;

use crate::home::Home;

/// A running supervisor. Clones are handles of the same; share them freely between threads and
/// runtimes.
///
/// Dropping handles stops nothing: call [`stop`](Self::stop).
#[derive(Clone)]
pub struct Handle(Arc<Running>);

struct Running {
    supervisor: Addr<Supervisor>,
    home: Mutex<Option<Home>>,
}

impl Handle {
    pub(crate) fn new(supervisor: Addr<Supervisor>, home: Home) -> Self {
        Self(Arc::new(Running { supervisor, home: Mutex::new(Some(home)) }))
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
        self.0.supervisor.send(request).await.unwrap_or(Err(AwaitError::Stopped))
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
    /// [`RetryError`] when it is not repaired: each variant says what was done.
    pub async fn retry(
        &self,
        reducer: impl Into<String>,
        partition: impl Into<PartitionId>,
    ) -> Result<(), RetryError> {
        let retry = Retry { reducer: reducer.into(), partition: partition.into() };
        self.0.supervisor.send(retry).await.unwrap_or(Err(RetryError::Interrupted))
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
