//! The two derived tables.

use diesel::connection::SimpleConnection as _;
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

/// Calls `visit` with each file, without holding them all.
pub(crate) fn for_each_file(
    connection: &mut SqliteConnection,
    mut visit: impl FnMut(&str, &Entry),
) -> QueryResult<()> {
    let rows =
        files::table
            .select((files::path, files::mode, files::blob))
            .load_iter::<(String, String, String), _>(connection)?;
    for row in rows {
        let (path, mode, blob) = row?;
        visit(&path, &Entry { mode, blob });
    }
    Ok(())
}

/// The files changed most often.
pub(crate) fn most_changed_files(connection: &mut SqliteConnection) -> QueryResult<Vec<FileLine>> {
    let rows = files::table
        .order((files::changes.desc(), files::path))
        .limit(LINES as i64)
        .select((files::path, files::changes, files::last_author))
        .load::<(String, i64, String)>(connection)?;
    let line = |(path, changes, last_author)| FileLine { path, changes, last_author };
    Ok(rows.into_iter().map(line).collect())
}

/// The authors with most commits.
pub(crate) fn most_active_authors(
    connection: &mut SqliteConnection,
) -> QueryResult<Vec<AuthorLine>> {
    let rows = authors::table
        .order((authors::commits.desc(), authors::author))
        .limit(LINES as i64)
        .select((authors::author, authors::commits, authors::changes))
        .load::<(String, i64, i64)>(connection)?;
    let line = |(author, commits, changes)| AuthorLine { author, commits, changes };
    Ok(rows.into_iter().map(line).collect())
}
