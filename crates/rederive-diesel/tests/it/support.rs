//! What several tests need: a temporary database, and commits without ceremony.

use diesel::{
    PgConnection, QueryResult, QueryableByName, RunQueryDsl, SqliteConnection,
    connection::{AnsiTransactionManager, SimpleConnection, TransactionManager},
    sql_query,
};
use rederive_core::{
    CommitError, Cursor, CursorKind, Halt, Op, Opening, Ops, PartitionId, PartitionWrite, Recorded,
    Reducer, ReducerWrite, Revision, Store, Writer,
};
use rederive_diesel::{
    PostgresStore, SqlExplanation, SqliteDatabase, SqliteOptions, SqliteStore, Synchronous,
};
use tempfile::TempDir;

pub(crate) use crate::postgres::scratch::Scratch as PostgresScratch;

/// A database in a directory of its own.
pub(crate) struct Scratch {
    pub(crate) db: SqliteDatabase,
    directory: TempDir,
}

impl Scratch {
    pub(crate) fn new(set_up: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let options = SqliteOptions::default().synchronous(Synchronous::Normal);
        let db = SqliteDatabase::open_with(directory.path().join("test.db"), options).unwrap();
        db.write(|conn| conn.batch_execute(set_up)).unwrap();
        Self { db, directory }
    }

    /// Drops all handles and opens the file again.
    pub(crate) fn reopened(self) -> Self {
        let Self { db, directory } = self;
        let path = db.path().to_owned();
        drop(db);
        Self { db: SqliteDatabase::open(path).unwrap(), directory }
    }

    /// Drops all handles; the file is there as long as the directory is.
    pub(crate) fn closed(self) -> TempDir {
        self.directory
    }

    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("test.db")
    }

    pub(crate) fn execute(&self, sql: &str) {
        self.db.write(|conn| conn.batch_execute(sql)).unwrap();
    }

    /// The single text column of a query.
    pub(crate) fn text(&self, sql: &str) -> Vec<String> {
        Db::text(self, sql)
    }
}

/// A database of a test's own, of either kind.
pub(crate) trait Db: Sized + 'static {
    type Store: Store + Send + Sync;
    type Conn: 'static;

    const IS_POSTGRES: bool;

    /// A database with these tables.
    fn new(set_up: &str) -> Self;
    fn store(&self) -> Self::Store;
    fn execute(&self, sql: &str);
    /// The single text column of a query.
    fn text(&self, sql: &str) -> Vec<String>;
    /// Explains what the store would do.
    fn explain<R: Reducer>(&self, reducer: &R, events: &[Recorded<R::Event>]) -> SqlExplanation;
    /// A closure as an op.
    fn run(
        ops: &mut Ops,
        name: &str,
        work: impl Fn(&mut Self::Conn) -> QueryResult<()> + Send + Sync + 'static,
    );
    /// Begins a transaction within the one that is open, and leaves it open.
    fn begin(conn: &mut Self::Conn) -> QueryResult<()>;
    /// Drops all handles and opens the database again.
    fn reopened(self) -> Self;
    /// Executes SQL on the connection.
    fn batch(conn: &mut Self::Conn, sql: &str) -> QueryResult<()>;
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = diesel::sql_types::Text)]
    line: String,
}

macro_rules! db {
    ($scratch:ident, $store:ty, $conn:ty, $ops:path, $is_postgres:literal) => {
        impl Db for $scratch {
            type Store = $store;
            type Conn = $conn;

            const IS_POSTGRES: bool = $is_postgres;

            fn new(set_up: &str) -> Self {
                $scratch::new(set_up)
            }

            fn store(&self) -> $store {
                self.db.store()
            }

            fn execute(&self, sql: &str) {
                self.db.write(|conn| conn.batch_execute(sql)).unwrap();
            }

            fn text(&self, sql: &str) -> Vec<String> {
                let sql =
                    format!("SELECT coalesce(line, 'NULL') AS line FROM ({sql}) AS all_lines");
                let lines: Vec<Line> = self.db.read(|conn| sql_query(sql).load(conn)).unwrap();
                lines.into_iter().map(|line| line.line).collect()
            }

            fn explain<R: Reducer>(
                &self,
                reducer: &R,
                events: &[Recorded<R::Event>],
            ) -> SqlExplanation {
                self.db.store().explain(reducer, events).unwrap()
            }

            fn run(
                ops: &mut Ops,
                name: &str,
                work: impl Fn(&mut $conn) -> QueryResult<()> + Send + Sync + 'static,
            ) {
                use $ops as OpsOfDatabase;
                OpsOfDatabase::run(ops, name, work).unwrap();
            }

            fn begin(conn: &mut $conn) -> QueryResult<()> {
                AnsiTransactionManager::begin_transaction(conn)
            }

            fn reopened(self) -> Self {
                $scratch::reopened(self)
            }

            fn batch(conn: &mut $conn, sql: &str) -> QueryResult<()> {
                conn.batch_execute(sql)
            }
        }
    };
}
db!(Scratch, SqliteStore, SqliteConnection, rederive_diesel::SqliteOps, false);
db!(PostgresScratch, PostgresStore, PgConnection, rederive_diesel::PostgresOps, true);

