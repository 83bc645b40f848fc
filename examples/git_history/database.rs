//! [`Database`]: a file of SQLite's, or a database of a PostgreSQL server.

use std::path::Path;

use diesel::QueryResult;
use rederive::diesel::{
    PostgresDatabase, PostgresError, PostgresOptions, SqliteDatabase, SqliteError,
};
use rederive_examples::Place;

use crate::args::Work;
use crate::derive;
use crate::failure::Failure;
use crate::git::{CommitId, Repository};
use crate::tables::{self, Tables};

/// The one or the other.
pub(crate) enum Database {
    Sqlite(SqliteDatabase),
    Postgres(PostgresDatabase),
}

impl Database {
    /// Opens it, with the two tables in it.
    pub(crate) fn open(place: &Place) -> Result<Self, Failure> {
        match place {
            Place::File(path) => open_file(path).map(Self::Sqlite),
            Place::Server(url) => {
                let options = PostgresOptions::default().application_name("git_history");
                let database =
                    PostgresDatabase::connect_with(url, options).map_err(unusable_server)?;
                database.write(tables::create_on_postgres).map_err(unusable_server)?;
                Ok(Self::Postgres(database))
            }
        }
    }

    /// Where it is, without anything secret.
    pub(crate) fn name(&self, place: &Place) -> String {
        match (self, place) {
            (Self::Postgres(database), _) => database.name().to_owned(),
            (Self::Sqlite(_), Place::File(path)) => path.display().to_string(),
            (Self::Sqlite(_), Place::Server(_)) => String::new(),
        }
    }

    /// Brings the log and both tables up to the commit `to`.
    pub(crate) fn derive(
        &self,
        repository: &Repository,
        to: &CommitId,
        work: &Work,
    ) -> Result<(), Failure> {
        let system = actix_rt::System::new();
        match self {
            Self::Sqlite(database) => {
                let (log, store) = (database.event_log(), database.store());
                system.block_on(derive::derive(repository, to, &log, &store, work))
            }
            Self::Postgres(database) => {
                let (log, store) = (database.event_log(), database.store());
                system.block_on(derive::derive(repository, to, &log, &store, work))
            }
        }
    }

    /// Runs queries in one transaction.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&mut dyn Tables) -> QueryResult<T>,
    ) -> Result<T, Failure> {
        match self {
            Self::Sqlite(database) => database.read(|conn| read(conn)).map_err(unusable),
            Self::Postgres(database) => database.read(|conn| read(conn)).map_err(unusable_server),
        }
    }
}

/// Opens a file of SQLite's, with the two tables in it.
pub(crate) fn open_file(path: &Path) -> Result<SqliteDatabase, Failure> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| {
            let what = format!("the folder {} cannot be made: {error}", folder.display());
            Failure::new(what, "Name another file with `--database FILE`.")
        })?;
    }
    let database = SqliteDatabase::open(path).map_err(unusable)?;
    database.write(tables::create).map_err(unusable)?;
    Ok(database)
}

pub(crate) fn unusable(error: SqliteError) -> Failure {
    Failure::new(error, "Name another file with `--database FILE`, or mend this one.")
}

fn unusable_server(error: PostgresError) -> Failure {
    Failure::new(error, "Name another database with `--database URL`, or mend this one.")
}
