//! Reading the derived tables: accounts and their postings.

use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;
use serde::Serialize;

use crate::audit::{self, Audit};
use crate::tables::{accounts, entries};

/// An account as it is shown.
#[derive(Debug, PartialEq, Eq, Queryable, Selectable, Serialize)]
#[diesel(table_name = accounts)]
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) owner: String,
    pub(crate) balance: i64,
    pub(crate) postings: i64,
}

/// A posting as it is shown: the same from both of its accounts.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct PostingLine {
    pub(crate) cursor: i64,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) amount: u64,
    pub(crate) memo: Option<String>,
    pub(crate) time: String,
}

/// What is read, by whichever connection.
pub(crate) trait Books {
    fn account(&mut self, id: &str) -> QueryResult<Option<Account>>;

    /// Up to `limit` accounts whose ids come after `after`, ordered by id (bytewise).
    fn accounts_after(&mut self, after: Option<&str>, limit: i64) -> QueryResult<Vec<Account>>;

    /// The balance of an account.
    fn balance(&mut self, id: &str) -> QueryResult<Option<i64>>;

    /// Up to `limit` postings of an account after a cursor, in log order.
    fn postings_after(
        &mut self,
        account: &str,
        after: i64,
        limit: i64,
    ) -> QueryResult<Vec<PostingLine>>;

    /// Audits the ledger as it was at `cursor`, to which everything had arrived before this
    /// connection began its transaction.
    fn audit(&mut self, cursor: i64) -> QueryResult<Audit>;
}

/// The same queries for every connection there is: Diesel checks them against one at a time.
macro_rules! books {
    ($connection:ty) => {
        impl Books for $connection {
            fn account(&mut self, id: &str) -> QueryResult<Option<Account>> {
                if is_none(id) {
                    return Ok(None);
                }
                accounts::table.find(id).select(Account::as_select()).first(self).optional()
            }

            fn accounts_after(
                &mut self,
                after: Option<&str>,
                limit: i64,
            ) -> QueryResult<Vec<Account>> {
                let all = accounts::table.select(Account::as_select());
                let mut query = all.order(accounts::id).limit(limit).into_boxed();
                if let Some(after) = after {
                    query = query.filter(accounts::id.gt(after));
                }
                query.load(self)
            }

            fn balance(&mut self, id: &str) -> QueryResult<Option<i64>> {
                if is_none(id) {
                    return Ok(None);
                }
                accounts::table.find(id).select(accounts::balance).first(self).optional()
            }

            fn postings_after(
                &mut self,
                account: &str,
                after: i64,
                limit: i64,
            ) -> QueryResult<Vec<PostingLine>> {
                let rows = entries::table
                    .filter(entries::account.eq(account))
                    .filter(entries::cursor.gt(after))
                    .order(entries::cursor)
                    .limit(limit)
                    .select((
                        entries::cursor,
                        entries::from_account,
                        entries::to_account,
                        entries::amount,
                        entries::memo,
                        entries::time,
                    ))
                    .load::<Row>(self)?;
                Ok(rows.into_iter().map(PostingLine::from).collect())
            }

            fn audit(&mut self, cursor: i64) -> QueryResult<Audit> {
                let totals = |sql| diesel::sql_query(sql).bind::<BigInt, _>(cursor);
                let all = totals(audit::BALANCES).get_result(self)?;
                let newest = totals(audit::NEWEST).get_result(self)?;
                Ok(Audit::of(&all, &newest, cursor))
            }
        }
    };
}

books!(SqliteConnection);
books!(PgConnection);

/// Whether no account can have this id. PostgreSQL refuses to look for it.
fn is_none(id: &str) -> bool {
    id.contains('\0')
}

/// (cursor, from, to, amount, memo, time)
type Row = (i64, String, String, i64, Option<String>, String);

impl From<Row> for PostingLine {
    fn from((cursor, from, to, amount, memo, time): Row) -> Self {
        Self { cursor, from, to, amount: amount.unsigned_abs(), memo, time }
    }
}
