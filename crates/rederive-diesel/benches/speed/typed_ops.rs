//! What it takes to emit ops, without a database.

use std::time::Duration;

use diesel::Insertable;
use rederive_core::Ops;
use rederive_diesel::DieselOps;

use crate::{cpu, rate};

diesel::table! {
    accounts (id) { id -> Text, owner -> Text, balance -> BigInt, postings -> BigInt }
}

#[derive(Insertable, serde::Serialize)]
#[diesel(table_name = accounts)]
struct Account<'a> {
    id: &'a str,
    owner: &'a str,
    balance: i64,
    postings: i64,
}

pub(crate) fn emit() {
    let count = 1_000_000;
    let emit = |name: &str, op: &dyn Fn(&mut Ops)| {
        let mut spent = Duration::ZERO;
        for _ in 0..count / 1000 {
            let mut ops = Ops::new("p".into());
            let begun = cpu();
            (0..1000).for_each(|_| op(&mut ops));
            spent += cpu() - begun;
        }
        rate(&format!("emit {name}"), count, spent);
    };
    emit("insert of 4 columns", &|ops| {
        let row = Account { id: "account-1", owner: "owner", balance: 1, postings: 0 };
        ops.insert(accounts::table, row).unwrap();
    });
    emit("increment", &|ops| ops.increment(accounts::balance, "account-1", 5_i64).unwrap());
    emit("update of 2 columns", &|ops| {
        let changes = ((accounts::owner, "owner"), (accounts::balance, 7_i64));
        ops.update(accounts::table, "account-1", changes).unwrap();
    });
}
