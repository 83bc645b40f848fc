//! [`Connections`]: a pool for reads and occasional writes, and [`Line`]s of writers' own.

use std::panic::{AssertUnwindSafe, catch_unwind};

use diesel::{
    connection::{AnsiTransactionManager, CacheSize, SimpleConnection, TransactionManager},
    pg::PgConnection,
    prelude::*,
    r2d2::{NopErrorHandler, Pool, PooledConnection},
    result::{DatabaseErrorKind, Error},
};

use super::{
    PostgresError, PostgresOptions, ddl,
    fault::Fault,
    pool::Manager,
    pooler::{self, Between},
    sql::{Bind, Schema, Sql},
    target::Target,
};
pub(crate) use crate::failed::Failed;

type Pooled = PooledConnection<Manager>;

/// All connections of this process to one database.
#[derive(Debug)]
pub(crate) struct Connections {
    pub(crate) target: Target,
    pub(crate) options: PostgresOptions,
    pub(crate) schema: Schema,
    /// Begins a transaction that writes, and sets its time-outs.
    begin: String,
    /// The same for a commit, in which foreign keys that may wait do so.
    begin_commit: String,
    /// The same for one that sees one state of the database and cannot write.
    begin_read: String,
    pool: Pool<Manager>,
}

impl Connections {
    pub(crate) fn open(
        target: Target,
        mut options: PostgresOptions,
    ) -> Result<Self, PostgresError> {
        adapt(&target, &mut options)?;
        let mut conn = connect(&target, &options).map_err(|error| refused(&target, &error))?;
        let named = |error| named(&target, error);
        let (schema, may_choose_language) = set_up(&mut conn, &target, &options)?;
        let begin = begin(&options, may_choose_language);
        let set_timeouts = format!("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; {begin}");
        let mut first = Line { conn: Some(conn) };
        let done = first.run(&target, &options, &set_timeouts, |conn| {
            let version = ddl::version(conn, &schema)?;
            if version >= ddl::CURRENT {
                return Ok(version);
            }
            ddl::lock(conn)?;
            // Another process may have been at it in the meantime.
            let version = ddl::version(conn, &schema)?;
            if version < ddl::CURRENT {
                ddl::upgrade(conn, &schema, version)?;
            }
            Ok(version.max(ddl::CURRENT))
        });
        let version = match done {
            Ok(version) => version,
            Err(Failed::Panic(payload)) => std::panic::resume_unwind(payload),
            Err(Failed::Begin(error) | Failed::Commit(error)) => return Err(named(error)),
            Err(Failed::Body(error)) => return Err(not_set_up(&target, &schema, error)),
        };
        if version > ddl::CURRENT {
            let (database, known) = (target.name.clone(), ddl::CURRENT);
            return Err(PostgresError::NewerSchema { database, found: version, known });
        }
        let pool = Pool::builder()
            .max_size(options.connections)
            .min_idle(Some(0))
            .connection_timeout(options.connect_timeout)
            // What cannot be had is told to whoever waits for it.
            .error_handler(Box::new(NopErrorHandler))
            .build_unchecked(Manager { target: target.clone(), options: options.clone() });
        let begin_read = format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {begin}");
        let begin_commit = format!("{set_timeouts}; SET CONSTRAINTS ALL DEFERRED");
        Ok(Self { target, options, schema, begin: set_timeouts, begin_commit, begin_read, pool })
    }

