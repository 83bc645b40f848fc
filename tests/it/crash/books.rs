//! [`Books`]: the log, the tables, and what the tables must hold.

use std::collections::BTreeMap;

use rederive::{Cursor, EventLog, Recorded};
use serde::{Deserialize, Serialize};

use crate::fixture::database::{Database, Opened};

// The test's own view of the stored form: it must stay readable.

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Event {
    Opened { id: String, owner: String },
    Posted(Posting),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Posting {
    from: String,
    to: String,
    amount: i64,
    memo: String,
}

diesel::table! {
    accounts (id) {
        id -> Text,
        owner -> Text,
        balance -> BigInt,
        postings -> BigInt,
        opened -> BigInt,
    }
}

diesel::table! {
    entries (account, cursor) {
        account -> Text,
        cursor -> BigInt,
        from_account -> Text,
        to_account -> Text,
        amount -> BigInt,
        memo -> Nullable<Text>,
        time -> Text,
    }
}

/// (id, owner, balance, postings, opened)
type Account = (String, String, i64, i64, i64);
/// (account, cursor, from, to, amount, memo, time)
type Entry = (String, i64, String, String, i64, Option<String>, String);

/// What a database holds.
pub(super) struct Books {
    events: Vec<Recorded<Event>>,
    accounts: Vec<Account>,
    entries: Vec<Entry>,
    fold: Fold,
}

/// What the tables must hold.
#[derive(Default)]
struct Fold {
    accounts: BTreeMap<String, Account>,
    entries: BTreeMap<(String, i64), Entry>,
    /// By account: its balance after each cursor.
    balances: BTreeMap<String, Vec<(u64, i64)>>,
}

impl Books {
    pub(super) fn read(database: &Database) -> Self {
        use diesel::prelude::*;

        /// Diesel checks a query against one kind of database at a time.
        macro_rules! read {
            ($db:ident) => {{
                let tables = $db.read(|conn| {
                    let accounts = accounts::table.order(accounts::id).load::<Account>(conn)?;
                    let by_key = (entries::account, entries::cursor);
                    Ok((accounts, entries::table.order(by_key).load::<Entry>(conn)?))
                });
                (events(&$db.event_log()), tables.expect("the tables are readable"))
            }};
        }
        let (events, (accounts, entries)) = match database.open() {
            Opened::Sqlite(db) => read!(db),
            Opened::Postgres(db) => read!(db),
        };
        let mut fold = Fold::default();
        events.iter().for_each(|event| fold.apply(event));
        Self { events, accounts, entries, fold }
    }

    /// The tables are the fold of the log.
    pub(super) fn check_tables(&self) {
        assert_eq!(self.accounts, self.fold.accounts.values().cloned().collect::<Vec<_>>());
        assert_eq!(self.entries, self.fold.entries.values().cloned().collect::<Vec<_>>());
        assert_eq!(self.accounts.iter().map(|account| account.2).sum::<i64>(), 0);
    }

    /// How many accounts the log has opened.
    pub(super) fn opened(&self) -> usize {
        self.fold.accounts.len()
    }

    /// How many postings the log has.
    pub(super) fn posted(&self) -> usize {
        self.events.len() - self.opened()
    }

    pub(super) fn head(&self) -> u64 {
        self.events.last().map_or(0, |event| number(&event.cursor))
    }

    pub(super) fn event(&self, cursor: u64) -> Option<&Event> {
        let at = self.events.binary_search_by_key(&cursor, |event| number(&event.cursor));
        at.ok().map(|at| &self.events[at].data)
    }

    /// Whether the account had this balance after the event at `cursor` or a later one.
    pub(super) fn had_balance_since(&self, account: &str, cursor: u64, balance: i64) -> bool {
        let balances = &self.fold.balances[account];
        let since = balances.partition_point(|(at, _)| *at < cursor);
        balances[since..].iter().any(|(_, had)| *had == balance)
    }

    /// What the clients have named the events.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.events.iter().map(|event| match &event.data {
            Event::Opened { id, .. } => id,
            Event::Posted(posting) => &posting.memo,
        })
    }
}

impl Fold {
    fn apply(&mut self, event: &Recorded<Event>) {
        let cursor = i64::try_from(number(&event.cursor)).expect("a cursor of 63 bits");
        match &event.data {
            Event::Opened { id, owner } => {
                let account = (id.clone(), owner.clone(), 0, 0, cursor);
                assert!(self.accounts.insert(id.clone(), account).is_none(), "{id} opened twice");
            }
            Event::Posted(Posting { from, to, amount, memo }) => {
                for (id, amount) in [(from, -amount), (to, *amount)] {
                    let account = self.accounts.get_mut(id).expect("the account is open");
                    account.2 += amount;
                    account.3 += 1;
                    let entry = (
                        id.clone(),
                        cursor,
                        from.clone(),
                        to.clone(),
                        amount,
                        Some(memo.clone()),
                        event.time.to_string(),
                    );
                    self.entries.insert((id.clone(), cursor), entry);
                    let balances = self.balances.entry(id.clone()).or_default();
                    balances.push((number(&event.cursor), account.2));
                }
            }
        }
    }
}

fn events(log: &impl EventLog<Event = Event>) -> Vec<Recorded<Event>> {
    let events = log.fetch(&Cursor::Start, usize::MAX).expect("the log is readable");
    assert_eq!(events.undecodable, []);
    events.events
}

fn number(cursor: &Cursor) -> u64 {
    match cursor {
        Cursor::Integer(number) => *number,
        other => panic!("{other:?} is no cursor of this log"),
    }
}
