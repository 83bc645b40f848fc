//! [`SqliteDatabase`]: one SQLite file.

use std::{fmt, path::Path, sync::Arc};

use diesel::{prelude::*, sqlite::SqliteConnection};
use rederive_core::Wakers;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    SqliteEventLog, SqliteOptions, SqliteStore, connections::Connections,
    event_writer::EventWriter, target::Target,
};
use crate::{SqliteError, append::Appender};

/// One SQLite file: an event log, a store, and your own tables beside them. Clones share the
/// connections.
///
/// Open a file once per process and clone the handle: appends and commits of one handle share a
/// connection and wait for each other in line, while two handles of one file contend for SQLite's
/// lock. Several processes may open the file, but no two of them should run the same reducer.
///
/// Dropping the last handle waits until all appends that were accepted are written.
///
/// ```
/// use diesel::{connection::SimpleConnection, prelude::*};
/// use rederive_diesel::SqliteDatabase;
///
/// diesel::table! {
///     accounts (id) { id -> Text, balance -> BigInt }
/// }
///
/// # let directory = tempfile::tempdir()?;
/// # let file = directory.path().join("bank.db");
/// let db = SqliteDatabase::open(file)?;
/// db.write(|conn| {
///     conn.batch_execute(
///         "CREATE TABLE IF NOT EXISTS accounts (id TEXT PRIMARY KEY NOT NULL, balance INTEGER NOT NULL)",
///     )
/// })?;
/// let richest: Option<String> = db.read(|conn| {
///     accounts::table.select(accounts::id).order(accounts::balance.desc()).first(conn).optional()
/// })?;
/// assert_eq!(richest, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SqliteDatabase(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    // Dropped first: it finishes what it has accepted.
    pub(crate) appender: Appender,
    pub(crate) wakers: Arc<Wakers>,
    pub(crate) connections: Arc<Connections>,
}

impl SqliteDatabase {
    /// Opens the file with [`SqliteOptions::default`], creating it and the tables of Rederive
    /// where they are missing.
    ///
    /// Takes a path or a URL: `bank.db`, `/var/lib/bank.db`, `sqlite://bank.db`,
    /// `sqlite:///var/lib/bank.db?vfs=unix-excl`. The directory must exist.
    ///
    /// # Errors
    /// [`SqliteError`] says what is wrong with the file and what to do; nothing was changed.
    pub fn open(url: impl AsRef<Path>) -> Result<Self, SqliteError> {
        Self::open_with(url, SqliteOptions::default())
    }

    /// Opens the file as [`open`](Self::open) does, with other options.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_with(url: impl AsRef<Path>, options: SqliteOptions) -> Result<Self, SqliteError> {
        let target = Target::parse(url.as_ref())?;
        let connections = Arc::new(Connections::open(target, options)?);
        let wakers = Arc::new(Wakers::default());
        let (writer, longest) = (Arc::clone(&connections), connections.options.append_queue);
        let writer = move || EventWriter::new(Arc::clone(&writer));
        let appender = Appender::new(writer, Arc::clone(&wakers), longest);
        Ok(Self(Arc::new(Shared { appender, wakers, connections })))
    }

    /// The path of the file, absolute.
    pub fn path(&self) -> &Path {
        &self.0.connections.target.path
    }

    /// The event log in this database, with events of type `E` stored as JSON.
    ///
    /// All handles lead to the same events; a database has one log.
    pub fn event_log<E>(&self) -> SqliteEventLog<E>
    where
        E: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        SqliteEventLog::new(self.clone())
    }

    /// The store in this database: derived state in your own tables, and the progress of reducers.
    pub fn store(&self) -> SqliteStore {
        SqliteStore::new(self.clone())
    }

    /// Reads in a transaction of its own, so that all queries of the closure see one state of the
    /// database. May block, also for a free connection; reads do not block writes nor the other way
    /// round. The connection refuses to write.
    ///
    /// # Errors
    /// [`SqliteError`].
    pub fn read<T>(
        &self,
        read: impl FnOnce(&mut SqliteConnection) -> QueryResult<T>,
    ) -> Result<T, SqliteError> {
        let connections = &self.0.connections;
        let mut conn = connections.reader()?;
        (*conn).transaction(read).map_err(|error| connections.named(error))
    }

    /// Writes in a transaction of its own that holds the write lock: for setting up your tables, not
    /// for changing what reducers derive. May block. All of it is done, or with an error none of it.
    ///
    /// Calling [`write`](Self::write) or appending with `append_blocking` within the closure waits
    /// for itself for ever.
    ///
    /// # Errors
    /// [`SqliteError`]; nothing was written, unless it is [`SqliteError::InDoubt`].
    pub fn write<T>(
        &self,
        write: impl FnOnce(&mut SqliteConnection) -> QueryResult<T>,
    ) -> Result<T, SqliteError> {
        let connections = &self.0.connections;
        connections.transaction(write).map_err(|failed| connections.failed(failed))
    }
}

impl fmt::Debug for SqliteDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SqliteDatabase").field(&self.path()).finish()
    }
}
