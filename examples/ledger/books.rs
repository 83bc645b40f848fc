//! Reading the derived tables: accounts and their postings.

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use serde::Serialize;

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

pub(crate) fn account(conn: &mut SqliteConnection, id: &str) -> QueryResult<Option<Account>> {
    accounts::table.find(id).select(Account::as_select()).first(conn).optional()
}

/// Up to `limit` accounts whose ids come after `after`, ordered by id (bytewise).
pub(crate) fn accounts_after(
    conn: &mut SqliteConnection,
    after: Option<&str>,
    limit: i64,
) -> QueryResult<Vec<Account>> {
    let mut query =
        accounts::table.select(Account::as_select()).order(accounts::id).limit(limit).into_boxed();
    if let Some(after) = after {
        query = query.filter(accounts::id.gt(after));
    }
    query.load(conn)
}

/// The balance of an account.
pub(crate) fn balance(conn: &mut SqliteConnection, id: &str) -> QueryResult<Option<i64>> {
    accounts::table.find(id).select(accounts::balance).first(conn).optional()
}

/// Up to `limit` postings of an account after a cursor, in log order.
pub(crate) fn postings_after(
    conn: &mut SqliteConnection,
    account: &str,
    after: i64,
    limit: i64,
) -> QueryResult<Vec<PostingLine>> {
    type Row = (i64, String, String, i64, Option<String>, String);

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
        .load::<Row>(conn)?;
    let line = |(cursor, from, to, amount, memo, time): Row| PostingLine {
        cursor,
        from,
        to,
        amount: amount.unsigned_abs(),
        memo,
        time,
    };
    Ok(rows.into_iter().map(line).collect())
}
