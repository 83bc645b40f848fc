//! Applies a batch of events in one statement, or event by event.

use std::{collections::HashMap, fmt::Write};

use diesel::{prelude::*, sqlite::SqliteConnection};

use super::{
    read::Batch,
    statement::{Delta, Rows, Statement},
};
use crate::{
    tables::{Account, accounts},
    workload::AccountEvent,
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

/// Applies the events to the table.
pub(crate) fn apply(
    conn: &mut SqliteConnection,
    table: &str,
    how: How,
    batch: &Batch,
) -> QueryResult<()> {
    match how {
        How::Json => json(conn, table, &merged(batch)),
        How::Values(size) => values(conn, table, &merged(batch), size),
        How::Statements => batch.iter().try_for_each(|(_, event)| statement(conn, event)),
    }
}

/// One change for each account.
fn merged(batch: &Batch) -> Vec<Delta<'_>> {
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
    deltas
}

fn json(conn: &mut SqliteConnection, table: &str, deltas: &[Delta<'_>]) -> QueryResult<()> {
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
    let tail = format!(") WHERE true{ON_CONFLICT}");
    Statement { head: &head, rows: Rows::Text(&list), tail: &tail }.execute(conn).map(drop)
}

fn values(
    conn: &mut SqliteConnection,
    table: &str,
    deltas: &[Delta<'_>],
    size: usize,
) -> QueryResult<()> {
    let head = format!("INSERT INTO {table} (id, balance, version) VALUES ");
    let full = deltas.len() - deltas.len() % size;
    let (full, rest) = deltas.split_at(full);
    for rows in full.chunks(size).chain(rest.chunks(1)) {
        Statement { head: &head, rows: Rows::Accounts(rows), tail: ON_CONFLICT }.execute(conn)?;
    }
    Ok(())
}

const ON_CONFLICT: &str = " ON CONFLICT (id) DO UPDATE
      SET balance = balance + excluded.balance, version = version + excluded.version";

fn statement(conn: &mut SqliteConnection, event: &AccountEvent) -> QueryResult<()> {
    match event {
        AccountEvent::Opened { account } => diesel::insert_into(accounts::table)
            .values(Account { id: account.clone(), balance: 0, version: 1 })
            .execute(conn),
        moved => diesel::update(accounts::table.find(moved.account()))
            .set((
                accounts::balance.eq(accounts::balance + moved.change()),
                accounts::version.eq(accounts::version + 1),
            ))
            .execute(conn),
    }
    .map(drop)
}
