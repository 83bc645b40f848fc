//! [`Manager`]: how the pool makes and checks connections.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use diesel::{
    connection::SimpleConnection,
    pg::PgConnection,
    r2d2::{Error, ManageConnection, R2D2Connection},
};

use super::connector::Connector;

/// Diesel's own checks a connection by a statement that is sent in two parts, which a pooler may give
/// to two connections of the server.
pub(crate) struct Manager {
    connector: Connector,
    /// One that is there already.
    spare: Mutex<Option<PgConnection>>,
}

impl Manager {
    pub(crate) fn new(connector: &Connector, spare: Option<PgConnection>) -> Self {
        Self { connector: connector.clone(), spare: Mutex::new(spare) }
    }
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Manager").field(&self.connector).finish()
    }
}

impl ManageConnection for Manager {
    type Connection = PgConnection;
    type Error = Error;

    fn connect(&self) -> Result<PgConnection, Error> {
        match self.spare.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(conn) => Ok(conn),
            None => self.connector.connect().map_err(Error::ConnectionError),
        }
    }

    fn is_valid(&self, conn: &mut PgConnection) -> Result<(), Error> {
        conn.batch_execute("SELECT").map_err(Error::QueryError)
    }

    fn has_broken(&self, conn: &mut PgConnection) -> bool {
        std::thread::panicking() || conn.is_broken()
    }
}
