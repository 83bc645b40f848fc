//! Folds the log into states that are kept in memory, and writes those that a batch has changed.

use std::{collections::HashMap, path::Path};

use diesel::{prelude::*, sqlite::SqliteConnection};

use super::{
    apply::{How, write},
    connect,
    read::{self, Batch},
    rebuild::store_cursor,
    statement::Delta,
};
use crate::Failure;

/// The numbers take the place of those that are there.
const SET: &str = " ON CONFLICT (id) DO UPDATE
      SET balance = excluded.balance, version = excluded.version";

#[derive(Default)]
struct State {
    balance: i64,
    version: i64,
    /// The number of the batch that changed it last.
    batch: usize,
}

/// Builds the table from nothing, in transactions of about `size` events.
pub(crate) fn rebuild(file: &Path, table: &str, how: How, size: i64) -> Result<(), Failure> {
    let mut conn = connect(file)?;
    let mut states: HashMap<String, State> = HashMap::new();
    for (batch, number) in read::ahead(file, 0, size).into_iter().zip(1..) {
        commit(&mut conn, table, how, &batch?, &mut states, number)?;
    }
    Ok(())
}

fn commit(
    conn: &mut SqliteConnection,
    table: &str,
    how: How,
    batch: &Batch,
    states: &mut HashMap<String, State>,
    number: usize,
) -> QueryResult<()> {
    let Some((last, _)) = batch.last() else { return Ok(()) };
    let mut changed = Vec::with_capacity(batch.len());
    for (_, event) in batch {
        let account = event.account();
        let state = match states.get_mut(account) {
            Some(state) => state,
            None => states.entry(account.to_owned()).or_default(),
        };
        state.balance += event.change();
        state.version += 1;
        if state.batch != number {
            state.batch = number;
            changed.push(account);
        }
    }
    let row = |account: &str| {
        let State { balance, version, .. } = states[account];
        (balance, version)
    };
    let rows: Vec<Delta<'_>> = changed
        .into_iter()
        .map(|account| {
            let (balance, version) = row(account);
            Delta { account, balance, version }
        })
        .collect();
    conn.immediate_transaction(|conn| {
        write(conn, table, how, &rows, SET)?;
        store_cursor(conn, table, *last)
    })
}
