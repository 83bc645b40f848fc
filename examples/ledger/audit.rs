//! The audit: totals of the whole ledger, exact at one cursor.
//!
//! The two sides of a posting are committed by two partitions, each in its own time. So a sum over
//! all balances may meet a posting of which one side has arrived and the other has not. The
//! reducer's *low watermark* says how far everything has arrived: at or below it, both sides of
//! every posting are there. What the newest entries, those above it, have added is taken off again,
//! and what remains is the ledger as it was at that cursor. All of it is read in one transaction.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::SqliteConnection;
use rederive::Cursor;
use serde::Serialize;

use crate::derive;

/// The totals of the events up to `cursor`.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Audit {
    /// Of all balances: zero, or the ledger is wrong.
    pub(crate) sum: i128,
    pub(crate) accounts: i64,
    pub(crate) postings: i64,
    pub(crate) cursor: i64,
}

/// What an audit finds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    Exact(Audit),
    /// An account lacks the effect of a posting, whose other side may have arrived.
    Halted {
        account: String,
        why: String,
    },
}

/// Sums in two halves of 32 bits each: the sum of all balances fits into 64 bits, but on the way
/// there it need not, and SQLite gives up then.
#[derive(QueryableByName)]
struct Totals {
    #[diesel(sql_type = BigInt)]
    high: i64,
    #[diesel(sql_type = BigInt)]
    low: i64,
    #[diesel(sql_type = BigInt)]
    sides: i64,
    #[diesel(sql_type = BigInt)]
    accounts: i64,
}

impl Totals {
    fn sum(&self) -> i128 {
        (i128::from(self.high) << 32) + i128::from(self.low)
    }
}

const BALANCES: &str = "SELECT coalesce(sum(balance >> 32), 0) AS high,
    coalesce(sum(balance & 0xffffffff), 0) AS low,
    coalesce(sum(postings), 0) AS sides,
    count(*) FILTER (WHERE opened <= ?) AS accounts
    FROM accounts";

const NEWEST: &str = "SELECT coalesce(sum(amount >> 32), 0) AS high,
    coalesce(sum(amount & 0xffffffff), 0) AS low,
    count(*) AS sides,
    0 AS accounts
    FROM entries WHERE cursor > ?";

/// Audits the ledger; `conn` is in a transaction.
pub(crate) fn audit(conn: &mut SqliteConnection) -> QueryResult<Finding> {
    if let Some(Halted { account, why }) = halted(conn)? {
        return Ok(Finding::Halted { account, why });
    }
    let cursor = low_watermark(conn)?;
    let all: Totals = diesel::sql_query(BALANCES).bind::<BigInt, _>(cursor).get_result(conn)?;
    let newest: Totals = diesel::sql_query(NEWEST).bind::<BigInt, _>(cursor).get_result(conn)?;
    Ok(Finding::Exact(Audit {
        sum: all.sum() - newest.sum(),
        accounts: all.accounts,
        postings: (all.sides - newest.sides) / 2,
        cursor,
    }))
}

#[derive(QueryableByName)]
struct Watermark {
    #[diesel(sql_type = Text)]
    cursor: String,
}

/// Every event at or below it has arrived in all its partitions, in this very transaction.
fn low_watermark(conn: &mut SqliteConnection) -> QueryResult<i64> {
    let stored: Option<Watermark> =
        diesel::sql_query("SELECT cursor FROM rederive_reducers WHERE name = ?")
            .bind::<Text, _>(derive::LEDGER)
            .get_result(conn)
            .optional()?;
    let Some(stored) = stored else { return Ok(0) };
    let foreign = |text: String| diesel::result::Error::DeserializationError(text.into());
    let cursor = Cursor::decode(&stored.cursor).map_err(|error| foreign(error.to_string()))?;
    derive::number(&cursor).map_err(|error| foreign(error.to_string()))
}

#[derive(QueryableByName)]
struct Halted {
    #[diesel(sql_type = Text)]
    account: String,
    #[diesel(sql_type = Text)]
    why: String,
}

fn halted(conn: &mut SqliteConnection) -> QueryResult<Option<Halted>> {
    diesel::sql_query(
        "SELECT id AS account, coalesce(halt_message, '') AS why FROM rederive_partitions
         WHERE reducer = ? AND halt_cursor IS NOT NULL ORDER BY id LIMIT 1",
    )
    .bind::<Text, _>(derive::LEDGER)
    .get_result(conn)
    .optional()
}

#[cfg(test)]
mod tests {
    use diesel::connection::SimpleConnection;
    use rederive::diesel::Database;

    use super::*;
    use crate::tables;

    /// What is found in the tables after these statements.
    fn found(statements: &str) -> Finding {
        let directory = tempfile::tempdir().unwrap();
        let db = Database::open(directory.path().join("ledger.db")).unwrap();
        db.write(|conn| {
            tables::create(conn)?;
            conn.batch_execute(statements)
        })
        .unwrap();
        db.read(audit).unwrap()
    }

    fn stands_at(cursor: u64) -> String {
        let cursor = Cursor::from(cursor).encode();
        format!(
            "INSERT INTO rederive_reducers (name, version, epoch, revision, cursor)
             VALUES ('ledger', 1, 1, 1, '{cursor}');"
        )
    }

    #[test]
    fn a_posting_of_which_one_side_has_arrived_is_not_counted() {
        let statements = stands_at(3)
            + "INSERT INTO accounts VALUES
                ('a', 'A', -15, 2, 1), ('b', 'B', 5, 1, 2), ('late', 'L', 0, 0, 5);
               INSERT INTO entries VALUES
                ('a', 3, 'a', 'b', -5, NULL, ''), ('b', 3, 'a', 'b', 5, NULL, ''),
                ('a', 4, 'a', 'b', -10, NULL, '')";
        let exact = Audit { sum: 0, accounts: 2, postings: 1, cursor: 3 };
        assert_eq!(found(&statements), Finding::Exact(exact));
    }

    #[test]
    fn sums_may_pass_through_numbers_of_more_than_64_bits() {
        let most = i64::MAX;
        let statements = stands_at(6)
            + &format!(
                "INSERT INTO accounts VALUES ('a', 'A', {most}, 1, 1), ('b', 'B', {most}, 1, 2),
                    ('c', 'C', -{most}, 1, 3), ('d', 'D', -{most}, 1, 4)"
            );
        let exact = Audit { sum: 0, accounts: 4, postings: 2, cursor: 6 };
        assert_eq!(found(&statements), Finding::Exact(exact));
    }

    #[test]
    fn money_that_came_from_nowhere_is_found() {
        let statements = stands_at(2) + "INSERT INTO accounts VALUES ('a', 'A', 7, 0, 1)";
        let Finding::Exact(audit) = found(&statements) else { panic!("halted") };
        assert_eq!(audit.sum, 7);
    }

    #[test]
    fn with_a_halted_account_nothing_is_claimed() {
        let statements = stands_at(2)
            + "INSERT INTO rederive_partitions (reducer, id, cursor, halt_cursor, halt_message)
               VALUES ('ledger', 'a', '', 'i00000000000000000002', 'no room')";
        let halted = Finding::Halted { account: "a".to_owned(), why: "no room".to_owned() };
        assert_eq!(found(&statements), halted);
    }

    #[test]
    fn an_empty_ledger_is_in_balance() {
        let exact = Audit { sum: 0, accounts: 0, postings: 0, cursor: 0 };
        assert_eq!(found(""), Finding::Exact(exact));
    }
}
