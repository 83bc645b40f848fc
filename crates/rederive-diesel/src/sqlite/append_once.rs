//! Appending once, however often it is asked for.

use std::{thread, time::Duration};

use rederive_core::{AppendOnce, AppendOnceError, LogError, Recorded};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::oneshot;

use super::{SqliteEventLog, appender::stream_version};
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
    /// though the effect is delivered at least once; a [`Service`](rederive_core::Service) does so. The
    /// events stand in a stream of their own, named by the key. An empty list leaves no trace.
    ///
    /// # Errors
    /// As for [`append`](Self::append). With [`AppendError::Unavailable`], events of an earlier call
    /// may be there and could not be read; ask again, as with every error that may pass.
    pub async fn append_once(
        &self,
        key: &str,
        events: Vec<E>,
    ) -> Result<Vec<Recorded<E>>, AppendError> {
        let stream = stream_of(key);
        match self.append_to(stream.clone(), Expected::NoStream, events).await {
            Err(AppendError::Conflict { .. }) => {
                let unavailable =
                    |message| AppendError::Unavailable { message, waited: Duration::ZERO };
                let read = move |log: &Self| {
                    log.read_stream(&stream, 0, usize::MAX).map_err(|error| error.to_string())
                };
                self.aside(read).await.map_err(unavailable)
            }
            other => other,
        }
    }

    /// Reads on a thread of its own, as reading blocks.
    async fn aside<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Self) -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        let (reply, answer) = oneshot::channel();
        let log = self.clone();
        thread::Builder::new()
            .name("rederive-once".to_owned())
            .spawn(move || {
                // Whoever asked may have gone.
                let _ = reply.send(read(&log));
            })
            .map_err(|error| format!("cannot start a thread: {error}"))?;
        answer.await.unwrap_or_else(|_| Err("reading has panicked".to_owned()))
    }
}

impl<E> AppendOnce for SqliteEventLog<E>
where
    E: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    async fn append_once(
        &self,
        key: &str,
        events: Vec<E>,
    ) -> Result<Vec<Recorded<E>>, AppendOnceError> {
        SqliteEventLog::append_once(self, key, events).await.map_err(|error| match error {
            AppendError::Encode { .. } | AppendError::Rejected { .. } => {
                AppendOnceError::Refused(error.to_string())
            }
            other => AppendOnceError::Unavailable(other.to_string()),
        })
    }

    async fn has_appended(&self, key: &str) -> Result<bool, LogError> {
        let stream = stream_of(key);
        let read = move |log: &Self| {
            let version = log.database.read(|conn| stream_version(conn, &stream));
            version.map_err(|error| error.to_string())
        };
        Ok(self.aside(read).await.map_err(LogError::new)? > 0)
    }
}

/// Where the events of a key stand.
fn stream_of(key: &str) -> String {
    format!("once/{key}")
}
