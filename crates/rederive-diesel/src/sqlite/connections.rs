//! [`Connections`]: the one writer connection of a process, and the pool of its readers.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use diesel::{
    connection::{AnsiTransactionManager, SimpleConnection, TransactionManager},
    prelude::*,
    r2d2::{self, ConnectionManager, CustomizeConnection, Pool, PooledConnection},
    result::Error,
    sql_types::Text,
    sqlite::SqliteConnection,
};

use super::{
    SqliteError, SqliteOptions, Synchronous, ddl,
    fault::Fault,
    introspect::Catalog,
    joint::{Joint, Left, commit_error},
    target::Target,
};
use rederive_core::{Confirm, Tentative};

use crate::append::Furthest;
pub(crate) use crate::failed::Failed;

/// A connection that only reads.
pub(crate) type Reader = PooledConnection<ConnectionManager<SqliteConnection>>;

/// All connections of this process to one database.
///
/// SQLite lets one connection write at a time. When several of one process want to, they wait for
/// each other by sleeping; a mutex wakes them at once. So appends and commits share one connection,
/// and with it its cache of pages.
pub(crate) struct Connections {
    pub(crate) target: Target,
    pub(crate) options: SqliteOptions,
    /// Taken out while in use: a transaction that panics leaves `None`, and the next one opens anew.
    writer: Mutex<Option<SqliteConnection>>,
    readers: Pool<ConnectionManager<SqliteConnection>>,
    /// What is known about the tables of the database; only used while the writer is held.
    pub(crate) catalog: Mutex<Catalog>,
    /// How far the reducers that commit by these connections have come: appends wait for them.
    pub(crate) furthest: Furthest,
    /// Where appends let the commits of those who follow them join.
    pub(crate) joint: Arc<Joint>,
}

impl Connections {
    pub(crate) fn open(target: Target, options: SqliteOptions) -> Result<Self, SqliteError> {
        let named = |error| named(&target, &options, error);
        let mut conn = connect(&target, &options).map_err(named)?;
        let version = ddl::version(&mut conn).map_err(named)?;
        if version > ddl::CURRENT {
            let (path, known) = (target.path.clone(), ddl::CURRENT);
            return Err(SqliteError::NewerSchema { path, found: version, known });
        }
        if version < ddl::CURRENT {
            // Another process may be at it too: whoever gets the lock second finds nothing to do.
            conn.immediate_transaction(|conn| {
                let version = ddl::version(conn)?;
                if version < ddl::CURRENT { ddl::upgrade(conn, version) } else { Ok(()) }
            })
            .map_err(named)?;
        }
        let readers = Pool::builder()
            .max_size(options.readers)
            .min_idle(Some(0))
            .idle_timeout(None)
            .max_lifetime(None)
            // A file does not go away like a server: no need to ask before each use.
            .test_on_check_out(false)
            .connection_timeout(options.busy_timeout + Duration::from_secs(5))
            .connection_customizer(Box::new(ReadOnly(options.busy_timeout)))
            .build_unchecked(ConnectionManager::new(&target.url));
        Ok(Self {
            target,
            options,
            writer: Mutex::new(Some(conn)),
            readers,
            catalog: Mutex::default(),
            furthest: Furthest::default(),
            joint: Arc::default(),
        })
    }

    /// Runs `body` in a `BEGIN IMMEDIATE` transaction on the writer connection.
    pub(crate) fn transaction<T, E>(
        &self,
        body: impl FnOnce(&mut SqliteConnection) -> Result<T, E>,
    ) -> Result<T, Failed<E>> {
        if self.joint.is_telling() {
            // This thread holds the lock already.
            return self.transaction_on(&mut None, body);
        }
        self.transaction_on(&mut self.writer(), body)
    }

    fn transaction_on<T, E>(
        &self,
        writer: &mut Option<SqliteConnection>,
        body: impl FnOnce(&mut SqliteConnection) -> Result<T, E>,
    ) -> Result<T, Failed<E>> {
        let mut conn = self.begin(writer)?;
        let done = catch_unwind(AssertUnwindSafe(|| body(&mut conn)));
        let (result, conn) = end(conn, done);
        self.put_back(writer, conn);
        result
    }

