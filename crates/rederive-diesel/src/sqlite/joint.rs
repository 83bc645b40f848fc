//! [`Joint`]: a transaction of appends that a commit of what follows from them may join.
//!
//! Who appends holds the lock for writing, hands its open transaction out for a moment, and tells the
//! followers of the log. A commit that follows from the new events is done in that transaction and
//! ends it: one flush instead of two, and nobody waits in between. When none comes in time, or
//! somebody else wants to write, the appends are committed by themselves.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, ThreadId},
    time::{Duration, Instant},
};

use diesel::{
    connection::{AnsiTransactionManager, TransactionManager},
    result::Error,
    sqlite::SqliteConnection,
};
use rederive_core::Tentative;

use super::{connections::Failed, fault::Fault};

/// Where an open transaction changes hands.
#[derive(Default)]
pub(crate) struct Joint {
    place: Mutex<Place>,
    changed: Condvar,
}

#[derive(Default)]
struct Place {
    transaction: Transaction,
    /// How many wait for the lock for writing.
    waiting: usize,
    /// Somebody waits for it to end.
    hurried: bool,
    /// Its events have been told of, and are not there yet.
    is_told: bool,
    /// Somebody has read the log since they were told of, and may have missed them.
    has_read: bool,
    /// Who has handed it out and is telling the followers.
    telling: Option<ThreadId>,
}

#[derive(Default)]
enum Transaction {
    /// None is handed out.
    #[default]
    None,
    /// Whoever follows from these events may join it.
    Open(SqliteConnection, Tentative),
    /// Somebody has joined it.
    Joined,
    /// They have left it.
    Left(Left),
}

/// How a transaction was left.
pub(crate) enum Left {
    /// Nobody has joined it, or what they did is taken back.
    Open(SqliteConnection),
    /// It is committed.
    Committed(SqliteConnection),
    /// COMMIT failed.
    Failed(Option<SqliteConnection>, Error),
    /// What joined it has ended it, and nothing of it was done.
    Broken,
}

/// Somebody waits for the lock for writing.
pub(crate) struct Waits<'j>(&'j Joint);

impl Joint {
    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a transaction that is handed out end: somebody waits for its events.
    pub(crate) fn hurry(&self) {
        self.place().hurried = true;
        self.changed.notify_all();
    }

