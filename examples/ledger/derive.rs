//! From events to tables: the reducer.

use diesel::prelude::*;
use rederive::diesel::DieselOps;
use rederive::prelude::*;
use serde::Serialize;

use crate::event::LedgerEvent;
use crate::tables::{accounts, entries};

/// The name of the reducer.
pub(crate) const LEDGER: &str = "ledger";

/// Derives accounts and their entries. Each account is a partition.
pub(crate) struct Ledger;

#[derive(Insertable, Serialize)]
#[diesel(table_name = accounts)]
struct NewAccount<'e> {
    id: &'e str,
    owner: &'e str,
    balance: i64,
    postings: i64,
    opened: i64,
}

#[derive(Insertable, Serialize)]
#[diesel(table_name = entries)]
struct NewEntry<'e> {
    account: &'e str,
    cursor: i64,
    from_account: &'e str,
    to_account: &'e str,
    amount: i64,
    memo: Option<&'e str>,
    time: String,
}

impl Reducer for Ledger {
    type Event = LedgerEvent;

    fn name(&self) -> &str {
        LEDGER
    }

    fn partition(&self, event: &LedgerEvent) -> Partitions {
        match event {
            LedgerEvent::Opened { id, .. } => id.into(),
            LedgerEvent::Posted(posting) => Partitions::of([&posting.from, &posting.to]),
        }
    }

    fn reduce(&self, event: &Recorded<LedgerEvent>, ops: &mut Ops) -> Result<(), ReduceError> {
        let cursor = number(&event.cursor)?;
        match &event.data {
            LedgerEvent::Opened { id, owner } => ops.insert(
                accounts::table,
                NewAccount { id, owner, balance: 0, postings: 0, opened: cursor },
            ),
            LedgerEvent::Posted(posting) => {
                // Called once for each side.
                let account = ops.partition().clone();
                let account = account.as_str();
                let amount = if account == posting.from { -posting.amount } else { posting.amount };
                ops.increment(accounts::balance, account, amount)?;
                ops.increment(accounts::postings, account, 1_i64)?;
                ops.insert(
                    entries::table,
                    NewEntry {
                        account,
                        cursor,
                        from_account: &posting.from,
                        to_account: &posting.to,
                        amount,
                        memo: posting.memo.as_deref(),
                        time: event.time.to_string(),
                    },
                )
            }
        }
    }
}

/// The cursor as a number, which the cursors of this log are.
pub(crate) fn number(cursor: &Cursor) -> Result<i64, ReduceError> {
    match cursor {
        Cursor::Start => Ok(0),
        Cursor::Integer(number) => Ok(i64::try_from(*number)?),
        other => Err(ReduceError::new(format!("the cursor {other} is no number"))),
    }
}

#[cfg(test)]
mod tests {
    use rederive::{Change, Op, Timestamp, Value};

    use super::*;
    use crate::event::Posting;

    /// What the reducer emits for one of its partitions, as (table, key, change).
    fn emitted(event: &LedgerEvent, partition: &str) -> Vec<(&'static str, Vec<Value>, Change)> {
        let event = Recorded {
            cursor: Cursor::from(7),
            time: Timestamp::from_micros(0),
            data: event.clone(),
        };
        let mut ops = Ops::new(partition.into());
        Ledger.reduce(&event, &mut ops).unwrap();
        let row = |op: Op| match op {
            Op::Row(op) => (op.table.name, op.key.to_vec(), op.change),
            other => panic!("{other}"),
        };
        ops.into_vec().into_iter().map(row).collect()
    }

    #[test]
    fn a_posting_takes_from_one_account_and_gives_to_the_other() {
        let posting = LedgerEvent::Posted(Posting {
            from: "alice".to_owned(),
            to: "bob".to_owned(),
            amount: 250,
            memo: None,
        });
        assert_eq!(Ledger.partition(&posting), Partitions::of(["alice", "bob"]));
        for (account, amount) in [("alice", -250), ("bob", 250)] {
            let ops = emitted(&posting, account);
            let (table, key, change) = &ops[0];
            assert_eq!((*table, &key[..]), ("accounts", &[account.into()][..]));
            assert_eq!(*change, Change::Increment(2, amount.into()));
            let (table, key, _) = &ops[2];
            assert_eq!((*table, &key[..]), ("entries", &[account.into(), 7.into()][..]));
        }
    }

    #[test]
    fn an_account_begins_with_nothing() {
        let opened = LedgerEvent::Opened { id: "alice".to_owned(), owner: "Alice".to_owned() };
        assert_eq!(Ledger.partition(&opened), Partitions::from("alice"));
        let ops = emitted(&opened, "alice");
        let row = vec![(1, "Alice".into()), (2, 0.into()), (3, 0.into()), (4, 7.into())];
        assert_eq!(ops, [("accounts", vec!["alice".into()], Change::Insert(row))]);
    }
}
