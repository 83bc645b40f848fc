//! [`SqliteOps`]: SQL of the user's own as an op.

use diesel::{
    Connection,
    query_builder::{QueryFragment, QueryId},
    result::QueryResult,
    sqlite::{Sqlite, SqliteConnection},
};
use rederive_core::{Op, Ops, ReduceError};

use crate::typed::{SqlOp, Work};

/// SQL of your own in the transaction of a [`SqliteStore`](crate::SqliteStore), for what
/// [`DieselOps`](crate::DieselOps) cannot say. Any other store rejects it.
pub trait SqliteOps {
    /// Any statement of Diesel's that owns its values. It runs in order with the other ops of its
    /// partition, on its own: slower than they are.
    ///
    /// ```
    /// use diesel::prelude::*;
    /// use rederive_diesel::SqliteOps;
    /// # diesel::table! { accounts (id) { id -> Text, owner -> Text, balance -> BigInt } }
    ///
    /// # let mut ops = rederive_core::Ops::new("p".into());
    /// ops.statement(
    ///     diesel::update(accounts::table.filter(accounts::balance.lt(0_i64)))
    ///         .set(accounts::owner.eq("the bank".to_owned())),
    /// )?;
    /// # Ok::<(), rederive_core::ReduceError>(())
    /// ```
    ///
    /// # Errors
    /// None at present.
    fn statement<S>(&mut self, statement: S) -> Result<(), ReduceError>
    where
        S: QueryFragment<Sqlite> + QueryId + Send + Sync + 'static;

    /// Code that runs in the transaction, in order with the other ops of its partition; `name`
    /// stands in messages. It may run several times (after a rollback), and must neither begin nor
    /// end a transaction nor keep an error of the connection to itself. An error or a panic rejects
    /// the event and halts its partition.
    ///
    /// ```
    /// use diesel::connection::SimpleConnection;
    /// use rederive_diesel::SqliteOps;
    ///
    /// # let mut ops = rederive_core::Ops::new("p".into());
    /// ops.run("forget old sessions", |conn| {
    ///     conn.batch_execute("DELETE FROM sessions WHERE old")
    /// })?;
    /// # Ok::<(), rederive_core::ReduceError>(())
    /// ```
    ///
    /// # Errors
    /// None at present.
    fn run<F>(&mut self, name: impl Into<String>, work: F) -> Result<(), ReduceError>
    where
        F: Fn(&mut SqliteConnection) -> QueryResult<()> + Send + Sync + 'static;
}

/// A statement that owns its values.
struct Stated<S>(S);

impl<S> Work<SqliteConnection> for Stated<S>
where
    S: QueryFragment<Sqlite> + QueryId + Send + Sync,
{
    fn name(&self) -> String {
        diesel::debug_query::<Sqlite, _>(&self.0).to_string()
    }

    fn run(&self, conn: &mut SqliteConnection) -> QueryResult<()> {
        conn.execute_returning_count(&self.0).map(drop)
    }
}

impl SqliteOps for Ops {
    fn statement<S>(&mut self, statement: S) -> Result<(), ReduceError>
    where
        S: QueryFragment<Sqlite> + QueryId + Send + Sync + 'static,
    {
        self.push(Op::Custom(SqlOp::<SqliteConnection>::of(Stated(statement))))
    }

    fn run<F>(&mut self, name: impl Into<String>, work: F) -> Result<(), ReduceError>
    where
        F: Fn(&mut SqliteConnection) -> QueryResult<()> + Send + Sync + 'static,
    {
        self.push(Op::Custom(SqlOp::closure(name.into(), work)))
    }
}
