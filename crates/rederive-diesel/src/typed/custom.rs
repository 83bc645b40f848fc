//! [`SqliteOp`]: a Diesel statement or a closure as an op.

use std::{fmt, sync::Arc};

use diesel::{
    Connection,
    connection::{AnsiTransactionManager, TransactionManager},
    query_builder::{QueryFragment, QueryId},
    result::{Error, QueryResult},
    sql_query,
    sqlite::{Sqlite, SqliteConnection},
};
use rederive_core::CustomOp;

type Work = dyn Fn(&mut SqliteConnection) -> QueryResult<()> + Send + Sync;

/// What runs with the connection. Runs by reference, so that it can be run again after a rollback.
pub(crate) struct SqliteOp {
    name: Box<dyn Fn() -> String + Send + Sync>,
    work: Box<Work>,
    /// Whether the work could have ended the transaction and said nothing.
    is_closure: bool,
}

impl SqliteOp {
    pub(crate) fn statement<S>(statement: S) -> Arc<dyn CustomOp>
    where
        S: QueryFragment<Sqlite> + QueryId + Send + Sync + 'static,
    {
        let statement = Arc::new(statement);
        let named = Arc::clone(&statement);
        Arc::new(Self {
            name: Box::new(move || diesel::debug_query::<Sqlite, _>(&*named).to_string()),
            work: Box::new(move |conn| conn.execute_returning_count(&*statement).map(drop)),
            is_closure: false,
        })
    }

    pub(crate) fn closure<F>(name: String, work: F) -> Arc<dyn CustomOp>
    where
        F: Fn(&mut SqliteConnection) -> QueryResult<()> + Send + Sync + 'static,
    {
        Arc::new(Self {
            name: Box::new(move || name.clone()),
            work: Box::new(work),
            is_closure: true,
        })
    }

    pub(crate) fn name(&self) -> String {
        (self.name)()
    }

    pub(crate) fn run(&self, conn: &mut SqliteConnection) -> QueryResult<()> {
        (self.work)(conn)?;
        if self.is_closure { still_in_transaction(conn) } else { Ok(()) }
    }
}

/// SQLite ends a transaction by itself on some errors (`ON CONFLICT ROLLBACK`), and Diesel does not
/// see it; what follows would be committed statement by statement. The setting tells, as it is reset
/// when a transaction ends.
fn still_in_transaction(conn: &mut SqliteConnection) -> QueryResult<()> {
    use diesel::{RunQueryDsl, deserialize::QueryableByName, sql_types::BigInt};

    #[derive(QueryableByName)]
    struct Setting {
        #[diesel(sql_type = BigInt)]
        defer_foreign_keys: i64,
    }

    let status = AnsiTransactionManager::transaction_manager_status_mut(conn);
    let depth = status.transaction_depth()?.map(std::num::NonZeroU32::get);
    let setting: Setting = sql_query("PRAGMA defer_foreign_keys").get_result(conn)?;
    if depth == Some(1) && setting.defer_foreign_keys == 1 {
        Ok(())
    } else {
        let text = "the closure began or ended a transaction, or hid an error that ended it";
        Err(Error::QueryBuilderError(text.into()))
    }
}

impl fmt::Debug for SqliteOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SqliteOp").field(&self.name()).finish()
    }
}

impl CustomOp for SqliteOp {}
