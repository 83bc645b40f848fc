//! The floors on PostgreSQL.

pub(crate) mod apply;
pub(crate) mod clients;
pub(crate) mod fold;
mod read;
pub(crate) mod rebuild;
mod statement;

use diesel::{connection::SimpleConnection, pg::PgConnection, prelude::*};

/// Connects. Acknowledged work is to be on the disk, as it is with Rederive.
pub(super) fn connect(url: &str) -> Result<PgConnection, crate::Failure> {
    let mut conn = PgConnection::establish(url)?;
    conn.batch_execute("SET synchronous_commit = on")?;
    Ok(conn)
}
