//! The reducer, without actors or a database.

use rederive::testing::{given, properties, rows};

use crate::accounts::{
    Accounts,
    Event::{self, Deposited, Opened, Withdrawn},
};

fn opened(account: &str) -> Event {
    Opened { account: account.into(), owner: account.to_uppercase() }
}

fn deposited(account: &str, cents: i64) -> Event {
    Deposited { account: account.into(), cents }
}

fn withdrawn(account: &str, cents: i64) -> Event {
    Withdrawn { account: account.into(), cents }
}

#[test]
fn the_table_shows_what_is_left() {
    given(&Accounts, [opened("alice"), deposited("alice", 500)])
        .then_rows("accounts", rows![["alice", "ALICE", 500]])
        .when([withdrawn("alice", 200)])
        .then_rows("accounts", rows![["alice", "ALICE", 300]])
        .then_nothing_halted();
}

#[test]
fn an_account_that_was_never_opened_halts_alone() {
    given(&Accounts, [opened("alice"), deposited("nobody", 1), deposited("alice", 1)])
        .then_halted("nobody", "no row")
        .then_rows("accounts", rows![["alice", "ALICE", 1]]);
}

#[test]
fn what_is_true_of_every_reducer_is_true_of_accounts() {
    let events = [opened("alice"), deposited("alice", 5), opened("bob"), withdrawn("alice", 2)];
    properties::exercise(&Accounts, events);
}
