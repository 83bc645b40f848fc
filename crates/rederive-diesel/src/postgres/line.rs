//! [`Line`]: a connection of somebody's own, and how a transaction is begun and ended.

use std::panic::{AssertUnwindSafe, catch_unwind};

use diesel::{
    connection::{AnsiTransactionManager, SimpleConnection, TransactionManager},
    pg::PgConnection,
    prelude::*,
    result::Error,
};

use super::{
    connections::{Failed, as_lost},
    connector::Connector,
    fault::Fault,
};

/// A connection of somebody's own, which is replaced when it breaks.
pub(crate) struct Line {
    connector: Connector,
    /// Taken out while in use: a transaction that panics leaves `None`, and the next one connects anew.
    conn: Option<PgConnection>,
    /// How many connections there have been.
    made: u64,
}

impl Line {
    /// A connection that is made when it is first used.
    pub(crate) fn new(connector: &Connector) -> Self {
        Self { connector: connector.clone(), conn: None, made: 0 }
    }

    /// Runs `body` in a transaction. What comes along with `BEGIN` are its first statements: when one of
    /// them fails, it has not begun.
    pub(crate) fn transaction<T, E>(
        &mut self,
        begin: &str,
        body: impl FnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, Failed<E>> {
        let mut conn = self.take().map_err(Failed::Begin)?;
        let (result, keep) = transact(&mut conn, begin, body);
        self.put_back(conn, keep);
        result
    }

    /// Executes one statement that is a transaction by itself. The inner error has left nothing behind.
    pub(crate) fn statement<T>(
        &mut self,
        statement: impl FnOnce(&mut PgConnection) -> QueryResult<T>,
    ) -> Result<T, Failed<Error>> {
        let mut conn = self.take().map_err(Failed::Begin)?;
        let done = statement(&mut conn).map_err(|error| match (Fault::of(&error), &error) {
            // Whether it was done is not known; or it was, and the answer is not what was expected.
            (Fault::Connection, _) | (_, Error::DeserializationError(_)) => Failed::Commit(error),
            _ => Failed::Body(error),
        });
        self.put_back(conn, !matches!(done, Err(Failed::Commit(_))));
        done
    }

    /// Connects, if it is not connected: the number of its connection, another for each.
    pub(crate) fn connect(&mut self) -> Option<u64> {
        self.conn = Some(self.take().ok()?);
        Some(self.made)
    }

    fn take(&mut self) -> QueryResult<PgConnection> {
        match self.conn.take().and_then(idle) {
            Some(conn) => Ok(conn),
            None => {
                self.made += 1;
                self.connector.connect().map_err(|error| as_lost(&error))
            }
        }
    }

    fn put_back(&mut self, conn: PgConnection, keep: bool) {
        if keep {
            self.conn = Some(conn);
        } else {
            let name = &self.connector.target.name;
            log::warn!("{name}: a connection is replaced after a failed transaction");
        }
    }
}

/// Runs a transaction, and tells whether the connection may be used again.
pub(super) fn transact<T, E>(
    conn: &mut PgConnection,
    begin: &str,
    body: impl FnOnce(&mut PgConnection) -> Result<T, E>,
) -> (Result<T, Failed<E>>, bool) {
    match begun(conn, begin) {
        Ok(()) => ended(conn, body),
        Err((error, keep)) => (Err(Failed::Begin(error)), keep),
    }
}

/// Begins a transaction. With the error comes whether the connection may be used again.
pub(super) fn begun(conn: &mut PgConnection, begin: &str) -> Result<(), (Error, bool)> {
    AnsiTransactionManager::begin_transaction_sql(conn, begin).map_err(|error| {
        // What comes along with BEGIN may have failed in the transaction that it began.
        let keep = Fault::of(&error) != Fault::Connection && conn.batch_execute("ROLLBACK").is_ok();
        (error, keep)
    })
}

/// Runs the body in the transaction that has begun, and ends it.
pub(super) fn ended<T, E>(
    conn: &mut PgConnection,
    body: impl FnOnce(&mut PgConnection) -> Result<T, E>,
) -> (Result<T, Failed<E>>, bool) {
    // A transaction that is still open after a panic would swallow all that follow: roll back, and do
    // not use the connection again either.
    match catch_unwind(AssertUnwindSafe(|| body(conn))) {
        Ok(Ok(value)) => match commit(conn) {
            Ok(()) => (Ok(value), true),
            Err(error) => {
                let keep = Fault::of(&error) == Fault::Statement && rolled_back(conn);
                (Err(Failed::Commit(error)), keep)
            }
        },
        Ok(Err(error)) => {
            let keep = rolled_back(conn);
            (Err(Failed::Body(error)), keep)
        }
        Err(payload) => {
            // Closing the connection would roll back as well.
            rolled_back(conn);
            (Err(Failed::Panic(payload)), false)
        }
    }
}

/// Commits. PostgreSQL answers COMMIT with success also when a statement has failed and nobody
/// minded, though nothing is committed then: a statement before it tells.
fn commit(conn: &mut PgConnection) -> QueryResult<()> {
    let depth = AnsiTransactionManager::transaction_manager_status_mut(conn).transaction_depth()?;
    match depth.map(std::num::NonZeroU32::get) {
        Some(1) => conn.batch_execute("SELECT; COMMIT"),
        // Somebody has begun or ended a transaction: what was done in it is not ours to judge.
        _ => Err(Error::NotInTransaction),
    }
}

fn rolled_back(conn: &mut PgConnection) -> bool {
    let status = AnsiTransactionManager::transaction_manager_status_mut(conn);
    match status.transaction_depth().map(|depth| depth.map(std::num::NonZeroU32::get)) {
        Ok(None) => true,
        Ok(Some(1)) => AnsiTransactionManager::rollback_transaction(conn).is_ok(),
        _ => false,
    }
}

/// The connection, unless it believes to be in a transaction: `BEGIN` would only set a savepoint in
/// it, and nothing would ever be committed.
fn idle(mut conn: PgConnection) -> Option<PgConnection> {
    let status = AnsiTransactionManager::transaction_manager_status_mut(&mut conn);
    matches!(status.transaction_depth(), Ok(None)).then_some(conn)
}
