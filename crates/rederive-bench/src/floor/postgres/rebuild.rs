//! Rebuilds a table from the log.

use diesel::{pg::PgConnection, prelude::*};

use super::{
    apply::{How, apply},
    connect,
    statement::{Bind, Statement},
};
use crate::{Failure, floor::follow::Follow};

diesel::table! {
    floor_cursor (name) {
        name -> Text,
        cursor -> BigInt,
    }
}

/// Brings the table up to the log in transactions of about `size` events. With `ahead`, a second
/// thread reads and decodes while this one applies.
pub(crate) fn rebuild(
    url: &str,
    table: &str,
    how: How,
    size: i64,
    ahead: bool,
) -> Result<(), Failure> {
    let mut conn = connect(url)?;
    let stored = floor_cursor::table.find(table).select(floor_cursor::cursor);
    let after = stored.first(&mut conn).optional()?.unwrap_or(0);
    Follow { after, size, ahead }.each(url, &mut conn, |conn, batch, last| {
        conn.transaction(|conn| {
            apply(conn, table, how, batch)?;
            store_cursor(conn, table, last)
        })
    })
}

/// Stores the cursor.
pub(in crate::floor) fn store_cursor(
    conn: &mut PgConnection,
    table: &str,
    cursor: i64,
) -> QueryResult<()> {
    let text = "INSERT INTO floor_cursor (name, cursor) VALUES (?, ?)
        ON CONFLICT (name) DO UPDATE SET cursor = excluded.cursor";
    let binds = [Bind::Text(table), Bind::BigInt(cursor)];
    Statement { text, binds: &binds }.execute(conn).map(drop)
}
