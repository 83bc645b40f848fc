//! [`AppendError`]: events could not be appended.

use std::time::Duration;

/// Events could not be appended. Each variant says whether they were.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The stream is not where the caller expected it. Nothing was appended: read the stream again
    /// and decide anew.
    #[error("stream {stream:?} is at version {actual}, not at {expected}; nothing was appended")]
    Conflict {
        /// The stream.
        stream: String,
        /// What was expected.
        expected: crate::Expected,
        /// The version the stream has: the number of its last event, zero for none.
        actual: u64,
    },
    /// An event could not be turned into JSON. Nothing was appended.
    #[error("event {index} cannot be encoded: {message}; nothing was appended")]
    Encode {
        /// Which event, counted from zero.
        index: usize,
        /// What the encoder said.
        message: String,
    },
    /// The database refused the events, for a trigger or constraint of yours on the events table,
    /// or because the cursors are used up. Nothing was appended.
    #[error("the database refused the events: {message}; nothing was appended")]
    Rejected {
        /// What the database said.
        message: String,
    },
    /// The database cannot take them now: locked by another process, out of space, out of reach, failing. Nothing
    /// was appended; try again later.
    #[error(
        "the events could not be appended: {message} (tried for {waited:?}); nothing was appended"
    )]
    Unavailable {
        /// What the database said.
        message: String,
        /// How long it was tried.
        waited: Duration,
    },
    /// The disk failed, or the connection was lost, during the commit, and it could not be found out what
    /// became of it: the events were appended or were not. On PostgreSQL also when another server has taken
    /// over that does not have them. Read the log's head (or the stream) before
    /// appending them again.
    #[error("whether the events were appended is unknown: {message}")]
    InDoubt {
        /// What the database said.
        message: String,
    },
}
