//! The audit: totals of the whole ledger, exact at one cursor.
//!
//! The two sides of a posting are committed by two partitions, each in its own time. So a sum over
//! all balances may meet a posting of which one side has arrived and the other has not. The
//! reducer's *low watermark* says how far everything has arrived: at or below it, both sides of
//! every posting are there. What the newest entries, those above it, have added is taken off again,
//! and what remains is the ledger as it was at that cursor.

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;
use serde::Serialize;

/// The totals of the events up to `cursor`.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Audit {
    /// Of all balances: zero, or the ledger is wrong.
    pub(crate) sum: i128,
    pub(crate) accounts: i64,
    pub(crate) postings: i64,
    pub(crate) cursor: i64,
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

/// Audits the ledger as it was at `cursor`, to which everything had arrived before `conn` began its
/// transaction.
pub(crate) fn audit(conn: &mut SqliteConnection, cursor: i64) -> QueryResult<Audit> {
    let all: Totals = diesel::sql_query(BALANCES).bind::<BigInt, _>(cursor).get_result(conn)?;
    let newest: Totals = diesel::sql_query(NEWEST).bind::<BigInt, _>(cursor).get_result(conn)?;
    Ok(Audit {
        sum: all.sum() - newest.sum(),
        accounts: all.accounts,
        postings: (all.sides - newest.sides) / 2,
        cursor,
    })
}

#[cfg(test)]
mod tests {
    use diesel::connection::SimpleConnection;
    use rederive::diesel::SqliteDatabase;

    use super::*;
    use crate::tables;

    /// The audit at a cursor of the tables after these statements.
    fn audited(cursor: i64, statements: &str) -> Audit {
        let directory = tempfile::tempdir().unwrap();
        let db = SqliteDatabase::open(directory.path().join("ledger.db")).unwrap();
        db.write(|conn| {
            tables::create(conn)?;
            conn.batch_execute(statements)
        })
        .unwrap();
        db.read(|conn| audit(conn, cursor)).unwrap()
    }

    #[test]
    fn a_posting_of_which_one_side_has_arrived_is_not_counted() {
        let audit = audited(
            3,
            "INSERT INTO accounts VALUES
                ('a', 'A', -15, 2, 1), ('b', 'B', 5, 1, 2), ('late', 'L', 0, 0, 5);
             INSERT INTO entries VALUES
                ('a', 3, 'a', 'b', -5, NULL, ''), ('b', 3, 'a', 'b', 5, NULL, ''),
                ('a', 4, 'a', 'b', -10, NULL, '')",
        );
        assert_eq!(audit, Audit { sum: 0, accounts: 2, postings: 1, cursor: 3 });
    }

    #[test]
    fn sums_may_pass_through_numbers_of_more_than_64_bits() {
        let most = i64::MAX;
        let audit = audited(
            6,
            &format!(
                "INSERT INTO accounts VALUES ('a', 'A', {most}, 1, 1), ('b', 'B', {most}, 1, 2),
                    ('c', 'C', -{most}, 1, 3), ('d', 'D', -{most}, 1, 4)"
            ),
        );
        assert_eq!(audit, Audit { sum: 0, accounts: 4, postings: 2, cursor: 6 });
    }

    #[test]
    fn money_that_came_from_nowhere_is_found() {
        let audit = audited(2, "INSERT INTO accounts VALUES ('a', 'A', 7, 0, 1)");
        assert_eq!(audit.sum, 7);
    }

    #[test]
    fn an_empty_ledger_is_in_balance() {
        let audit = audited(0, "");
        assert_eq!(audit, Audit { sum: 0, accounts: 0, postings: 0, cursor: 0 });
    }
}