    /// Has none handed out as long as this is held: somebody else wants to write.
    pub(crate) fn waits(&self) -> Waits<'_> {
        self.place().waiting += 1;
        self.changed.notify_all();
        Waits(self)
    }

    /// Hands the transaction out until it was joined, and tells those who may join it. How it was left.
    pub(crate) fn hand_out(
        &self,
        conn: SqliteConnection,
        events: Tentative,
        patience: Duration,
        tell: impl FnOnce(),
    ) -> Left {
        {
            let mut place = self.place();
            (place.hurried, place.is_told, place.has_read) = (false, true, false);
            place.transaction = Transaction::Open(conn, events);
            place.telling = Some(thread::current().id());
        }
        // A panic in there must not leave the transaction behind.
        let _ = catch_unwind(AssertUnwindSafe(tell));
        let told = Instant::now();
        let mut place = self.place();
        place.telling = None;
        loop {
            match std::mem::take(&mut place.transaction) {
                Transaction::Open(conn, events) => {
                    let left = patience.saturating_sub(told.elapsed());
                    if left.is_zero() || place.waiting > 0 || place.hurried {
                        return Left::Open(conn);
                    }
                    place.transaction = Transaction::Open(conn, events);
                    let waited = self.changed.wait_timeout(place, left);
                    place = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                Transaction::Joined => {
                    place.transaction = Transaction::Joined;
                    place = self.changed.wait(place).unwrap_or_else(PoisonError::into_inner);
                }
                Transaction::Left(left) => return left,
                Transaction::None => return Left::Broken,
            }
        }
    }

    /// Somebody is about to read the log.
    pub(crate) fn reads(&self) {
        let mut place = self.place();
        place.has_read |= place.is_told;
    }

    /// What was handed out is over, and its events are there, or will not be: true when somebody may have
    /// missed them.
    pub(crate) fn is_over(&self) -> bool {
        let mut place = self.place();
        place.is_told = false;
        place.has_read
    }

    /// Whether this thread is telling the followers. The transaction that it has handed out is ended
    /// then: whatever is called from there may write by another connection.
    pub(crate) fn is_telling(&self) -> bool {
        let mut place = self.place();
        if place.telling != Some(thread::current().id()) {
            return false;
        }
        loop {
            match std::mem::replace(&mut place.transaction, Transaction::Joined) {
                Transaction::Joined => {
                    place = self.changed.wait(place).unwrap_or_else(PoisonError::into_inner);
                }
                Transaction::Open(mut conn, _) | Transaction::Left(Left::Open(mut conn)) => {
                    let left = match AnsiTransactionManager::commit_transaction(&mut conn) {
                        Ok(()) => Left::Committed(conn),
                        Err(error) => Left::failed(conn, error).0,
                    };
                    place.transaction = Transaction::Left(left);
                    return true;
                }
                other => {
                    place.transaction = other;
                    return true;
                }
            }
        }
    }

    /// Does this in the transaction of the events, and commits it all. `None` when that transaction is
    /// not to be had: then it has ended or is about to.
    pub(crate) fn join<T, E>(
        &self,
        events: &[Tentative],
        body: impl FnOnce(&mut SqliteConnection) -> Result<T, E>,
    ) -> Option<Result<T, Failed<E>>> {
        let mut conn = {
            let mut place = self.place();
            let is_ours = |of: &Tentative| events.iter().any(|events| events.is_same(of));
            match std::mem::replace(&mut place.transaction, Transaction::Joined) {
                Transaction::Open(conn, of) if is_ours(&of) => conn,
                other => {
                    place.transaction = other;
                    return None;
                }
            }
        };
        let (left, result) = match catch_unwind(AssertUnwindSafe(|| run(&mut conn, body))) {
            Ok(Ok(value)) => match AnsiTransactionManager::commit_transaction(&mut conn) {
                Ok(()) => (Left::Committed(conn), Ok(value)),
                Err(error) => {
                    let (left, error) = Left::failed(conn, error);
                    (left, Err(Failed::Commit(error)))
                }
            },
            Ok(Err((failed, true))) => (Left::Open(conn), Err(failed)),
            Ok(Err((failed, false))) => (Left::broken(conn), Err(failed)),
            Err(payload) => (Left::broken(conn), Err(Failed::Panic(payload))),
        };
        self.place().transaction = Transaction::Left(left);
        self.changed.notify_all();
        Some(result)
    }
}

impl Left {
    /// COMMIT said this.
    fn failed(conn: SqliteConnection, error: Error) -> (Self, Error) {
        let (keep, error) = commit_error(error);
        (Left::Failed(keep.then_some(conn), copy(&error)), error)
    }

    /// The connection is closed before the next one is opened, which would have to wait for its lock.
    fn broken(conn: SqliteConnection) -> Self {
        drop(conn);
        Left::Broken
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.place().waiting -= 1;
    }
}

/// Runs this in a savepoint. With an error tells whether the transaction is as it was before.
fn run<T, E>(
    conn: &mut SqliteConnection,
    body: impl FnOnce(&mut SqliteConnection) -> Result<T, E>,
) -> Result<T, (Failed<E>, bool)> {
    AnsiTransactionManager::begin_transaction(conn)
        .map_err(|error| (Failed::Begin(error), false))?;
    match body(conn) {
        Ok(value) => match AnsiTransactionManager::commit_transaction(conn) {
            Ok(()) => Ok(value),
            Err(error) => Err((Failed::Begin(error), false)),
        },
        Err(error) => {
            // An error may have ended all of it: then there is no savepoint to go back to.
            let is_open = AnsiTransactionManager::rollback_transaction(conn).is_ok();
            Err((Failed::Body(error), is_open))
        }
    }
}

/// What COMMIT said, and whether the connection can be used on.
pub(crate) fn commit_error(error: Error) -> (bool, Error) {
    match error {
        Error::RollbackErrorOnCommit { commit_error, .. } => (false, *commit_error),
        error => (Fault::of(&error) == Fault::Statement, error),
    }
}

/// The same error, for a second one who has to be told.
fn copy(error: &Error) -> Error {
    match error {
        Error::DatabaseError(kind, info) => {
            let message = Box::new(info.message().to_owned());
            Error::DatabaseError(*kind, message)
        }
        other => Error::QueryBuilderError(other.to_string().into()),
    }
}
