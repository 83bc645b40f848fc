//! [`Line`]: a connection of somebody's own, and how a transaction is begun and ended.

use std::panic::{AssertUnwindSafe, catch_unwind};

use diesel::{
    connection::{AnsiTransactionManager, SimpleConnection, TransactionManager},
    pg::PgConnection,
    prelude::*,
    result::Error,
};

use super::{
    connections::{Connections, Failed, as_lost},
    connector::Connector,
    fault::Fault,
};

/// A connection of somebody's own, which is replaced when it breaks.
#[derive(Default)]
pub(crate) struct Line {
    /// Taken out while in use: a transaction that panics leaves `None`, and the next one connects anew.
    pub(super) conn: Option<PgConnection>,
}

impl Line {
    /// Runs `body` in a transaction.
    pub(crate) fn transaction<T, E>(
        &mut self,
        connections: &Connections,
        body: impl FnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, Failed<E>> {
        self.run(&connections.connector, &connections.begin, body)
    }

    /// The same, in which these statements are the first: they come along with `BEGIN`, and when one of
    /// them fails, the transaction has not begun.
    pub(crate) fn transaction_after<T, E>(
        &mut self,
        connections: &Connections,
        statements: &str,
        body: impl FnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, Failed<E>> {
        let begin = format!("{}; {statements}", connections.begin);
        self.run(&connections.connector, &begin, body)
    }

    /// Runs `body` in a transaction in which foreign keys that are deferrable are checked at the end.
    pub(crate) fn committing<T, E>(
        &mut self,
        connections: &Connections,
        body: impl FnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, Failed<E>> {
        self.run(&connections.connector, &connections.begin_commit, body)
    }

    pub(super) fn run<T, E>(
        &mut self,
        connector: &Connector,
        begin: &str,
        body: impl FnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, Failed<E>> {
        let mut conn = match self.conn.take().and_then(idle) {
            Some(conn) => conn,
            None => connector.connect().map_err(|error| Failed::Begin(as_lost(&error)))?,
        };
        let (result, keep) = transact(&mut conn, begin, body);
        if keep {
            self.conn = Some(conn);
        } else {
            let name = &connector.target.name;
            log::warn!("{name}: a connection is replaced after a failed transaction");
        }
        result
    }
}

/// Runs a transaction, and tells whether the connection may be used again.
fn transact<T, E>(
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
