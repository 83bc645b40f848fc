//! Folds the log into states that are kept in memory, and writes those that a batch has changed.

use std::{collections::HashMap, path::Path};

use super::{
    apply::{How, write},
    connect,
    follow::{Batch, Follow},
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

/// The states of all accounts so far.
#[derive(Default)]
pub(super) struct States {
    of: HashMap<String, State>,
    batches: usize,
}

impl States {
    /// Folds a batch into them: those that it has changed.
    pub(super) fn fold<'b>(&mut self, batch: &'b Batch) -> Vec<Delta<'b>> {
        self.batches += 1;
        let mut changed = Vec::with_capacity(batch.len());
        for (_, event) in batch {
            let account = event.account();
            let state = match self.of.get_mut(account) {
                Some(state) => state,
                None => self.of.entry(account.to_owned()).or_default(),
            };
            state.balance += event.change();
            state.version += 1;
            if state.batch != self.batches {
                state.batch = self.batches;
                changed.push(account);
            }
        }
        let row = |account: &'b str| {
            let State { balance, version, .. } = self.of[account];
            Delta { account, balance, version }
        };
        changed.into_iter().map(row).collect()
    }
}

/// Builds the table from nothing, in transactions of about `size` events.
pub(crate) fn rebuild(file: &Path, table: &str, how: How, size: i64) -> Result<(), Failure> {
    let mut conn = connect(file)?;
    let mut states = States::default();
    Follow { after: 0, size, ahead: true }.each(file, &mut conn, |conn, batch, last| {
        let rows = states.fold(batch);
        conn.immediate_transaction(|conn| {
            write(conn, table, how, &rows, SET)?;
            store_cursor(conn, table, last)
        })
    })
}
