//! The two derived tables.

use diesel::connection::{DefaultLoadingMode, SimpleConnection as _};
use diesel::pg::{PgConnection, PgRowByRowLoadingMode};
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use serde::Serialize;

use crate::git::Entry;
use crate::report::{AuthorLine, FileLine, LINES};

diesel::table! {
    files (path) {
        path -> Text,
        mode -> Text,
        blob -> Text,
        changes -> BigInt,
        created_commit -> Text,
        last_commit -> Text,
        last_author -> Text,
        last_time -> BigInt,
    }
}

diesel::table! {
    authors (author) {
        author -> Text,
        changes -> BigInt,
        commits -> BigInt,
        first_time -> BigInt,
        last_time -> BigInt,
    }
}

/// A file that exists. All but `created_commit` is of the last change.
#[derive(Clone, Debug, PartialEq, Eq, Insertable, Queryable, Serialize)]
#[diesel(table_name = files)]
pub(crate) struct File {
    /// As text; see the documentation of `path_text` for paths that are not UTF-8.
    pub(crate) path: String,
    pub(crate) mode: String,
    pub(crate) blob: String,
    /// Since it was added (again): that counts as 1.
    pub(crate) changes: i64,
    pub(crate) created_commit: String,
    pub(crate) last_commit: String,
    pub(crate) last_author: String,
    pub(crate) last_time: i64,
}

/// Everybody who ever authored a commit. Times are in log order: `first_time` is that of the first
/// event, which is not always the smallest.
#[derive(Clone, Debug, PartialEq, Eq, Insertable, Queryable, Serialize)]
#[diesel(table_name = authors)]
pub(crate) struct Author {
    pub(crate) author: String,
    pub(crate) changes: i64,
    pub(crate) commits: i64,
    pub(crate) first_time: i64,
    pub(crate) last_time: i64,
}

/// Creates the tables if they are not there.
pub(crate) fn create(connection: &mut SqliteConnection) -> QueryResult<()> {
    connection.batch_execute(
        "CREATE TABLE IF NOT EXISTS files (
             path TEXT NOT NULL PRIMARY KEY, mode TEXT NOT NULL, blob TEXT NOT NULL,
             changes INTEGER NOT NULL, created_commit TEXT NOT NULL, last_commit TEXT NOT NULL,
             last_author TEXT NOT NULL, last_time INTEGER NOT NULL
         ) STRICT;
         CREATE TABLE IF NOT EXISTS authors (
             author TEXT NOT NULL PRIMARY KEY, changes INTEGER NOT NULL, commits INTEGER NOT NULL,
             first_time INTEGER NOT NULL, last_time INTEGER NOT NULL
         ) STRICT;",
    )
}

/// The same on PostgreSQL. Paths and authors are ordered by their bytes, as in SQLite, whatever the
/// language of the database. An index takes paths of up to 2700 bytes.
pub(crate) fn create_on_postgres(connection: &mut PgConnection) -> QueryResult<()> {
    connection.batch_execute(
        "DO $$ BEGIN
             -- Two runs that create a table at the same time would both find none.
             PERFORM pg_advisory_xact_lock(hashtext('git_history'));
             CREATE TABLE IF NOT EXISTS files (
                 path text COLLATE \"C\" PRIMARY KEY, mode text NOT NULL, blob text NOT NULL,
                 changes bigint NOT NULL, created_commit text NOT NULL, last_commit text NOT NULL,
                 last_author text NOT NULL, last_time bigint NOT NULL
             );
             CREATE TABLE IF NOT EXISTS authors (
                 author text COLLATE \"C\" PRIMARY KEY, changes bigint NOT NULL,
                 commits bigint NOT NULL, first_time bigint NOT NULL, last_time bigint NOT NULL
             );
         END $$",
    )
}

/// What is read, by whichever connection.
pub(crate) trait Tables {
    /// Calls `visit` with each file, without holding them all.
    fn for_each_file(&mut self, visit: &mut dyn FnMut(&str, &Entry)) -> QueryResult<()>;

    /// The files changed most often.
    fn most_changed_files(&mut self) -> QueryResult<Vec<FileLine>>;

    /// The authors with most commits.
    fn most_active_authors(&mut self) -> QueryResult<Vec<AuthorLine>>;
}

/// The same queries for every connection there is: Diesel checks them against one at a time.
macro_rules! tables {
    ($connection:ty, $row_by_row:ty) => {
        impl Tables for $connection {
            fn for_each_file(&mut self, visit: &mut dyn FnMut(&str, &Entry)) -> QueryResult<()> {
                let columns = files::table.select((files::path, files::mode, files::blob));
                for row in columns.load_iter::<(String, String, String), $row_by_row>(self)? {
                    let (path, mode, blob) = row?;
                    visit(&path, &Entry { mode, blob });
                }
                Ok(())
            }

            fn most_changed_files(&mut self) -> QueryResult<Vec<FileLine>> {
                let rows = files::table
                    .order((files::changes.desc(), files::path))
                    .limit(LINES as i64)
                    .select((files::path, files::changes, files::last_author))
                    .load::<(String, i64, String)>(self)?;
                let line = |(path, changes, last_author)| FileLine { path, changes, last_author };
                Ok(rows.into_iter().map(line).collect())
            }

            fn most_active_authors(&mut self) -> QueryResult<Vec<AuthorLine>> {
                let rows = authors::table
                    .order((authors::commits.desc(), authors::author))
                    .limit(LINES as i64)
                    .select((authors::author, authors::commits, authors::changes))
                    .load::<(String, i64, i64)>(self)?;
                let line = |(author, commits, changes)| AuthorLine { author, commits, changes };
                Ok(rows.into_iter().map(line).collect())
            }
        }
    };
}

tables!(SqliteConnection, DefaultLoadingMode);
tables!(PgConnection, PgRowByRowLoadingMode);