    /// Runs `body` in a transaction on a connection of the pool.
    pub(crate) fn transaction<T, E>(
        &self,
        body: impl FnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, Failed<E>> {
        self.pooled(&self.begin, body)
    }

    /// Runs `body` in a transaction that cannot write, and in which all queries see one state.
    pub(crate) fn read<T>(
        &self,
        body: impl FnOnce(&mut PgConnection) -> QueryResult<T>,
    ) -> Result<T, PostgresError> {
        self.pooled(&self.begin_read, body).map_err(|failed| match failed {
            // There was nothing to be done or not.
            Failed::Commit(error) => self.named(error),
            other => self.failed(other),
        })
    }

    fn pooled<T, E>(
        &self,
        begin: &str,
        body: impl FnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, Failed<E>> {
        let mut conn: Pooled = self.pool.get().map_err(|error| {
            let text = format!("no connection of the pool is free: {error}");
            Failed::Begin(Error::DatabaseError(
                DatabaseErrorKind::UnableToSendCommand,
                Box::new(text),
            ))
        })?;
        let (result, keep) = transact(&mut conn, begin, body);
        if !keep {
            // The pool closes it when it comes back.
            AnsiTransactionManager::transaction_manager_status_mut(&mut *conn).set_in_error();
        }
        result
    }

    /// The error with the database's name in it.
    pub(crate) fn named(&self, error: Error) -> PostgresError {
        named(&self.target, error)
    }

    /// The error of a transaction with the database's name in it; a panic goes on.
    pub(crate) fn failed(&self, failed: Failed<Error>) -> PostgresError {
        match failed {
            Failed::Begin(error) | Failed::Body(error) => self.named(error),
            Failed::Panic(payload) => std::panic::resume_unwind(payload),
            Failed::Commit(error) if in_doubt(&error) => {
                let (database, message) = (self.target.name.clone(), text_of(&error));
                PostgresError::InDoubt { database, message }
            }
            Failed::Commit(error) => self.named(error),
        }
    }
}

/// A connection of somebody's own, which is replaced when it breaks.
#[derive(Default)]
pub(crate) struct Line {
    /// Taken out while in use: a transaction that panics leaves `None`, and the next one connects anew.
    conn: Option<PgConnection>,
}

impl Line {
    /// Runs `body` in a transaction.
    pub(crate) fn transaction<T, E>(
        &mut self,
        connections: &Connections,
        body: impl FnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, Failed<E>> {
        let Connections { target, options, begin, .. } = connections;
        self.run(target, options, begin, body)
    }

    /// Runs `body` in a transaction in which foreign keys that are deferrable are checked at the end.
    pub(crate) fn committing<T, E>(
        &mut self,
        connections: &Connections,
        body: impl FnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, Failed<E>> {
        let Connections { target, options, begin_commit, .. } = connections;
        self.run(target, options, begin_commit, body)
    }

    fn run<T, E>(
        &mut self,
        target: &Target,
        options: &PostgresOptions,
        begin: &str,
        body: impl FnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, Failed<E>> {
        let mut conn = match self.conn.take().and_then(idle) {
            Some(conn) => conn,
            None => connect(target, options).map_err(|error| Failed::Begin(as_lost(&error)))?,
        };
        let (result, keep) = transact(&mut conn, begin, body);
        if keep {
            self.conn = Some(conn);
        } else {
            log::warn!("{}: a connection is replaced after a failed transaction", target.name);
        }
        result
    }
}

/// Runs a transaction, and tells whether the connection may be used again.
fn transact<T, E>(
    conn: &mut PgConnection,
    begin: &str,
    body: impl FnOnce(&mut PgConnection) -> Result<T, E>,
) -> (Result<T, Failed<E>>, bool) {
    if let Err(error) = AnsiTransactionManager::begin_transaction_sql(conn, begin) {
        return (Err(Failed::Begin(error)), false);
    }
    // A transaction that is still open after a panic would swallow all that follow: roll back, and do
    // not use the connection again either.
    match catch_unwind(AssertUnwindSafe(|| body(conn))) {
        Ok(Ok(value)) => match commit(conn) {
            Ok(()) => (Ok(value), true),
            Err(error) => {
                let keep = Fault::of(&error) == Fault::Statement && rolled_back(conn);
                (Err(Failed::Commit(error)), keep)
            }
        },
        Ok(Err(error)) => {
            let keep = rolled_back(conn);
            (Err(Failed::Body(error)), keep)
        }
        Err(payload) => {
            // Closing the connection would roll back as well.
            rolled_back(conn);
            (Err(Failed::Panic(payload)), false)
        }
    }
}

/// Commits. PostgreSQL answers COMMIT with success also when a statement has failed and nobody
/// minded, though nothing is committed then: a statement before it tells.
fn commit(conn: &mut PgConnection) -> QueryResult<()> {
    let depth = AnsiTransactionManager::transaction_manager_status_mut(conn).transaction_depth()?;
    match depth.map(std::num::NonZeroU32::get) {
        Some(1) => conn.batch_execute("SELECT; COMMIT"),
        // Somebody has begun or ended a transaction: what was done in it is not ours to judge.
        _ => Err(Error::NotInTransaction),
    }
}

fn rolled_back(conn: &mut PgConnection) -> bool {
    let status = AnsiTransactionManager::transaction_manager_status_mut(conn);
    match status.transaction_depth().map(|depth| depth.map(std::num::NonZeroU32::get)) {
        Ok(None) => true,
        Ok(Some(1)) => AnsiTransactionManager::rollback_transaction(conn).is_ok(),
        _ => false,
    }
}

/// The connection, unless it believes to be in a transaction: `BEGIN` would only set a savepoint in
/// it, and nothing would ever be committed.
fn idle(mut conn: PgConnection) -> Option<PgConnection> {
    let status = AnsiTransactionManager::transaction_manager_status_mut(&mut conn);
    matches!(status.transaction_depth(), Ok(None)).then_some(conn)
}

/// Whether a failed COMMIT may have been done all the same: not when the server has refused it.
pub(crate) fn in_doubt(commit_error: &Error) -> bool {
    Fault::of(commit_error) == Fault::Connection
        && !matches!(commit_error, Error::NotInTransaction | Error::BrokenTransactionManager)
}

/// Sets what a transaction is bound to, on it alone: a pooler may hand the connection on.
fn begin(options: &PostgresOptions, may_choose_language: bool) -> String {
    let language = if may_choose_language { "; SET LOCAL lc_messages = 'C'" } else { "" };
    format!(
        "SET LOCAL statement_timeout = {}; SET LOCAL lock_timeout = {}; \
         SET LOCAL idle_in_transaction_session_timeout = {}; \
         SET LOCAL client_min_messages = warning{language}",
        options.statement_timeout.as_millis().min(i32::MAX as u128),
        options.lock_timeout.as_millis().min(i32::MAX as u128),
        options.idle_timeout.as_millis().min(i32::MAX as u128),
    )
}

pub(crate) fn connect(
    target: &Target,
    options: &PostgresOptions,
) -> Result<PgConnection, ConnectionError> {
    let mut conn = connect_to(target)?;
    if options.prepared_statements == Some(false) {
        conn.set_prepared_statement_cache_size(CacheSize::Disabled);
    }
    Ok(conn)
}

/// Connects, once more where a pooler gave the parts of Diesel's first statements to several
/// connections of the server.
pub(crate) fn connect_to(target: &Target) -> Result<PgConnection, ConnectionError> {
    let mut tries = 1;
    loop {
        match PgConnection::establish(&target.url) {
            Err(ConnectionError::CouldntSetupConfiguration(error))
                if Fault::of(&error) == Fault::Connection && tries < 10 => {}
            done => return done,
        }
        tries += 1;
    }
}

/// Leaves out what a pooler does not carry.
fn adapt(target: &Target, options: &mut PostgresOptions) -> Result<(), PostgresError> {
    if options.prepared_statements.is_some() && options.notifications.is_some() {
        return Ok(());
    }
    match pooler::look(target) {
        Ok(Between::Nothing) => return Ok(()),
        Ok(Between::Pooler) => {}
        Err(error) => match refused(target, &error) {
            // It may be the setting that is not let in: then a connection without it is.
            denied @ PostgresError::Denied { .. } => {
                connect_to(target).map_err(|_| denied)?;
            }
            other => return Err(other),
        },
    }
    log::info!(
        "{}: a pooler is in between, so statements are not kept prepared and appends of other \
         processes are found by polling, unless the options say otherwise",
        target.name
    );
    options.prepared_statements.get_or_insert(false);
    options.notifications.get_or_insert(false);
    Ok(())
}

/// Looks at the server: the schema to use, and whether we may choose the language of its messages.
fn set_up(
    conn: &mut PgConnection,
    target: &Target,
    options: &PostgresOptions,
) -> Result<(Schema, bool), PostgresError> {
    let (schema, language) = conn.transaction(|conn| look_around(conn, target, options))?;
    let may_choose = conn.batch_execute("SET lc_messages = 'C'; RESET lc_messages").is_ok();
    let is_english = ["C", "POSIX", "en"].iter().any(|english| language.starts_with(english));
    if !may_choose && !is_english {
        let database = &target.name;
        log::warn!(
            "{database}: the server speaks {language}, and its user may not change that for \
             itself: errors that would pass by themselves may be taken for lasting ones; set \
             lc_messages to 'C' for the user (ALTER ROLE … SET lc_messages = 'C')"
        );
    }
    Ok((schema, may_choose && !is_english))
}

/// The schema to use, and the language of the server's messages.
fn look_around(
    conn: &mut PgConnection,
    target: &Target,
    options: &PostgresOptions,
) -> Result<(Schema, String), PostgresError> {
    let named = |error| named(target, error);
    let text = "SELECT pg_catalog.current_setting('server_version'),
        pg_catalog.current_setting('server_version_num')::int8,
        pg_catalog.current_setting('lc_messages'),
        coalesce(\0, pg_catalog.current_schema())::text";
    let binds = [Bind::Text(options.schema.as_deref().map(Into::into))];
    let row = Sql { text, binds: &binds }.row(conn).map_err(named)?;
    let Some(mut row) = row else { return Err(named(Error::NotFound)) };
    let database = target.name.clone();
    let version = row.text().map_err(named)?;
    if row.integer().map_err(named)? < 120_000 {
        return Err(PostgresError::TooOld { database, version });
    }
    let language = row.text().map_err(named)?;
    let schema = row.nullable_text().map_err(named)?;
    let Some(schema) = schema else {
        let problem = "no schema of the search_path exists that this user may use: create one, \
                       grant USAGE on it, or name another by `PostgresOptions::schema`";
        return Err(PostgresError::Schema {
            database,
            schema: String::new(),
            problem: problem.to_owned(),
        });
    };
    if schema.is_empty() || schema.len() > 63 || schema.contains(['\0', '@']) {
        let problem = "a schema's name has 1 to 63 bytes, no NUL and no @".to_owned();
        return Err(PostgresError::Schema { database, schema, problem });
    }
    let text = "SELECT pg_catalog.to_regnamespace(\0) IS NOT NULL";
    let binds = [Bind::text(super::sql::quoted(&schema))];
    let exists = Sql { text, binds: &binds }.row(conn).map_err(named)?;
    if !exists.map_or(Ok(false), |mut row| row.bool()).map_err(named)? {
        let problem = "it does not exist: create it (CREATE SCHEMA)".to_owned();
        return Err(PostgresError::Schema { database, schema, problem });
    }
    Ok((Schema::new(schema), language))
}

/// Why the tables of Rederive could not be created.
fn not_set_up(target: &Target, schema: &Schema, error: Error) -> PostgresError {
    match Fault::of(&error) {
        Fault::Statement => PostgresError::Schema {
            database: target.name.clone(),
            schema: schema.name.clone(),
            problem: format!(
                "{}: the user needs the right to create tables in it (GRANT USAGE, CREATE ON SCHEMA), \
                 or another user sets them up first and grants it what docs/postgres.md lists",
                text_of(&error)
            ),
        },
        _ => named(target, error),
    }
}

/// A connection could not be made.
fn refused(target: &Target, error: &ConnectionError) -> PostgresError {
    let database = target.name.clone();
    let message = match error {
        ConnectionError::BadConnection(text) => one_line(text),
        other => other.to_string(),
    };
    // Of a URL that it cannot parse, libpq tells parts, and the password may be among them.
    let is_of_server = message.starts_with("connection to server ")
        || message.starts_with("could not translate host name ");
    if !is_of_server {
        let problem = "libpq cannot make sense of it".to_owned();
        return PostgresError::Url { problem };
    }
    let passes = ["the database system is", "too many", "remaining connection slots", "not accept"];
    let lasting = message.contains("FATAL:") && !passes.iter().any(|text| message.contains(text));
    if lasting {
        PostgresError::Denied { database, message }
    } else {
        PostgresError::Unreachable { database, message }
    }
}

fn as_lost(error: &ConnectionError) -> Error {
    let text = match error {
        ConnectionError::BadConnection(text) => one_line(text),
        other => other.to_string(),
    };
    Error::DatabaseError(DatabaseErrorKind::UnableToSendCommand, Box::new(text))
}

fn named(target: &Target, error: Error) -> PostgresError {
    let (database, message) = (target.name.clone(), text_of(&error));
    match Fault::of(&error) {
        Fault::Busy => PostgresError::Busy { database, message },
        Fault::ReadOnly => PostgresError::ReadOnly { database, message },
        Fault::Machine | Fault::Connection => PostgresError::Unavailable { database, message },
        Fault::Statement => PostgresError::Query(error),
    }
}

/// What was said, in one line: libpq's own texts have several.
pub(crate) fn text_of(error: &Error) -> String {
    one_line(&error.to_string())
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
