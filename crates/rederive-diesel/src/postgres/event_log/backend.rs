//! [`Backend`]: the process of the server that serves a connection, so that it can be asked for when the
//! connection is lost.

use diesel::{QueryResult, pg::PgConnection, result::Error};

use super::super::sql::{Bind, Schema, Sql};

/// Which server this is, and which of the histories that it may go on with: a stand-by that takes over
/// begins one of its own.
const HISTORY: &str = "(SELECT system_identifier FROM pg_catalog.pg_control_system()) || ' '
    || pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8)";

const BEGAN: &str = "(pg_catalog.date_part('epoch', backend_start) * 1000000)::pg_catalog.int8";

/// The process that serves a connection.
pub(super) struct Backend {
    pid: i64,
    /// Tells it from others that have had the number.
    began: i64,
    history: String,
    /// No event is going to have this id or one below it.
    pub(super) newest: i64,
}

/// What has become of it.
pub(super) enum Fate {
    /// It is at work, or has not noticed that its client has gone.
    Lives,
    /// Whatever it was told is done, or never will be.
    Gone,
    /// This is not its server, or not the same history.
    Unknown,
}

impl Backend {
    /// The one that serves this connection. Nobody else must be able to use it.
    ///
    /// # Errors
    /// A server may not tell it to everybody.
    pub(super) fn of(conn: &mut PgConnection, schema: &Schema) -> QueryResult<Self> {
        let text = schema.sql(&format!(
            "SELECT pid::pg_catalog.int8, {BEGAN}, {HISTORY},
                (SELECT coalesce(pg_catalog.max(id), 0) FROM @rederive_events)
            FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid())"
        ));
        let mut row = Sql { text: &text, binds: &[] }.row(conn)?.ok_or(Error::NotFound)?;
        let (pid, began) = (row.integer()?, row.integer()?);
        Ok(Self { pid, began, history: row.text()?, newest: row.integer()? })
    }

    /// Asks another connection.
    pub(super) fn fate(&self, conn: &mut PgConnection) -> QueryResult<Fate> {
        let text = format!(
            "SELECT {HISTORY} = \0, EXISTS (SELECT FROM pg_catalog.pg_stat_activity
                WHERE pid = \0 AND {BEGAN} = \0)"
        );
        let binds =
            [Bind::text(self.history.as_str()), Bind::integer(self.pid), Bind::integer(self.began)];
        let mut row = Sql { text: &text, binds: &binds }.row(conn)?.ok_or(Error::NotFound)?;
        Ok(match (row.bool()?, row.bool()?) {
            (false, _) => Fate::Unknown,
            (true, true) => Fate::Lives,
            (true, false) => Fate::Gone,
        })
    }

    /// Ends it, unless it has committed and waits for a stand-by.
    pub(super) fn end(&self, conn: &mut PgConnection) -> QueryResult<()> {
        let text = format!(
            "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
                WHERE pid = \0 AND {BEGAN} = \0 AND wait_event IS DISTINCT FROM 'SyncRep'"
        );
        let binds = [Bind::integer(self.pid), Bind::integer(self.began)];
        Sql { text: &text, binds: &binds }.rows(conn).map(drop)
    }
}
