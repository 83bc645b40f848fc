//! The floors: the best hand-written code for each job, without actors, partitions, isolation and
//! waiters.
//!
//! They read the same log table, decode the same JSON into the same type, apply the same changes and
//! store their cursor in the same transaction, with the same settings of the database.

pub(crate) mod apply;
pub(crate) mod clients;
pub(crate) mod fold;
mod read;
pub(crate) mod rebuild;
mod statement;

use std::path::Path;

use diesel::{connection::SimpleConnection, prelude::*, sqlite::SqliteConnection};

/// Opens the file with the settings that Rederive uses.
pub(crate) fn connect(file: &Path) -> Result<SqliteConnection, crate::Failure> {
    let mut conn = SqliteConnection::establish(&file.display().to_string())?;
    conn.batch_execute(
        "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON; PRAGMA cache_size = -16384;
         PRAGMA journal_size_limit = 67108864;
         PRAGMA temp_store = MEMORY;",
    )?;
    Ok(conn)
}

/// The version of SQLite that both sides run on.
pub(crate) fn sqlite_version() -> String {
    libsqlite3_sys::SQLITE_VERSION.to_string_lossy().into_owned()
}
