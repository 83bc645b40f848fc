//! Whether the transaction that Diesel believes in is still open.

use diesel::{
    QueryResult,
    connection::{AnsiTransactionManager, SimpleConnection, TransactionManager},
    sqlite::SqliteConnection,
};

/// Whether exactly one transaction is open.
///
/// SQLite ends a transaction by itself on some errors (`ON CONFLICT ROLLBACK`), and Diesel does not
/// see it; what follows would be committed statement by statement. Trying to begin another tells:
/// SQLite refuses that while one is open, and changes nothing.
pub(crate) fn is_open(conn: &mut SqliteConnection) -> QueryResult<bool> {
    let status = AnsiTransactionManager::transaction_manager_status_mut(conn);
    let depth = status.transaction_depth()?.map(std::num::NonZeroU32::get);
    if conn.batch_execute("BEGIN").is_err() {
        return Ok(depth == Some(1));
    }
    conn.batch_execute("ROLLBACK")?;
    Ok(false)
}
