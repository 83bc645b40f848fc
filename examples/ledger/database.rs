//! [`Database`]: a file of SQLite's, or a database of a PostgreSQL server.

use diesel::QueryResult;
use rederive::diesel::{
    AppendError, Expected, PostgresDatabase, PostgresEventLog, PostgresOptions, SqliteDatabase,
    SqliteEventLog, SqliteOptions,
};
use rederive::{Config, Cursor, EventLog as _, Handle, Recorded, Rederive};
use rederive_examples::Place;

use crate::books::Books;
use crate::derive::Ledger;
use crate::event::LedgerEvent;
use crate::problem::Problem;
use crate::serve::Failure;
use crate::tables;

/// The most connections for reading: a server has a hundred for everybody unless it is set otherwise.
const MOST_CONNECTIONS: u32 = 16;

/// The one or the other, with its log. Clones share the connections.
#[derive(Clone)]
pub(crate) enum Database {
    Sqlite(SqliteDatabase, SqliteEventLog<LedgerEvent>),
    Postgres(PostgresDatabase, PostgresEventLog<LedgerEvent>),
}

impl Database {
    /// Opens it, with up to so many connections for reading, and creates the tables where they are
    /// missing. May block.
    pub(crate) fn open(place: &Place, readers: u32) -> Result<Self, Failure> {
        match place {
            Place::File(path) => {
                let options = SqliteOptions::default().readers(readers);
                let db = SqliteDatabase::open_with(path, options).map_err(Failure::new)?;
                db.write(tables::create).map_err(Failure::new)?;
                let log = db.event_log();
                Ok(Self::Sqlite(db, log))
            }
            Place::Server(url) => {
                let options = PostgresOptions::default()
                    .application_name("ledger")
                    .connections(readers.min(MOST_CONNECTIONS));
                let db = PostgresDatabase::connect_with(url, options).map_err(Failure::new)?;
                db.write(tables::create_on_postgres).map_err(Failure::new)?;
                let log = db.event_log();
                Ok(Self::Postgres(db, log))
            }
        }
    }

    /// Starts the reducer that fills the tables.
    pub(crate) async fn derive(&self, config: Config) -> Result<Handle, Failure> {
        let rederive = match self {
            Self::Sqlite(db, log) => Rederive::new(log.clone()).register(Ledger, db.store()),
            Self::Postgres(db, log) => Rederive::new(log.clone()).register(Ledger, db.store()),
        };
        rederive.config(config).start().await.map_err(Failure::new)
    }

    /// Runs queries in one transaction. May block.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&mut dyn Books) -> QueryResult<T>,
    ) -> Result<T, Problem> {
        match self {
            Self::Sqlite(db, _) => Ok(db.read(|conn| read(conn))?),
            Self::Postgres(db, _) => Ok(db.read(|conn| read(conn))?),
        }
    }

    /// The cursor of the last event that is recorded. May block.
    pub(crate) fn head(&self) -> Result<Cursor, Problem> {
        let head = match self {
            Self::Sqlite(_, log) => log.head(),
            Self::Postgres(_, log) => log.head(),
        };
        head.map_err(Problem::unavailable)
    }

    pub(crate) async fn append(
        &self,
        events: Vec<LedgerEvent>,
    ) -> Result<Vec<Recorded<LedgerEvent>>, AppendError> {
        match self {
            Self::Sqlite(_, log) => log.append(events).await,
            Self::Postgres(_, log) => log.append(events).await,
        }
    }

    pub(crate) async fn append_to(
        &self,
        stream: String,
        expected: Expected,
        events: Vec<LedgerEvent>,
    ) -> Result<Vec<Recorded<LedgerEvent>>, AppendError> {
        match self {
            Self::Sqlite(_, log) => log.append_to(stream, expected, events).await,
            Self::Postgres(_, log) => log.append_to(stream, expected, events).await,
        }
    }

    /// Runs statements, whatever the reducer has to do with it.
    #[cfg(test)]
    pub(crate) fn execute(&self, statements: &str) {
        use diesel::connection::SimpleConnection as _;

        match self {
            Self::Sqlite(db, _) => db.write(|conn| conn.batch_execute(statements)).unwrap(),
            Self::Postgres(db, _) => db.write(|conn| conn.batch_execute(statements)).unwrap(),
        }
    }
}
