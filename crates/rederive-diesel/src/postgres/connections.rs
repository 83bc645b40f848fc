//! [`Connections`]: a pool for reads and occasional writes, and [`Line`]s of writers' own.

use diesel::{
    connection::{AnsiTransactionManager, SimpleConnection, TransactionManager},
    pg::PgConnection,
    prelude::*,
    r2d2::{NopErrorHandler, Pool, PooledConnection},
    result::{DatabaseErrorKind, Error},
};

pub(crate) use super::line::Line;
use super::{
    PostgresError, PostgresOptions,
    connector::{self, Connector, PLANNED_ANEW, connect_to},
    ddl,
    fault::Fault,
    line::{begun, ended, transact},
    pool::Manager,
    pooler::{self, Between},
    sql::{Bind, Schema, Sql},
    target::Target,
};
use crate::append::Furthest;
pub(crate) use crate::failed::Failed;

type Pooled = PooledConnection<Manager>;

/// All connections of this process to one database.
#[derive(Debug)]
pub(crate) struct Connections {
    pub(crate) target: Target,
    pub(crate) options: PostgresOptions,
    pub(crate) schema: Schema,
    pub(crate) connector: Connector,
    /// The same for those who commit.
    pub(crate) committing: Connector,
    /// Whether time-outs are set on connections: nothing hands them on. Else each transaction sets its
    /// own.
    pub(crate) is_direct: bool,
    /// Begins a transaction that writes.
    pub(crate) begin: String,
    /// The same for a commit, in which foreign keys that may wait do so.
    pub(crate) begin_commit: String,
    /// The same for one that finds rows by other than their keys.
    pub(crate) begin_planned_anew: String,
    /// The same for one that sees one state of the database and cannot write.
    begin_read: String,
    pool: Pool<Manager>,
    /// How far the reducers that commit by these connections have come: appends wait for them.
    pub(crate) furthest: Furthest,
}