    /// The same, for what others may join before it is committed: those who follow from the
    /// [`Tentative`] events in this offer, if there is one for what the body has done.
    pub(crate) fn joint_transaction<T, E, O: FnOnce()>(
        &self,
        body: impl FnOnce(&mut SqliteConnection) -> Result<T, E>,
        offer: impl FnOnce(&T) -> Option<Offer<O>>,
    ) -> Result<Done<T>, Unjoined<E>> {
        let mut writer = self.writer();
        let mut conn = self.begin(&mut writer).map_err(Unjoined::Failed)?;
        let done = catch_unwind(AssertUnwindSafe(|| {
            let value = body(&mut conn)?;
            let offer = offer(&value);
            Ok((value, offer))
        }));
        let (value, offer) = match done {
            Ok(Ok((value, Some(offer)))) => (value, offer),
            other => {
                let done = other.map(|done| done.map(|(value, _)| value));
                let (result, conn) = end(conn, done);
                self.put_back(&mut writer, conn);
                return match result {
                    Ok(value) => Ok(Done { value, joined: None }),
                    Err(failed) => Err(Unjoined::Failed(failed)),
                };
            }
        };
        let Offer { events, confirm, patience, tell } = offer;
        let (result, conn) = match self.joint.hand_out(conn, events, patience, tell) {
            Left::Open(conn) => {
                let (result, conn) = end(conn, Ok(Ok(value)));
                let result = result.map(|value| (value, false));
                (result.map_err(Unjoined::Failed), conn)
            }
            Left::Committed(conn) => (Ok((value, true)), Some(conn)),
            Left::Failed(conn, error) if in_doubt(&error) => {
                (Err(Unjoined::Failed(Failed::Commit(error))), conn)
            }
            Left::Failed(conn, _) => (Err(Unjoined::Broken), conn),
            Left::Broken => (Err(Unjoined::Broken), None),
        };
        if result.is_ok() {
            confirm.come();
        }
        let missed = self.joint.is_over();
        self.put_back(&mut writer, conn);
        let (value, joined) = result?;
        Ok(Done { value, joined: Some(Joined { joined, missed }) })
    }

    fn writer(&self) -> MutexGuard<'_, Option<SqliteConnection>> {
        let _waits = self.joint.waits();
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin<E>(
        &self,
        writer: &mut Option<SqliteConnection>,
    ) -> Result<SqliteConnection, Failed<E>> {
        let mut conn = match writer.take().and_then(idle) {
            Some(conn) => conn,
            None => connect(&self.target, &self.options).map_err(Failed::Begin)?,
        };
        match AnsiTransactionManager::begin_transaction_sql(&mut conn, "BEGIN IMMEDIATE") {
            Ok(()) => Ok(conn),
            Err(error) => {
                if Fault::of(&error) == Fault::Busy {
                    *writer = Some(conn);
                }
                Err(Failed::Begin(error))
            }
        }
    }

    fn put_back(&self, writer: &mut Option<SqliteConnection>, conn: Option<SqliteConnection>) {
        if conn.is_none() {
            let path = self.target.path.display();
            log::warn!("{path}: the connection for writing is replaced after a failed transaction");
        }
        *writer = conn;
    }

    /// A connection that only reads.
    pub(crate) fn reader(&self) -> Result<Reader, SqliteError> {
        self.readers.get().map_err(|error| SqliteError::Unavailable {
            path: self.target.path.clone(),
            message: format!("no connection for reading: {error}"),
        })
    }

    /// The error with the database's name in it.
    pub(crate) fn named(&self, error: Error) -> SqliteError {
        named(&self.target, &self.options, error)
    }

    /// The error of a transaction with the database's name in it; a panic goes on.
    pub(crate) fn failed(&self, failed: Failed<Error>) -> SqliteError {
        match failed {
            Failed::Begin(error) | Failed::Body(error) => self.named(error),
            Failed::Panic(payload) => std::panic::resume_unwind(payload),
            Failed::Commit(error) if in_doubt(&error) => {
                SqliteError::InDoubt { path: self.target.path.clone(), message: error.to_string() }
            }
            Failed::Commit(error) => self.named(error),
        }
    }
}

/// What others may join: a transaction whose appends are handed out.
pub(crate) struct Offer<O> {
    pub(crate) events: Tentative,
    pub(crate) confirm: Confirm,
    /// For how long.
    pub(crate) patience: Duration,
    /// Tells those who may join.
    pub(crate) tell: O,
}

/// Why what others could join was not committed.
pub(crate) enum Unjoined<E> {
    Failed(Failed<E>),
    /// Those who have joined it have ended it, and nothing of it was done.
    Broken,
}

/// What was committed.
pub(crate) struct Done<T> {
    pub(crate) value: T,
    /// Set when it was handed out.
    pub(crate) joined: Option<Joined>,
}

/// What became of a transaction that was handed out.
pub(crate) struct Joined {
    /// Somebody has joined it.
    pub(crate) joined: bool,
    /// Somebody has read the log meanwhile, and may have missed what is appended.
    pub(crate) missed: bool,
}

/// Ends a transaction whose body came to this: the connection, unless it must not be used again.
fn end<T, E>(
    mut conn: SqliteConnection,
    done: std::thread::Result<Result<T, E>>,
) -> (Result<T, Failed<E>>, Option<SqliteConnection>) {
    // A transaction that is still open after a panic would swallow all that follow: roll back,
    // and do not use the connection again either.
    let (result, keep) = match done {
        Ok(Ok(value)) => match AnsiTransactionManager::commit_transaction(&mut conn) {
            Ok(()) => (Ok(value), true),
            Err(error) => {
                let (keep, error) = commit_error(error);
                (Err(Failed::Commit(error)), keep)
            }
        },
        Ok(Err(error)) => {
            let keep = AnsiTransactionManager::rollback_transaction(&mut conn).is_ok();
            (Err(Failed::Body(error)), keep)
        }
        Err(payload) => {
            // Closing the connection would roll back as well.
            let _ = AnsiTransactionManager::rollback_transaction(&mut conn);
            (Err(Failed::Panic(payload)), false)
        }
    };
    (result, keep.then_some(conn))
}

