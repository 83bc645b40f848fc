//! [`Manager`]: how the pool makes and checks connections.

use diesel::{
    connection::SimpleConnection,
    pg::PgConnection,
    r2d2::{Error, ManageConnection, R2D2Connection},
};

use super::{PostgresOptions, connections::connect, target::Target};

/// Diesel's own checks a connection by a statement that is sent in two parts, which a pooler may give
/// to two connections of the server.
#[derive(Debug)]
pub(crate) struct Manager {
    pub(crate) target: Target,
    pub(crate) options: PostgresOptions,
}

impl ManageConnection for Manager {
    type Connection = PgConnection;
    type Error = Error;

    fn connect(&self) -> Result<PgConnection, Error> {
        connect(&self.target, &self.options).map_err(Error::ConnectionError)
    }

    fn is_valid(&self, conn: &mut PgConnection) -> Result<(), Error> {
        conn.batch_execute("SELECT").map_err(Error::QueryError)
    }

    fn has_broken(&self, conn: &mut PgConnection) -> bool {
        std::thread::panicking() || conn.is_broken()
    }
}
