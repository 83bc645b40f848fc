//! Applies a batch of events in one statement, or event by event.

use std::fmt;

use diesel::{pg::PgConnection, prelude::*};

use super::statement::{Bind, Statement};
use crate::floor::{
    apply::{by_statement, merged},
    follow::Batch,
    statement::Delta,
};

/// How a batch is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum How {
    /// One statement over an array for each column, which inserts or else adds.
    Upsert,
    /// One that adds, and where that does not find all rows, one that inserts those.
    Update,
    /// One statement for each event, as Diesel writes it.
    Statements,
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            How::Upsert => "an upsert over arrays",
            How::Update => "an update over arrays, then an insert",
            How::Statements => "a Diesel statement per event",
        })
    }
}

/// Applies the events to the table.
pub(super) fn apply(
    conn: &mut PgConnection,
    table: &str,
    how: How,
    batch: &Batch,
) -> QueryResult<()> {
    match how {
        How::Upsert => {
            let text = format!(
                "INSERT INTO {table} AS t (id, balance, version) SELECT * FROM unnest(?, ?, ?)
                ON CONFLICT (id) DO UPDATE SET balance = t.balance + excluded.balance,
                    version = t.version + excluded.version"
            );
            write(conn, &text, &sorted(batch)).map(drop)
        }
        How::Update => {
            let rows = sorted(batch);
            let text = format!(
                "UPDATE {table} AS t SET balance = t.balance + v.balance,
                    version = t.version + v.version
                FROM unnest(?, ?, ?) AS v (id, balance, version) WHERE t.id = v.id"
            );
            if write(conn, &text, &rows)? < rows.len() {
                let text = format!(
                    "INSERT INTO {table} (id, balance, version) SELECT * FROM unnest(?, ?, ?)
                    ON CONFLICT (id) DO NOTHING"
                );
                write(conn, &text, &rows)?;
            }
            Ok(())
        }
        How::Statements => batch.iter().try_for_each(|(_, event)| by_statement!(conn, event)),
    }
}

/// Rows that are changed in the order of their keys are found faster.
fn sorted(batch: &Batch) -> Vec<Delta<'_>> {
    let mut rows = merged(batch);
    rows.sort_unstable_by_key(|row| row.account);
    rows
}

/// Executes a statement over the rows: how many it changed.
pub(super) fn write(conn: &mut PgConnection, text: &str, rows: &[Delta<'_>]) -> QueryResult<usize> {
    let binds = [
        Bind::Texts(rows.iter().map(|row| row.account).collect()),
        Bind::BigInts(rows.iter().map(|row| row.balance).collect()),
        Bind::BigInts(rows.iter().map(|row| row.version).collect()),
    ];
    Statement { text, binds: &binds }.execute(conn)
}
