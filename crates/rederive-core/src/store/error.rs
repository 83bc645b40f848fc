//! What can go wrong in a store.

use std::time::Duration;

use crate::{Cursor, CursorKind, FailureKind};

/// A store could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store cannot be used: {0}")]
pub struct StoreError(String);

impl StoreError {
    /// An error with this text.
    pub fn new(message: impl ToString) -> Self {
        Self(message.to_string())
    }
}

/// A reducer could not be taken over; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The derived state was built by another version of the reducer. Rebuild it, or run the code
    /// that built it.
    #[error(
        "reducer {reducer:?} has version {current}, but its stored state was built by version \
         {stored}: rebuild it, or start the version that built it"
    )]
    VersionDiffers {
        /// The reducer.
        reducer: String,
        /// The version that built the state.
        stored: u32,
        /// The version of the code.
        current: u32,
    },
    /// The stored progress belongs to a log of another kind. Register the reducer with its own log,
    /// or under another name.
    #[error(
        "reducer {reducer:?} follows a log with {current} cursors, but its stored cursor is \
         {stored}: it has followed another log; register it under another name or rebuild it"
    )]
    CursorKindDiffers {
        /// The reducer.
        reducer: String,
        /// The cursor that is stored.
        stored: Cursor,
        /// The kind of the log's cursors.
        current: CursorKind,
    },
    /// Somebody else has the reducer, by a lease that is valid; see [`Claim`](crate::Claim). Or by one
    /// that has run out, but it stands in the midst of a transaction that has to be waited for. Wait until
    /// it has ended, stop that process, or take the reducer over all the same.
    #[error(
        "reducer {reducer:?} is owned by {by:?}, whose lease lasts another {remaining:.1?} unless it \
         is renewed: stop that process, or wait until it has gone"
    )]
    Owned {
        /// The reducer.
        reducer: String,
        /// The name of its owner.
        by: String,
        /// When the lease ends, if it is not renewed.
        remaining: Duration,
    },
    /// A table is not what the reducer declares it to be. The message says what to do.
    #[error("reducer {reducer:?}: table {table:?} {problem}")]
    TableDiffers {
        /// The reducer.
        reducer: String,
        /// The table.
        table: String,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// Another reducer of this store has declared the same table. A table belongs to one reducer:
    /// give each its own. If the other is not registered any more, [`Store::forget`](super::Store::forget) it.
    #[error(
        "reducer {reducer:?} declares table {table:?}, which belongs to reducer {owner:?}: give each \
         a table of its own, or have the store forget {owner:?} if there is no such reducer any more"
    )]
    TableTaken {
        /// The reducer.
        reducer: String,
        /// The table.
        table: String,
        /// The reducer that it belongs to.
        owner: String,
    },
    /// The reducer is to be rebuilt, but declares no tables, so that nothing is known that could be
    /// emptied. Implement [`Reducer::tables`](crate::Reducer::tables).
    #[error(
        "reducer {reducer:?} cannot be rebuilt: it declares no tables; implement Reducer::tables, \
         so that a rebuild knows what to empty"
    )]
    NoTables {
        /// The reducer.
        reducer: String,
    },
    /// The store could not be reached. Try again once it can.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl OpenError {
    /// True when trying again later may help.
    pub fn is_transient(&self) -> bool {
        matches!(self, OpenError::Owned { .. } | OpenError::Store(_))
    }
}

/// A transaction failed. In all cases but [`InDoubt`](Self::InDoubt), nothing of it was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The store cannot take it now: a lock, a lost connection, a full disk. Nothing was done; the
    /// same transaction is tried again later.
    #[error("{0}")]
    Transient(String),
    /// The connection was lost while committing: the transaction was done or was not. The stored
    /// revision tells.
    #[error("the outcome of a commit is unknown: {0}")]
    InDoubt(String),
    /// Something in the transaction cannot be done and will not be by trying again. Nothing was
    /// done; the guilty part is searched for.
    #[error("{message}")]
    Rejected {
        /// Whether the store refused or user code panicked in the transaction.
        kind: FailureKind,
        /// What was said.
        message: String,
    },
    /// The stored revision of the reducer is not the expected one: somebody else has taken it over.
    /// Nothing was done; this owner stops.
    #[error("reducer {reducer:?} has been taken over by another owner")]
    Fenced {
        /// The reducer.
        reducer: String,
    },
    /// The events that the transaction follows from were tentative and have not come into the log.
    /// Nothing was done; their reducer begins anew from what is stored.
    #[error("the events have not come into the log")]
    Lost,
}