/// Whether a failed COMMIT may have been done all the same.
///
/// Not when the lock, space or a constraint was missing: those are found before the commit record is
/// written to the log file. An I/O error may come from flushing it after that.
pub(crate) fn in_doubt(commit_error: &Error) -> bool {
    !matches!(Fault::of(commit_error), Fault::Statement | Fault::Busy | Fault::Full)
}

/// The connection, unless it believes to be in a transaction: `BEGIN` would only set a savepoint in
/// it, and nothing would ever be committed.
fn idle(mut conn: SqliteConnection) -> Option<SqliteConnection> {
    let status = AnsiTransactionManager::transaction_manager_status_mut(&mut conn);
    matches!(status.transaction_depth(), Ok(None)).then_some(conn)
}

/// Opens a connection that may write.
fn connect(target: &Target, options: &SqliteOptions) -> QueryResult<SqliteConnection> {
    let mut conn = SqliteConnection::establish(&target.url).map_err(|error| {
        let text = match error {
            ConnectionError::BadConnection(text) => text,
            other => other.to_string(),
        };
        Error::DatabaseError(diesel::result::DatabaseErrorKind::Unknown, Box::new(text))
    })?;
    // First of all, so that the others wait for a lock instead of failing.
    set_busy_timeout(&mut conn, options.busy_timeout)?;
    let synchronous = match options.synchronous {
        Synchronous::Full => "FULL",
        Synchronous::Normal => "NORMAL",
    };
    enter_wal(&mut conn, options.busy_timeout)?;
    conn.batch_execute(&format!(
        "PRAGMA synchronous = {synchronous};
         PRAGMA foreign_keys = ON;
         PRAGMA cache_size = -16384;
         PRAGMA journal_size_limit = 67108864;
         PRAGMA temp_store = MEMORY;"
    ))?;
    Ok(conn)
}

fn set_busy_timeout(conn: &mut SqliteConnection, timeout: Duration) -> QueryResult<()> {
    let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    conn.batch_execute(&format!("PRAGMA busy_timeout = {millis}"))
}

/// Switches to the write-ahead log. SQLite does not wait for the lock that this takes when it fears
/// a deadlock, so the waiting is done here.
fn enter_wal(conn: &mut SqliteConnection, timeout: Duration) -> QueryResult<()> {
    let begun = std::time::Instant::now();
    loop {
        let mode = diesel::dsl::sql::<Text>("PRAGMA journal_mode = WAL").get_result::<String>(conn);
        match mode {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => {
                let text = format!("it cannot use a write-ahead log, only journal mode {mode:?}");
                return Err(Error::QueryBuilderError(text.into()));
            }
            Err(error) if Fault::of(&error) == Fault::Busy && begun.elapsed() < timeout => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(error) => return Err(error),
        }
    }
}

fn named(target: &Target, options: &SqliteOptions, error: Error) -> SqliteError {
    let path = target.path.clone();
    let message = error.to_string();
    match Fault::of(&error) {
        Fault::Busy => SqliteError::Locked { path, waited: options.busy_timeout },
        Fault::Full | Fault::Machine | Fault::Connection => {
            SqliteError::Unavailable { path, message }
        }
        Fault::ReadOnly => SqliteError::ReadOnly { path },
        Fault::Corrupt => SqliteError::Corrupt { path, message },
        Fault::NotADatabase => SqliteError::NotADatabase { path },
        Fault::Statement => SqliteError::Query(error),
    }
}

#[derive(Debug)]
struct ReadOnly(Duration);

impl CustomizeConnection<SqliteConnection, r2d2::Error> for ReadOnly {
    fn on_acquire(&self, conn: &mut SqliteConnection) -> Result<(), r2d2::Error> {
        let set_up = |conn: &mut SqliteConnection| {
            set_busy_timeout(conn, self.0)?;
            conn.batch_execute("PRAGMA query_only = ON")
        };
        set_up(conn).map_err(r2d2::Error::QueryError)
    }
}

#[cfg(test)]
mod tests {
    use diesel::result::DatabaseErrorKind;

    use super::*;

    #[test]
    fn a_commit_is_in_doubt_only_when_it_may_have_reached_the_disk() {
        let error = |text: &str| {
            Error::DatabaseError(DatabaseErrorKind::Unknown, Box::new(text.to_owned()))
        };
        for text in ["disk I/O error", "unable to open database file"] {
            assert!(in_doubt(&error(text)), "{text}");
        }
        for text in ["database is locked", "database or disk is full", "a trigger said no"] {
            assert!(!in_doubt(&error(text)), "{text}");
        }
        let kind = DatabaseErrorKind::ForeignKeyViolation;
        let violation = Box::new("FOREIGN KEY constraint failed".to_owned());
        assert!(!in_doubt(&Error::DatabaseError(kind, violation)));
    }
}
