//! Applies a batch of events in one statement, or event by event.

use std::{
    collections::HashMap,
    fmt::{self, Write},
};

use diesel::{prelude::*, sqlite::SqliteConnection};

use super::{
    follow::Batch,
    statement::{Delta, Rows, Statement},
};

/// How a batch is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum How {
    /// One statement over a list in JSON.
    Json,
    /// Statements over so many rows of bound values.
    Values(usize),
    /// One statement for each event, as Diesel writes it.
    Statements,
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            How::Json => f.write_str("one statement over JSON"),
            How::Values(1) => f.write_str("a kept statement per row"),
            How::Values(rows) => write!(f, "kept statements over {rows} rows"),
            How::Statements => f.write_str("a Diesel statement per event"),
        }
    }
}

/// Applies the events to the table.
pub(crate) fn apply(
    conn: &mut SqliteConnection,
    table: &str,
    how: How,
    batch: &Batch,
) -> QueryResult<()> {
    match how {
        How::Json | How::Values(_) => write(conn, table, how, &merged(batch), ADDED),
        How::Statements => batch.iter().try_for_each(|(_, event)| by_statement!(conn, event)),
    }
}

/// Writes the rows; `conflict` says what becomes of those that are there.
pub(super) fn write(
    conn: &mut SqliteConnection,
    table: &str,
    how: How,
    rows: &[Delta<'_>],
    conflict: &str,
) -> QueryResult<()> {
    match how {
        How::Json | How::Statements => json(conn, table, rows, conflict),
        How::Values(size) => values(conn, table, rows, size, conflict),
    }
}

/// One change for each account.
pub(super) fn merged(batch: &Batch) -> Vec<Delta<'_>> {
    let mut places: HashMap<&str, usize> = HashMap::with_capacity(batch.len());
    let mut deltas: Vec<Delta<'_>> = Vec::with_capacity(batch.len());
    for (_, event) in batch {
        let account = event.account();
        let place = *places.entry(account).or_insert(deltas.len());
        if place == deltas.len() {
            deltas.push(Delta { account, balance: 0, version: 0 });
        }
        deltas[place].balance += event.change();
        deltas[place].version += 1;
    }
    // In the order of the index: what SQLite needs next is still at hand.
    deltas.sort_unstable_by_key(|delta| delta.account);
    deltas
}

fn json(
    conn: &mut SqliteConnection,
    table: &str,
    deltas: &[Delta<'_>],
    conflict: &str,
) -> QueryResult<()> {
    let mut list = String::with_capacity(deltas.len() * 32);
    for Delta { account, balance, version } in deltas {
        list.push(if list.is_empty() { '[' } else { ',' });
        // The ids of the workload need no escaping.
        let _ = write!(list, "[\"{account}\",{balance},{version}]");
    }
    list.push(']');
    let head = format!(
        "INSERT INTO {table} (id, balance, version)
         SELECT value->>0, value->>1, value->>2 FROM json_each("
    );
    let tail = format!(") WHERE true{conflict}");
    Statement { head: &head, rows: Rows::Text(&list), tail: &tail }.execute(conn).map(drop)
}

fn values(
    conn: &mut SqliteConnection,
    table: &str,
    deltas: &[Delta<'_>],
    size: usize,
    conflict: &str,
) -> QueryResult<()> {
    let head = format!("INSERT INTO {table} (id, balance, version) VALUES ");
    let full = deltas.len() - deltas.len() % size;
    let (full, rest) = deltas.split_at(full);
    for rows in full.chunks(size).chain(rest.chunks(1)) {
        Statement { head: &head, rows: Rows::Accounts(rows), tail: conflict }.execute(conn)?;
    }
    Ok(())
}

/// The numbers are added to those that are there.
const ADDED: &str = " ON CONFLICT (id) DO UPDATE
      SET balance = balance + excluded.balance, version = version + excluded.version";

/// Applies an event by the statement that Diesel writes for it, on a connection of either kind.
macro_rules! by_statement {
    ($conn:expr, $event:expr) => {{
        use $crate::{
            tables::{Account, accounts},
            workload::AccountEvent,
        };
        let applied = match $event {
            AccountEvent::Opened { account } => diesel::insert_into(accounts::table)
                .values(Account { id: account.clone(), balance: 0, version: 1 })
                .execute($conn),
            moved => diesel::update(accounts::table.find(moved.account()))
                .set((
                    accounts::balance.eq(accounts::balance + moved.change()),
                    accounts::version.eq(accounts::version + 1),
                ))
                .execute($conn),
        };
        applied.map(drop)
    }};
}
pub(super) use by_statement;
