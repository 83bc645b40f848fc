//! [`SqliteOp`]: a Diesel statement or a closure as an op.

use std::{fmt, sync::Arc};

use diesel::{
    Connection,
    query_builder::{QueryFragment, QueryId},
    result::{Error, QueryResult},
    sqlite::{Sqlite, SqliteConnection},
};
use rederive_core::CustomOp;

use crate::sqlite::{explain::SqlStatement, transaction};

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

    fn name(&self) -> String {
        (self.name)()
    }

    /// What is known before it runs.
    pub(crate) fn explained(&self) -> SqlStatement {
        let name = self.name();
        match self.is_closure {
            true => SqlStatement::unknown(format!("the closure {name:?}")),
            // Diesel tells the values too, in a comment.
            false => SqlStatement { sql: name, values: Vec::new(), note: None },
        }
    }

    pub(crate) fn run(&self, conn: &mut SqliteConnection) -> QueryResult<()> {
        (self.work)(conn)?;
        if self.is_closure { still_in_transaction(conn) } else { Ok(()) }
    }
}

fn still_in_transaction(conn: &mut SqliteConnection) -> QueryResult<()> {
    if transaction::is_open(conn)? {
        return Ok(());
    }
    let text = "the closure began or ended a transaction, or hid an error that ended it";
    Err(Error::QueryBuilderError(text.into()))
}

impl fmt::Debug for SqliteOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SqliteOp").field(&self.name()).finish()
    }
}

impl CustomOp for SqliteOp {}
