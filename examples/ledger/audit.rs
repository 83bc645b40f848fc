//! The audit: totals of the whole ledger, exact at one cursor.
//!
//! The two sides of a posting are committed by two partitions, each in its own time. So a sum over
//! all balances may meet a posting of which one side has arrived and the other has not. But once the
//! reducer has *caught up* with what was the end of the log, both sides of every posting up to there
//! have arrived. What the entries above that cursor have added is taken off again, and what remains is
//! the ledger as it was at that cursor.

use diesel::prelude::*;
use diesel::sql_types::BigInt;
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
/// there it need not, and SQLite gives up then. PostgreSQL's sums are of a wider type, hence the casts.
#[derive(QueryableByName)]
pub(crate) struct Totals {
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

pub(crate) const BALANCES: &str = "SELECT CAST(coalesce(sum(balance >> 32), 0) AS bigint) AS high,
    CAST(coalesce(sum(balance & 4294967295), 0) AS bigint) AS low,
    CAST(coalesce(sum(postings), 0) AS bigint) AS sides,
    count(*) FILTER (WHERE opened <= $1) AS accounts
    FROM accounts";

pub(crate) const NEWEST: &str = "SELECT CAST(coalesce(sum(amount >> 32), 0) AS bigint) AS high,
    CAST(coalesce(sum(amount & 4294967295), 0) AS bigint) AS low,
    count(*) AS sides,
    CAST(0 AS bigint) AS accounts
    FROM entries WHERE cursor > $1";

impl Audit {
    /// From the totals of all and of the entries after the cursor.
    pub(crate) fn of(all: &Totals, newest: &Totals, cursor: i64) -> Self {
        Self {
            sum: all.sum() - newest.sum(),
            accounts: all.accounts,
            postings: (all.sides - newest.sides) / 2,
            cursor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests;

    /// The audit at a cursor of the tables after these statements, on whichever database.
    fn audited(cursor: i64, statements: &str) -> Audit {
        let [on_sqlite, on_postgres] = [tests::sqlite(), tests::postgres()].map(|new| {
            new.db.execute(statements);
            new.db.read(|books| books.audit(cursor)).unwrap()
        });
        assert_eq!(on_sqlite, on_postgres);
        on_sqlite
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
        let audit = audited(0, "SELECT 1");
        assert_eq!(audit, Audit { sum: 0, accounts: 0, postings: 0, cursor: 0 });
    }
}
