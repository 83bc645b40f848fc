//! Folds the log into states that are kept in memory, and writes those that a batch has changed.

use diesel::prelude::*;

use super::{apply::write, connect, rebuild::store_cursor};
use crate::{
    Failure,
    floor::{fold::States, follow::Follow},
};

/// Builds the table from nothing, in transactions of about `size` events.
pub(crate) fn rebuild(url: &str, table: &str, size: i64) -> Result<(), Failure> {
    let mut conn = connect(url)?;
    let text = format!(
        "INSERT INTO {table} AS t (id, balance, version) SELECT * FROM unnest(?, ?, ?)
        ON CONFLICT (id) DO UPDATE SET balance = excluded.balance, version = excluded.version"
    );
    let mut states = States::default();
    Follow { after: 0, size, ahead: true }.each(url, &mut conn, |conn, batch, last| {
        let mut rows = states.fold(batch);
        rows.sort_unstable_by_key(|row| row.account);
        conn.transaction(|conn| {
            write(conn, &text, &rows)?;
            store_cursor(conn, table, last)
        })
    })
}
