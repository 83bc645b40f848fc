//! The reducers: as a user would write them.

use diesel::prelude::*;
use rederive::{
    diesel::{DieselOps, PostgresOps, SqliteOps},
    prelude::*,
};

use crate::{
    tables::{Account, Account2, Account3, Account4, accounts, accounts_2, accounts_3, accounts_4},
    workload::AccountEvent,
};

macro_rules! reducer {
    ($name:ident, $table:ident, $row:ident) => {
        /// Keeps a table of accounts by ops that are data.
        pub(crate) struct $name;

        impl Reducer for $name {
            type Event = AccountEvent;

            fn name(&self) -> &str {
                stringify!($table)
            }

            fn partition(&self, event: &AccountEvent) -> Partitions {
                event.account().into()
            }

            fn reduce(
                &self,
                event: &Recorded<AccountEvent>,
                ops: &mut Ops,
            ) -> Result<(), ReduceError> {
                match &event.data {
                    AccountEvent::Opened { account } => ops.insert(
                        $table::table,
                        $row { id: account.clone(), balance: 0, version: 1 },
                    ),
                    moved => {
                        let account = moved.account();
                        ops.increment($table::balance, account, moved.change())?;
                        ops.increment($table::version, account, 1_i64)
                    }
                }
            }
        }
    };
}
reducer!(Accounts, accounts, Account);
reducer!(Accounts2, accounts_2, Account2);
reducer!(Accounts3, accounts_3, Account3);
reducer!(Accounts4, accounts_4, Account4);

/// Keeps the accounts as states of a fold.
pub(crate) struct Folding;

impl Fold for Folding {
    type Event = AccountEvent;
    type State = Account;

    fn name(&self) -> &str {
        "accounts"
    }

    fn partition(&self, event: &AccountEvent) -> Partitions {
        event.account().into()
    }

    fn fold(
        &self,
        account: &mut Account,
        event: &Recorded<AccountEvent>,
        id: &PartitionId,
    ) -> Result<(), ReduceError> {
        if account.version == 0 {
            account.id = id.to_string();
        }
        account.balance += event.data.change();
        account.version += 1;
        Ok(())
    }
}

macro_rules! by_statement {
    ($name:ident, $ops:ident) => {
        /// Keeps the accounts by Diesel's own statements, one for each event.
        pub(crate) struct $name;

        impl Reducer for $name {
            type Event = AccountEvent;

            fn name(&self) -> &str {
                "accounts"
            }

            fn partition(&self, event: &AccountEvent) -> Partitions {
                event.account().into()
            }

            fn reduce(
                &self,
                event: &Recorded<AccountEvent>,
                ops: &mut Ops,
            ) -> Result<(), ReduceError> {
                match &event.data {
                    AccountEvent::Opened { account } => {
                        let row = Account { id: account.clone(), balance: 0, version: 1 };
                        $ops::statement(ops, diesel::insert_into(accounts::table).values(row))
                    }
                    moved => $ops::statement(
                        ops,
                        diesel::update(accounts::table.find(moved.account().to_owned())).set((
                            accounts::balance.eq(accounts::balance + moved.change()),
                            accounts::version.eq(accounts::version + 1),
                        )),
                    ),
                }
            }
        }
    };
}
by_statement!(ByStatement, SqliteOps);
by_statement!(ByPostgresStatement, PostgresOps);
