//! Whether the transaction that Diesel believes in is still open.

use diesel::{
    QueryResult, RunQueryDsl,
    connection::{AnsiTransactionManager, TransactionManager},
    deserialize::QueryableByName,
    sql_query,
    sql_types::BigInt,
    sqlite::SqliteConnection,
};

/// Whether exactly one transaction is open, in which `PRAGMA defer_foreign_keys` was switched on.
///
/// SQLite ends a transaction by itself on some errors (`ON CONFLICT ROLLBACK`), and Diesel does not
/// see it; what follows would be committed statement by statement. The setting tells, as it is reset
/// when a transaction ends.
pub(crate) fn is_open(conn: &mut SqliteConnection) -> QueryResult<bool> {
    #[derive(QueryableByName)]
    struct Setting {
        #[diesel(sql_type = BigInt)]
        defer_foreign_keys: i64,
    }

    let status = AnsiTransactionManager::transaction_manager_status_mut(conn);
    let depth = status.transaction_depth()?.map(std::num::NonZeroU32::get);
    let setting: Setting = sql_query("PRAGMA defer_foreign_keys").get_result(conn)?;
    Ok(depth == Some(1) && setting.defer_foreign_keys == 1)
}
