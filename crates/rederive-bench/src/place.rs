//! [`Place`]: where a run finds its log and its tables.

use std::path::PathBuf;

use diesel::{
    QueryResult, RunQueryDsl, connection::SimpleConnection, pg::PgConnection, prelude::*,
};
use serde::{Deserialize, Serialize};

use crate::{Failure, tables::Sum};

/// Where a run finds its log and its tables.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Place {
    /// In the memory of the run itself.
    Memory,
    /// In a file of SQLite's.
    File(PathBuf),
    /// In a database of PostgreSQL's.
    Url(String),
}

/// Opens the database at a place, whichever it is, for an expression.
macro_rules! with_database {
    ($place:expr, $db:ident => $work:expr) => {
        match $place {
            $crate::place::Place::File(file) => {
                let $db = rederive::diesel::SqliteDatabase::open(file)?;
                $work
            }
            $crate::place::Place::Url(url) => {
                let $db = rederive::diesel::PostgresDatabase::connect(url)?;
                $work
            }
            $crate::place::Place::Memory => Err("there is no database in memory".into()),
        }
    };
}
pub(crate) use with_database;

impl Place {
    /// Of SQLite: the file.
    pub(crate) fn file(&self) -> Result<&PathBuf, Failure> {
        match self {
            Place::File(file) => Ok(file),
            _ => Err("this floor is SQLite's".into()),
        }
    }

    /// Of PostgreSQL: the URL.
    pub(crate) fn url(&self) -> Result<&str, Failure> {
        match self {
            Place::Url(url) => Ok(url),
            _ => Err("this floor is PostgreSQL's".into()),
        }
    }

    /// What is in the tables.
    pub(crate) fn sum(&self) -> Result<Sum, Failure> {
        match self {
            Place::Memory => Ok(Sum::default()),
            Place::File(file) => {
                let mut conn = SqliteConnection::establish(&file.display().to_string())?;
                Ok(Sum::of(|text| diesel::sql_query(text).get_result(&mut conn))?)
            }
            Place::Url(url) => {
                let mut conn = PgConnection::establish(url)?;
                Ok(Sum::of(|text| diesel::sql_query(text).get_result(&mut conn))?)
            }
        }
    }
}

/// Runs statements on the database of PostgreSQL's with this URL.
pub(crate) fn execute(url: &str, statements: &str) -> Result<(), String> {
    let mut conn = PgConnection::establish(url).map_err(|error| error.to_string())?;
    let done: QueryResult<()> = conn.batch_execute(statements);
    done.map_err(|error| error.to_string())
}
