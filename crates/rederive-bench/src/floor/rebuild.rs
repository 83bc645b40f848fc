//! Rebuilds a table from the log.

use std::path::Path;

use diesel::{
    prelude::*,
    sql_types::{BigInt, Text},
    sqlite::SqliteConnection,
};

use super::{
    apply::{How, apply},
    connect,
    follow::Follow,
    statement::{Rows, Statement},
};
use crate::Failure;

/// Brings the table up to the log in transactions of about `size` events. With `ahead`, a second
/// thread reads and decodes while this one applies.
pub(crate) fn rebuild(
    file: &Path,
    table: &str,
    how: How,
    size: i64,
    ahead: bool,
) -> Result<(), Failure> {
    let mut conn = connect(file)?;
    let after = cursor(&mut conn, table)?;
    Follow { after, size, ahead }.each(file, &mut conn, |conn, batch, last| {
        conn.immediate_transaction(|conn| {
            apply(conn, table, how, batch)?;
            store_cursor(conn, table, last)
        })
    })
}

fn cursor(conn: &mut SqliteConnection, table: &str) -> QueryResult<i64> {
    #[derive(QueryableByName)]
    struct Stored {
        #[diesel(sql_type = BigInt)]
        cursor: i64,
    }
    let query = diesel::sql_query("SELECT cursor FROM floor_cursor WHERE name = ?");
    let stored = query.bind::<Text, _>(table).get_result::<Stored>(conn).optional()?;
    Ok(stored.map_or(0, |stored| stored.cursor))
}

/// Stores the cursor.
pub(super) fn store_cursor(
    conn: &mut SqliteConnection,
    table: &str,
    cursor: i64,
) -> QueryResult<()> {
    let head = "INSERT OR REPLACE INTO floor_cursor (name, cursor) VALUES ";
    Statement { head, rows: Rows::Cursor(table, cursor), tail: "" }.execute(conn).map(drop)
}