/// Runs each of these functions as a test on both databases.
macro_rules! on_every_database {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(
                #[test]
                fn $name() {
                    super::$name::<crate::support::Scratch>();
                }
            )*
        }

        mod on_postgres {
            $(
                #[test]
                fn $name() {
                    super::$name::<crate::support::PostgresScratch>();
                }
            )*
        }
    };
}
pub(crate) use on_every_database;

/// Defines a trait of both databases, with functions that read by queries of Diesel's own.
macro_rules! queries {
    ($name:ident { $(fn $query:ident($conn:ident) -> $rows:ty $body:block)+ }) => {
        trait $name: $crate::support::Db {
            $(fn $query(&self) -> $rows;)+
        }
        $crate::support::queries!(@of $crate::support::Scratch, $name { $($query, $conn, $rows, $body)+ });
        $crate::support::queries!(
            @of $crate::support::PostgresScratch, $name { $($query, $conn, $rows, $body)+ }
        );
    };
    (@of $db:ty, $name:ident { $($query:ident, $conn:ident, $rows:ty, $body:block)+ }) => {
        impl $name for $db {
            $(fn $query(&self) -> $rows {
                self.db.read(|$conn| $body).unwrap()
            })+
        }
    };
}
pub(crate) use queries;

/// A reducer that has been taken over, and a writer for it.
pub(crate) struct Owner {
    reducer: &'static str,
    pub(crate) writer: Box<dyn Writer>,
    pub(crate) revision: Revision,
    next: u64,
}

impl Owner {
    /// Of the reducer "test".
    pub(crate) fn of(store: &impl Store) -> Self {
        Self::of_reducer(store, "test")
    }

    pub(crate) fn of_reducer(store: &impl Store, reducer: &'static str) -> Self {
        let opened = store.open(&Opening::new(reducer, 1, CursorKind::Integer)).unwrap();
        let writer = store.writer().unwrap();
        let cursors = opened.partitions.iter().map(|row| match row.cursor {
            Cursor::Integer(number) => number,
            _ => 0,
        });
        let next = cursors.max().unwrap_or(0) + 1;
        Self { reducer, writer, revision: opened.revision, next }
    }

    /// Commits the ops of each partition in one transaction, at the next cursor. Each partition gets
    /// a row of its own, as if the watermark lagged behind.
    pub(crate) fn commit(&mut self, partitions: &[(&str, Vec<Op>)]) -> Result<(), CommitError> {
        let cursor = Cursor::from(self.next);
        let ids: Vec<PartitionId> = partitions.iter().map(|(id, _)| (*id).into()).collect();
        let partitions = ids.iter().zip(partitions).map(|(id, (_, ops))| PartitionWrite {
            partition: id,
            ops,
            cursor: &cursor,
            guard: Some(&cursor),
            halt: None,
            skips: Vec::new(),
            record: true,
            reset: false,
        });
        let write = ReducerWrite {
            reducer: self.reducer,
            revision: self.revision,
            watermark: &Cursor::Start,
            partitions: partitions.collect(),
            skips: Vec::new(),
        };
        self.writer.commit(&[write])?;
        self.next += 1;
        self.revision = self.revision.next();
        Ok(())
    }

    /// Commits ops of one partition.
    pub(crate) fn apply(&mut self, ops: Vec<Op>) -> Result<(), CommitError> {
        self.commit(&[("p", ops)])
    }

    /// Writes the progress of one partition, without ops.
    pub(crate) fn progress(
        &mut self,
        id: &str,
        cursor: u64,
        guard: Option<u64>,
        halt: Option<&Halt>,
        watermark: u64,
    ) -> Result<(), CommitError> {
        let (id, cursor, guard) = (id.into(), Cursor::from(cursor), guard.map(Cursor::from));
        let watermark = if watermark == 0 { Cursor::Start } else { Cursor::from(watermark) };
        let partition = PartitionWrite {
            partition: &id,
            ops: &[],
            cursor: &cursor,
            guard: guard.as_ref(),
            halt,
            skips: Vec::new(),
            record: halt.is_some() || cursor > watermark,
            reset: false,
        };
        let write = ReducerWrite {
            reducer: self.reducer,
            revision: self.revision,
            watermark: &watermark,
            partitions: vec![partition],
            skips: Vec::new(),
        };
        self.writer.commit(&[write])?;
        self.revision = self.revision.next();
        Ok(())
    }
}

/// The message of a rejection.
pub(crate) fn rejection(result: Result<(), CommitError>) -> String {
    match result {
        Err(CommitError::Rejected { message, .. }) => message,
        other => panic!("not rejected: {other:?}"),
    }
}
