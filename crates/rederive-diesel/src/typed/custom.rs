//! [`SqlOp`]: a Diesel statement or a closure as an op for one database.

use std::{fmt, sync::Arc};

use diesel::{Connection, result::QueryResult};
use rederive_core::CustomOp;

use crate::SqlStatement;

/// Something to be done with a connection, and how to write it as text.
pub(crate) trait Work<C>: Send + Sync {
    fn name(&self) -> String;

    fn run(&self, conn: &mut C) -> QueryResult<()>;
}

/// What runs with a connection `C`. Runs by reference, so that it can be run again after a rollback.
pub(crate) struct SqlOp<C> {
    work: Box<dyn Work<C>>,
    /// Whether the work could have ended the transaction and said nothing.
    pub(crate) is_closure: bool,
}

/// By one closure each.
struct Closures<N, W>(N, W);

impl<C, N, W> Work<C> for Closures<N, W>
where
    N: Fn() -> String + Send + Sync,
    W: Fn(&mut C) -> QueryResult<()> + Send + Sync,
{
    fn name(&self) -> String {
        (self.0)()
    }

    fn run(&self, conn: &mut C) -> QueryResult<()> {
        (self.1)(conn)
    }
}

impl<C: Connection + 'static> SqlOp<C> {
    /// A statement.
    #[cfg(feature = "sqlite")]
    pub(crate) fn of(work: impl Work<C> + 'static) -> Arc<dyn CustomOp> {
        Arc::new(Self { work: Box::new(work), is_closure: false })
    }

    /// A statement, and how to write it as text.
    #[cfg(feature = "postgres")]
    pub(crate) fn statement(
        name: impl Fn() -> String + Send + Sync + 'static,
        work: impl Fn(&mut C) -> QueryResult<()> + Send + Sync + 'static,
    ) -> Arc<dyn CustomOp> {
        Arc::new(Self { work: Box::new(Closures(name, work)), is_closure: false })
    }

    pub(crate) fn closure(
        name: String,
        work: impl Fn(&mut C) -> QueryResult<()> + Send + Sync + 'static,
    ) -> Arc<dyn CustomOp> {
        let name = move || name.clone();
        Arc::new(Self { work: Box::new(Closures(name, work)), is_closure: true })
    }

    /// What is known before it runs.
    pub(crate) fn explained(&self) -> SqlStatement {
        let name = self.work.name();
        match self.is_closure {
            true => SqlStatement::unknown(format!("the closure {name:?}")),
            // Diesel tells the values too, in a comment.
            false => SqlStatement { sql: name, values: Vec::new(), note: None },
        }
    }

    pub(crate) fn run(&self, conn: &mut C) -> QueryResult<()> {
        self.work.run(conn)
    }
}

impl<C> fmt::Debug for SqlOp<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SqlOp").field(&self.work.name()).finish()
    }
}

impl<C: Connection + 'static> CustomOp for SqlOp<C> {}
