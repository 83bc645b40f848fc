//! The floors: the best hand-written code for each job, without actors, partitions, isolation and
//! waiters.
//!
//! They read the same log table, decode the same JSON into the same type, apply the same changes and
//! store their cursor in the same transaction, with the same settings of the database.

pub(crate) mod apply;
pub(crate) mod clients;
pub(crate) mod fold;
mod follow;
pub(crate) mod postgres;
mod read;
pub(crate) mod rebuild;
mod statement;

use std::path::Path;

use diesel::{connection::SimpleConnection, prelude::*, sqlite::SqliteConnection};

use crate::{place::Place, tables::TABLES};

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

/// Has the floors begin after this event.
pub(crate) fn begin_after(place: &Place, cursor: i64) -> Result<(), crate::Failure> {
    match place {
        Place::Memory => Ok(()),
        Place::File(file) => Ok(rebuild::store_cursor(&mut connect(file)?, TABLES[0], cursor)?),
        Place::Url(url) => {
            Ok(postgres::rebuild::store_cursor(&mut postgres::connect(url)?, TABLES[0], cursor)?)
        }
    }
}

/// The version of SQLite that both sides run on.
pub(crate) fn sqlite_version() -> String {
    libsqlite3_sys::SQLITE_VERSION.to_string_lossy().into_owned()
}