impl Connections {
    pub(crate) fn open(
        target: Target,
        mut options: PostgresOptions,
    ) -> Result<Self, PostgresError> {
        let refused = |error| refused(&target, &error);
        let (is_direct, made) = adapt(&target, &mut options)?;
        let connector = Connector::new(&target, &options, &[]);
        let mut conn = match made {
            Some(conn) => connector.adopt(conn),
            None => connector.connect(),
        }
        .map_err(refused)?;
        let named = |error| named(&target, error);
        let (schema, may_choose_language, version) = set_up(&mut conn, &target, &options)?;
        let bounds = connector::bounds(&options, may_choose_language);
        let (of_connections, of_transactions) =
            if is_direct { (bounds, Vec::new()) } else { (Vec::new(), bounds) };
        let connector = Connector::new(&target, &options, &of_connections);
        let of_transactions: String =
            of_transactions.iter().map(|bound| format!("; SET LOCAL {bound}")).collect();
        let begin = format!("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE{of_transactions}");
        let mut conn = connector.adopt(conn).map_err(refused)?;
        let version = match version {
            Some(version) if version >= ddl::CURRENT => version,
            _ => match transact(&mut conn, &begin, |conn| upgraded(conn, &schema)).0 {
                Ok(version) => version,
                Err(Failed::Panic(payload)) => std::panic::resume_unwind(payload),
                Err(Failed::Begin(error) | Failed::Commit(error)) => return Err(named(error)),
                Err(Failed::Body(error)) => return Err(not_set_up(&target, &schema, error)),
            },
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
            // One that was lost while it lay idle shows when a transaction begins.
            .test_on_check_out(false)
            .build_unchecked(Manager::new(&connector, Some(conn)));
        let begin_read =
            format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY{of_transactions}");
        let begin_commit = format!("{begin}; SET CONSTRAINTS ALL DEFERRED");
        let (committing, begin_planned_anew) = match is_direct {
            true => (connector.keeping_plans(), format!("{begin_commit}; {PLANNED_ANEW}")),
            false => (connector.clone(), begin_commit.clone()),
        };
        Ok(Self {
            target,
            options,
            schema,
            connector,
            committing,
            is_direct,
            begin,
            begin_commit,
            begin_planned_anew,
            begin_read,
            pool,
            furthest: Furthest::default(),
        })
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

    /// Reads by a single query, which needs no transaction where nothing else has to be set for it.
    /// It may be run more than once.
    pub(crate) fn query<T>(
        &self,
        mut query: impl FnMut(&mut PgConnection) -> QueryResult<T>,
    ) -> Result<T, PostgresError> {
        if !self.is_direct {
            return self.read(query);
        }
        let mut lost = 0;
        loop {
            let mut conn = self.free().map_err(|error| self.named(error))?;
            match query(&mut conn) {
                Err(error) if self.is_lost(&mut conn, &error, &mut lost) => {}
                done => return done.map_err(|error| self.named(error)),
            }
        }
    }

    fn pooled<T, E>(
        &self,
        begin: &str,
        body: impl FnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, Failed<E>> {
        let mut lost = 0;
        let mut conn = loop {
            let mut conn = self.free().map_err(Failed::Begin)?;
            match begun(&mut conn, begin) {
                Ok(()) => break conn,
                Err((error, _)) if self.is_lost(&mut conn, &error, &mut lost) => {}
                Err((error, _)) => return Err(Failed::Begin(error)),
            }
        };
        let (result, keep) = ended(&mut conn, body);
        if !keep {
            give_up(&mut conn);
        }
        result
    }

    /// A connection of the pool, which may have been lost meanwhile.
    fn free(&self) -> Result<Pooled, Error> {
        self.pool.get().map_err(|error| {
            let text = format!("no connection of the pool is free: {error}");
            Error::DatabaseError(DatabaseErrorKind::UnableToSendCommand, Box::new(text))
        })
    }

    /// Whether another connection may do where this one has failed at the first word: as many as the
    /// pool has may have been lost.
    fn is_lost(&self, conn: &mut PgConnection, error: &Error, lost: &mut u32) -> bool {
        if Fault::of(error) != Fault::Connection {
            return false;
        }
        give_up(conn);
        *lost += 1;
        *lost <= self.options.connections
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

/// Has the pool close the connection when it comes back.
fn give_up(conn: &mut PgConnection) {
    AnsiTransactionManager::transaction_manager_status_mut(conn).set_in_error();
}

/// Whether a failed COMMIT may have been done all the same: not when the server has refused it.
pub(crate) fn in_doubt(commit_error: &Error) -> bool {
    Fault::of(commit_error) == Fault::Connection
        && !matches!(commit_error, Error::NotInTransaction | Error::BrokenTransactionManager)
}

/// Leaves out what a pooler does not carry. Tells whether it is known that there is none, with the
/// connection that it was known by.
fn adapt(
    target: &Target,
    options: &mut PostgresOptions,
) -> Result<(bool, Option<PgConnection>), PostgresError> {
    if options.prepared_statements.is_some() && options.notifications.is_some() {
        return Ok((false, None));
    }
    match pooler::look(target) {
        Ok(Between::Nothing(conn)) => return Ok((true, conn)),
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
    Ok((false, None))
}

/// Creates or upgrades the tables of Rederive: their version.
fn upgraded(conn: &mut PgConnection, schema: &Schema) -> QueryResult<i64> {
    ddl::lock(conn)?;
    // Another process may have been at it in the meantime.
    let version = ddl::version(conn, schema)?;
    if version < ddl::CURRENT {
        ddl::upgrade(conn, schema, version)?;
    }
    Ok(version.max(ddl::CURRENT))
}

/// Looks at the server: the schema to use, whether we are to choose the language of its messages, and the
/// version of the tables, where they need not be created.
fn set_up(
    conn: &mut PgConnection,
    target: &Target,
    options: &PostgresOptions,
) -> Result<(Schema, bool, Option<i64>), PostgresError> {
    let (schema, language, version) =
        conn.transaction(|conn| look_around(conn, target, options))?;
    if ["C", "POSIX", "en"].iter().any(|english| language.starts_with(english)) {
        return Ok((schema, false, version));
    }
    let may_choose = conn.batch_execute("SET lc_messages = 'C'; RESET lc_messages").is_ok();
    if !may_choose {
        let database = &target.name;
        log::warn!(
            "{database}: the server speaks {language}, and its user may not change that for \
             itself: errors that would pass by themselves may be taken for lasting ones; set \
             lc_messages to 'C' for the user (ALTER ROLE … SET lc_messages = 'C')"
        );
    }
    Ok((schema, may_choose, version))
}

/// The schema to use, the language of the server's messages, and the version of the tables, if there are
/// any.
fn look_around(
    conn: &mut PgConnection,
    target: &Target,
    options: &PostgresOptions,
) -> Result<(Schema, String, Option<i64>), PostgresError> {
    let named = |error| named(target, error);
    let text = "SELECT pg_catalog.current_setting('server_version'),
        pg_catalog.current_setting('server_version_num')::int8,
        pg_catalog.current_setting('lc_messages'),
        one.schema, pg_catalog.to_regnamespace(pg_catalog.quote_ident(one.schema)) IS NOT NULL,
        EXISTS (SELECT FROM pg_catalog.pg_class AS c
            JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
            WHERE c.relname = 'rederive_schema' AND n.nspname = one.schema)
        FROM (SELECT coalesce(\0, pg_catalog.current_schema())::text) AS one (schema)";
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
    if !row.bool().map_err(named)? {
        let problem = "it does not exist: create it (CREATE SCHEMA)".to_owned();
        return Err(PostgresError::Schema { database, schema, problem });
    }
    let schema = Schema::new(schema);
    let version = match row.bool().map_err(named)? {
        true => Some(ddl::stored_version(conn, &schema)),
        false => None,
    };
    let version = version.transpose().map_err(|error| not_set_up(target, &schema, error))?;
    Ok((schema, language, version))
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

pub(super) fn as_lost(error: &ConnectionError) -> Error {
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
