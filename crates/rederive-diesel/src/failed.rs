//! [`Failed`]: where a transaction failed.

use std::any::Any;

use diesel::result::Error;

/// Where a transaction failed; except for an error of COMMIT itself, nothing of it was done.
#[derive(Debug)]
pub(crate) enum Failed<E> {
    /// A lock was not to be had, or there is no connection.
    Begin(Error),
    /// The body answered with an error.
    Body(E),
    /// The body panicked.
    Panic(Box<dyn Any + Send>),
    /// COMMIT failed.
    Commit(Error),
}
