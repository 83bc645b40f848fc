//! Whether the transaction that code of the user's ran in is still the same.

use diesel::{
    QueryResult,
    connection::{AnsiTransactionManager, TransactionManager},
    pg::PgConnection,
};

use super::sql::Sql;

/// Tells one transaction from all others.
pub(crate) struct Mark(String);

/// The mark of the transaction that is open.
pub(crate) fn mark(conn: &mut PgConnection) -> QueryResult<Mark> {
    // Not `pg_current_xact_id`, which PostgreSQL 12 does not have.
    let text = "SELECT pg_catalog.txid_current()::text";
    let row = Sql { text, binds: &[] }.row(conn)?;
    Ok(Mark(row.map_or(Ok(String::new()), |mut row| row.text())?))
}

/// Whether exactly that transaction is open, and can still be committed.
pub(crate) fn is_open(conn: &mut PgConnection, expected: &Mark) -> bool {
    let status = AnsiTransactionManager::transaction_manager_status_mut(conn);
    let depth = status.transaction_depth();
    let depth = depth.ok().flatten().map(std::num::NonZeroU32::get);
    depth == Some(1) && mark(conn).is_ok_and(|mark| mark.0 == expected.0)
}
