//! What can go wrong in a reducer, and [`Halt`] and [`Skip`]: such a failure as it is stored.

use std::{error::Error, fmt};

use serde::{Deserialize, Serialize};

use crate::{Cursor, PartitionId, Timestamp};

/// A reducer could not reduce an event.
///
/// The event's ops are dropped, the events before it are committed, and its partition halts just
/// before it. Any error converts into a `ReduceError` by `?`, its sources included in the message;
/// for that it is, on purpose, no [`Error`] itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReduceError(String);

impl ReduceError {
    /// An error with this text.
    pub fn new(message: impl fmt::Display) -> Self {
        Self(message.to_string())
    }
}

impl fmt::Display for ReduceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: Error> From<E> for ReduceError {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Self(message)
    }
}

/// Why an event could not be reduced or committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The reducer answered with an error.
    Reduce,
    /// The reducer, or code of the user's that ran in the transaction, panicked.
    Panic,
    /// The store rejected the ops: a constraint failed, a statement was wrong.
    Rejected,
    /// The stored state of a fold cannot be used, so that no event can be folded into it.
    State,
    /// The event could not be decoded.
    Undecodable,
}

impl FailureKind {
    /// Every kind.
    pub const ALL: [FailureKind; 5] = [
        FailureKind::Reduce,
        FailureKind::Panic,
        FailureKind::Rejected,
        FailureKind::State,
        FailureKind::Undecodable,
    ];

    /// The kind as it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            FailureKind::Reduce => "reduce",
            FailureKind::Panic => "panic",
            FailureKind::Rejected => "rejected",
            FailureKind::State => "state",
            FailureKind::Undecodable => "undecodable",
        }
    }

    fn what(self) -> &'static str {
        match self {
            FailureKind::Reduce => "could not be reduced",
            FailureKind::Panic => "made the reducer panic",
            FailureKind::Rejected => "was rejected by the store",
            FailureKind::State => "could not be folded",
            FailureKind::Undecodable => "cannot be decoded",
        }
    }

    /// Reads what [`as_str`](Self::as_str) wrote.
    pub fn parse(stored: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == stored)
    }
}

/// An event that could not be reduced or committed, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The event.
    pub cursor: Cursor,
    /// Where it failed.
    pub kind: FailureKind,
    /// What was said.
    pub message: String,
}

/// Why a partition is halted: stored with the partition, told to those who wait.
///
/// It is data and outlives the process: nothing in it can be downcast.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halt {
    /// The event that failed. The partition's cursor stands before it.
    pub cursor: Cursor,
    /// Where it failed.
    pub kind: FailureKind,
    /// What was said, at most [`Halt::MESSAGE_LIMIT`] bytes of it.
    pub message: String,
    /// How often the event was tried.
    pub attempts: u32,
    /// When the partition halted.
    pub time: Timestamp,
}

impl Halt {
    /// Messages are cut to this many bytes, so that a reducer that prints its world into an error
    /// does not fill the database.
    pub const MESSAGE_LIMIT: usize = 4096;

    /// The halt that this failure leads to.
    pub fn new(failure: Failure, attempts: u32, time: Timestamp) -> Self {
        let Failure { cursor, kind, message } = failure;
        Self { cursor, kind, message: cut(message), attempts, time }
    }
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cursor, kind, message, .. } = self;
        write!(f, "the event at cursor {cursor} {}: {message}", kind.what())
    }
}

/// An event that a partition has passed by, and why: stored beside the partition's progress, told to
/// those who wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skip {
    /// The event.
    pub cursor: Cursor,
    /// Where it failed.
    pub kind: FailureKind,
    /// What was said, at most [`Halt::MESSAGE_LIMIT`] bytes of it.
    pub message: String,
    /// How often the event was tried.
    pub attempts: u32,
    /// When it was skipped.
    pub time: Timestamp,
    /// Who decided that.
    pub by: SkippedBy,
}

/// Who decided that an event is skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkippedBy {
    /// [`Reducer::on_failure`](crate::Reducer::on_failure) or
    /// [`Reducer::on_undecodable`](crate::Reducer::on_undecodable).
    Policy,
    /// Somebody who looked at the halted partition.
    Operator,
}

impl Skip {
    /// The skip that this failure leads to.
    pub fn new(failure: Failure, attempts: u32, time: Timestamp, by: SkippedBy) -> Self {
        let Failure { cursor, kind, message } = failure;
        Self { cursor, kind, message: cut(message), attempts, time, by }
    }

    /// The skip of the event that has halted a partition.
    pub fn of_halt(halt: &Halt, time: Timestamp) -> Self {
        let Halt { cursor, kind, message, attempts, .. } = halt.clone();
        Self { cursor, kind, message, attempts, time, by: SkippedBy::Operator }
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cursor, kind, message, .. } = self;
        write!(f, "the event at cursor {cursor} {} and was skipped: {message}", kind.what())
    }
}

/// A [`Skip`] and where it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkipRecord {
    /// The partition; `None` when it is not known whose event it was.
    pub partition: Option<PartitionId>,
    /// The skip.
    pub skip: Skip,
}

fn cut(mut message: String) -> String {
    if message.len() > Halt::MESSAGE_LIMIT {
        let end = (0..=Halt::MESSAGE_LIMIT).rev().find(|end| message.is_char_boundary(*end));
        message.truncate(end.unwrap_or(0));
    }
    message
}

/// The text of a caught panic.
pub fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic whose payload is not text".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reduce_error_tells_the_whole_chain_of_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot read the amount")]
        struct Outer(#[source] std::num::ParseIntError);

        let inner = "x".parse::<i64>().expect_err("no number");
        let error: ReduceError = Outer(inner).into();
        assert_eq!(error.to_string(), "cannot read the amount: invalid digit found in string");
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let failure = Failure {
            cursor: Cursor::from(1),
            kind: FailureKind::Reduce,
            message: format!("a{}", "ü".repeat(Halt::MESSAGE_LIMIT)),
        };
        let halt = Halt::new(failure, 1, Timestamp::default());
        assert_eq!(halt.message.len(), Halt::MESSAGE_LIMIT - 1);
    }

    #[test]
    fn a_failure_kind_reads_back_as_itself() {
        for kind in FailureKind::ALL {
            assert_eq!(FailureKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(FailureKind::parse("bored"), None);
    }
}
