//! [`PostgresDatabase`]: one database of a server.

use std::{fmt, sync::Arc};

use diesel::{QueryResult, pg::PgConnection};
use rederive_core::Wakers;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    PostgresError, PostgresEventLog, PostgresOptions, PostgresStore,
    connections::Connections,
    event_log::{EventWriter, listen::Listener},
    target::Target,
};
use crate::append::Appender;

/// One database of a PostgreSQL server: an event log, a store, and your own tables beside them.
/// Clones share the connections.
///
/// Connect once per process and clone the handle. Dropping the last handle waits until all appends
/// that were accepted are written.
///
/// ```no_run
/// use diesel::{connection::SimpleConnection, prelude::*};
/// use rederive_diesel::PostgresDatabase;
///
/// diesel::table! {
///     accounts (id) { id -> Text, balance -> BigInt }
/// }
///
/// let db = PostgresDatabase::connect("postgres://bank:secret@localhost/bank")?;
/// db.write(|conn| {
///     conn.batch_execute(
///         "CREATE TABLE IF NOT EXISTS accounts (id text PRIMARY KEY, balance bigint NOT NULL)",
///     )
/// })?;
/// let richest: Option<String> = db.read(|conn| {
///     accounts::table.select(accounts::id).order(accounts::balance.desc()).first(conn).optional()
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct PostgresDatabase(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    // Dropped first: it finishes what it has accepted.
    pub(crate) appender: Appender,
    pub(crate) listener: Arc<Listener>,
    pub(crate) wakers: Arc<Wakers>,
    pub(crate) connections: Arc<Connections>,
}

impl PostgresDatabase {
    /// Connects with [`PostgresOptions::default`], and creates the tables of Rederive where they are
    /// missing.
    ///
    /// Takes a URL (`postgres://user:password@host:port/database`) or any other connection string of
    /// libpq's. Blocks until the database answers.
    ///
    /// # Errors
    /// [`PostgresError`] says what is wrong and what to do; nothing was changed.
    pub fn connect(url: impl AsRef<str>) -> Result<Self, PostgresError> {
        Self::connect_with(url, PostgresOptions::default())
    }

    /// Connects as [`connect`](Self::connect) does, with other options.
    ///
    /// # Errors
    /// As for [`connect`](Self::connect).
    pub fn connect_with(
        url: impl AsRef<str>,
        options: PostgresOptions,
    ) -> Result<Self, PostgresError> {
        let target = Target::parse(url.as_ref(), &options)?;
        let connections = Arc::new(Connections::open(target, options)?);
        let wakers = Arc::new(Wakers::default());
        let listener = Arc::new(Listener::new(&connections, &wakers));
        let (longest, woken) = (connections.options.append_queue, Arc::clone(&wakers));
        let (writes, tells) = (Arc::clone(&connections), Arc::clone(&listener));
        let appender = Appender::new(move || EventWriter::new(&writes, &tells), woken, longest);
        Ok(Self(Arc::new(Shared { appender, listener, wakers, connections })))
    }

    /// The host, port and name of the database, as a URL without anything secret.
    pub fn name(&self) -> &str {
        &self.0.connections.target.name
    }

    /// The schema that the tables of Rederive are in.
    pub fn schema(&self) -> &str {
        &self.0.connections.schema.name
    }

    /// The event log in this database, with events of type `E` stored as JSON.
    ///
    /// All handles lead to the same events; a schema has one log.
    pub fn event_log<E>(&self) -> PostgresEventLog<E>
    where
        E: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        PostgresEventLog::new(self.clone())
    }

    /// The store in this database: derived state in your own tables, and the progress of reducers.
    pub fn store(&self) -> PostgresStore {
        PostgresStore::new(self.clone())
    }

    /// Reads in a transaction of its own, so that all queries of the closure see one state of the
    /// database. May block, also for a free connection. The transaction refuses to write.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub fn read<T>(
        &self,
        read: impl FnOnce(&mut PgConnection) -> QueryResult<T>,
    ) -> Result<T, PostgresError> {
        self.0.connections.read(read)
    }

    /// Writes in a transaction of its own (`READ COMMITTED`): for setting up your tables, not for
    /// changing what reducers derive. May block. All of it is done, or with an error none of it.
    ///
    /// # Errors
    /// [`PostgresError`]; nothing was written, unless it is [`PostgresError::InDoubt`].
    pub fn write<T>(
        &self,
        write: impl FnOnce(&mut PgConnection) -> QueryResult<T>,
    ) -> Result<T, PostgresError> {
        let connections = &self.0.connections;
        connections.transaction(write).map_err(|failed| connections.failed(failed))
    }
}

impl fmt::Debug for PostgresDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresDatabase").field(&self.name()).finish()
    }
}
