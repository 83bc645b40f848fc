//! [`AppendOnce`]: a log to which events are appended under a key.

use std::future::Future;

use crate::{EventLog, LogError, MemoryLog, Recorded};

/// A log that remembers under which key events were appended, so that an append can be repeated after
/// a crash or an answer that was lost.
///
/// With [`Due::key`](crate::Due::key), what an effect leads to is in the log exactly once, though the
/// effect is delivered at least once: that is how a [`Service`](crate::Service) records what it did.
///
/// The futures must not block the thread that polls them, and may be dropped: what was begun is then
/// done or not, and can be repeated.
pub trait AppendOnce: EventLog {
    /// Appends events, all of them next to each other, unless events were appended under this key
    /// before: then nothing is appended. An empty list leaves no trace.
    ///
    /// Returns what stands in the log under the key.
    ///
    /// # Errors
    /// [`AppendOnceError`]: each variant says whether to try again.
    fn append_once(
        &self,
        key: &str,
        events: Vec<Self::Event>,
    ) -> impl Future<Output = Result<Vec<Recorded<Self::Event>>, AppendOnceError>>;

    /// Whether events were appended under this key.
    ///
    /// # Errors
    /// [`LogError`] when the log cannot be read.
    fn has_appended(&self, key: &str) -> impl Future<Output = Result<bool, LogError>>;
}

/// Events were not appended under a key, or it is not known whether they were.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendOnceError {
    /// The log cannot be used now. They may have been appended all the same: try again with the same
    /// key.
    #[error("the events may not be appended: {0}")]
    Unavailable(String),
    /// The log does not take these events: it would not take them later either. Nothing was appended.
    #[error("the events are refused: {0}")]
    Refused(String),
}

impl<E: Clone + Send + Sync + 'static> AppendOnce for MemoryLog<E> {
    async fn append_once(
        &self,
        key: &str,
        events: Vec<E>,
    ) -> Result<Vec<Recorded<E>>, AppendOnceError> {
        Ok(MemoryLog::append_once(self, key, events))
    }

    async fn has_appended(&self, key: &str) -> Result<bool, LogError> {
        Ok(MemoryLog::has_appended(self, key))
    }
}
