//! What happens at the bank, and the table that follows from it.

use diesel::prelude::*;
use rederive::{
    OwnedTable,
    diesel::{DieselOps, owned},
    prelude::*,
};
use serde::{Deserialize, Serialize};

/// What the event log holds, as JSON.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Event {
    Opened { account: String, owner: String },
    Deposited { account: String, cents: i64 },
    Withdrawn { account: String, cents: i64 },
}

impl Event {
    /// By how much it changes the balance.
    pub(crate) fn effect(&self) -> i64 {
        match self {
            Event::Opened { .. } => 0,
            Event::Deposited { cents, .. } => *cents,
            Event::Withdrawn { cents, .. } => -cents,
        }
    }
}

diesel::table! {
    accounts (id) {
        id -> Text,
        owner -> Text,
        cents -> BigInt,
    }
}

/// One row: written by the reducer, read by the handlers.
#[derive(Insertable, Queryable, Selectable, Serialize)]
#[diesel(table_name = accounts)]
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) owner: String,
    pub(crate) cents: i64,
}

/// Keeps the table.
pub(crate) struct Accounts;

impl Reducer for Accounts {
    type Event = Event;

    fn name(&self) -> &str {
        "accounts"
    }

    /// Created at the first start, emptied by a rebuild.
    fn tables(&self) -> Vec<OwnedTable> {
        let accounts = owned(accounts::table).partitioned_by("id").create(
            "CREATE TABLE accounts (
                id TEXT PRIMARY KEY NOT NULL,
                owner TEXT NOT NULL,
                cents BIGINT NOT NULL
            )",
        );
        vec![accounts]
    }

    /// The order of events matters within an account, and not between accounts.
    fn partition(&self, event: &Event) -> Partitions {
        match event {
            Event::Opened { account, .. }
            | Event::Deposited { account, .. }
            | Event::Withdrawn { account, .. } => account.into(),
        }
    }

    fn reduce(&self, event: &Recorded<Event>, ops: &mut Ops) -> Result<(), ReduceError> {
        match &event.data {
            Event::Opened { account, owner } => {
                let row = Account { id: account.clone(), owner: owner.clone(), cents: 0 };
                ops.insert(accounts::table, row)
            }
            Event::Deposited { account, .. } | Event::Withdrawn { account, .. } => {
                ops.increment(accounts::cents, account, event.data.effect())
            }
        }
    }
}
