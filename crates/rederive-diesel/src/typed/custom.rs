//! [`SqlOp`]: a Diesel statement or a closure as an op for one database.

use std::{fmt, sync::Arc};

use diesel::{Connection, result::QueryResult};
use rederive_core::CustomOp;

use crate::SqlStatement;

type Work<C> = dyn Fn(&mut C) -> QueryResult<()> + Send + Sync;

/// What runs with a connection `C`. Runs by reference, so that it can be run again after a rollback.
pub(crate) struct SqlOp<C> {
    name: Box<dyn Fn() -> String + Send + Sync>,
    work: Box<Work<C>>,
    /// Whether the work could have ended the transaction and said nothing.
    pub(crate) is_closure: bool,
}

impl<C: Connection + 'static> SqlOp<C> {
    /// A statement, and how to write it as text.
    pub(crate) fn statement(
        name: impl Fn() -> String + Send + Sync + 'static,
        work: impl Fn(&mut C) -> QueryResult<()> + Send + Sync + 'static,
    ) -> Arc<dyn CustomOp> {
        Arc::new(Self { name: Box::new(name), work: Box::new(work), is_closure: false })
    }

    pub(crate) fn closure(
        name: String,
        work: impl Fn(&mut C) -> QueryResult<()> + Send + Sync + 'static,
    ) -> Arc<dyn CustomOp> {
        let name = Box::new(move || name.clone());
        Arc::new(Self { name, work: Box::new(work), is_closure: true })
    }

    /// What is known before it runs.
    pub(crate) fn explained(&self) -> SqlStatement {
        let name = (self.name)();
        match self.is_closure {
            true => SqlStatement::unknown(format!("the closure {name:?}")),
            // Diesel tells the values too, in a comment.
            false => SqlStatement { sql: name, values: Vec::new(), note: None },
        }
    }

    pub(crate) fn run(&self, conn: &mut C) -> QueryResult<()> {
        (self.work)(conn)
    }
}

impl<C> fmt::Debug for SqlOp<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SqlOp").field(&(self.name)()).finish()
    }
}

impl<C: Connection + 'static> CustomOp for SqlOp<C> {}
