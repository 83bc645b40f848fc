//! Whether a pooler stands between this program and the server.
//!
//! One that gives each transaction another connection of the server looks at rest like the server
//! itself. So the server is asked for what only a connection of one's own can have: a setting in the
//! message that begins it. pgbouncer refuses or drops a setting that it does not know, since the
//! connections that it has to the server have begun long ago.

use diesel::{ConnectionError, pg::PgConnection, prelude::*};

use super::{connector::connect_to, sql::Sql, target::Target};

/// What was found.
pub(crate) enum Between {
    /// With a connection like any other, if the one that was made to look is.
    Nothing(Option<PgConnection>),
    Pooler,
}

/// Connects to look.
///
/// # Errors
/// When there is no connection with the setting for a reason that may have nothing to do with it.
pub(crate) fn look(target: &Target) -> Result<Between, ConnectionError> {
    let mut conn = match connect_to(&target.probing()) {
        Ok(conn) => conn,
        Err(ConnectionError::BadConnection(text)) if text.contains("startup parameter") => {
            return Ok(Between::Pooler);
        }
        Err(error) => return Err(error),
    };
    match conn.transaction(has_arrived).map_err(ConnectionError::CouldntSetupConfiguration)? {
        true => Ok(Between::Nothing((!target.has_options()).then_some(conn))),
        false => Ok(Between::Pooler),
    }
}

fn has_arrived(conn: &mut PgConnection) -> QueryResult<bool> {
    let text =
        "SELECT pg_catalog.current_setting('rederive.direct', true) IS NOT DISTINCT FROM 'on'";
    Sql { text, binds: &[] }.row(conn)?.map_or(Ok(false), |mut row| row.bool())
}
