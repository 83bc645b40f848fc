//! Appending once, however often it is asked for.

use std::{thread, time::Duration};

use rederive_core::Recorded;
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::oneshot;

use super::SqliteEventLog;
use crate::{AppendError, Expected};

impl<E> SqliteEventLog<E>
where
    E: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    /// Appends events, unless events were appended under this key before: then those are returned,
    /// as they were recorded, and nothing is appended. Safe to repeat after a crash or an answer that
    /// was lost.
    ///
    /// With [`Due::key`](rederive_core::Due::key), what an effect leads to is recorded exactly once
    /// though the effect is delivered at least once: that makes a service, or process manager, of a
    /// [`Notifier`](rederive_core::Notifier). The events stand in a stream of their own, named by the
    /// key. An empty list leaves no trace.
    ///
    /// # Errors
    /// As for [`append`](Self::append). With [`AppendError::Unavailable`], events of an earlier call
    /// may be there and could not be read; ask again, as with every error that may pass.
    pub async fn append_once(
        &self,
        key: &str,
        events: Vec<E>,
    ) -> Result<Vec<Recorded<E>>, AppendError> {
        let stream = format!("once/{key}");
        match self.append_to(stream.clone(), Expected::NoStream, events).await {
            Err(AppendError::Conflict { .. }) => self.recorded_in(stream).await,
            other => other,
        }
    }

    /// The events of a stream, read on a thread of its own: it is seldom needed.
    async fn recorded_in(&self, stream: String) -> Result<Vec<Recorded<E>>, AppendError> {
        let unavailable =
            |message: String| AppendError::Unavailable { message, waited: Duration::ZERO };
        let (reply, answer) = oneshot::channel();
        let log = self.clone();
        thread::Builder::new()
            .name("rederive-once".to_owned())
            .spawn(move || {
                // Whoever asked may have gone.
                let _ = reply.send(log.read_stream(&stream, 0, usize::MAX));
            })
            .map_err(|error| unavailable(format!("cannot start a thread: {error}")))?;
        let read = answer.await.map_err(|_| unavailable("reading has panicked".to_owned()))?;
        read.map_err(|error| unavailable(error.to_string()))
    }
}
