//! [`TableOrder`]: why a reader of a table misses no row.

use std::{fmt, marker::PhantomData, time::Duration};

use diesel::{QueryResult, pg::PgConnection};
use rederive_core::{CursorPair, Holder, LogCursor};

use super::super::{
    event_log::holders,
    sql::{Bind, Sql, quoted},
};

/// Why a reader of a table that asks for what is above its cursor misses no row: in which order rows
/// become visible, and what sees to it.
///
/// | | [`locked`](TableOrder::locked) | [`by_transaction`](TableOrder::by_transaction) |
/// |---|---|---|
/// | cursor | `i64`, from a sequence | [`CursorPair`] of the transaction and a number |
/// | writers | wait for each other, from their first insert until their commit | do not wait |
/// | readers | see a row once it is committed | see it once no older transaction is open, in any database of the server |
/// | needs | triggers ([`guard_appends`](crate::PostgresDatabase::guard_appends)) | a column with a default, an index |
/// | rows per second, one in each transaction, 16 writers | 3,000 | 15,800 (as without) |
/// | the same, 50 in each transaction | 87,000 | 174,000 |
///
/// (Measured on a small machine with two cores, by `pgbench`.) Lock, unless there are many writers
/// that must not wait; and do not read by transaction where transactions of others, backups and
/// migrations among them, stay open for long after they have written.
/// [`held_back`](rederive_core::EventLog::held_back) names what is waited for in both cases.
pub struct TableOrder<C> {
    table: String,
    kind: Kind,
    trusted: bool,
    cursor: PhantomData<fn() -> C>,
}

/// What a table is ordered by.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Locked { column: String },
    ByTransaction { transaction: String, number: String },
}

impl TableOrder<i64> {
    /// Writers hold a lock from before the first number is taken until their transaction ends, so that
    /// rows become visible in the order of their numbers. Triggers see to it, which
    /// [`PostgresDatabase::guard_appends`](crate::PostgresDatabase::guard_appends) installs.
    ///
    /// The table is named as in SQL (`orders`, `shop.orders`, `"Orders"`), the column as it is. It is
    /// a `bigint` that is filled from a sequence of its own (`GENERATED … AS IDENTITY`, `bigserial`)
    /// and has a unique index.
    pub fn locked(table: impl Into<String>, column: impl Into<String>) -> Self {
        Self::new(table.into(), Kind::Locked { column: column.into() })
    }
}

impl TableOrder<CursorPair> {
    /// Each row carries the number of the transaction that wrote it, and rows are read only below the
    /// oldest transaction that is open: whatever can still be committed comes after them.
    ///
    /// `transaction` is a column `xid8 NOT NULL DEFAULT pg_current_xact_id()` to which nobody gives
    /// a value, `number` a `bigint` not below zero, and both have a unique index, in this order.
    /// Numbers need not be taken in the order of anything. Needs PostgreSQL 13.
    ///
    /// A table that was restored from another server (by `pg_dump`) carries that one's transactions. If
    /// they are ahead of this one's, the log is refused, as it would wait for them.
    pub fn by_transaction(
        table: impl Into<String>,
        transaction: impl Into<String>,
        number: impl Into<String>,
    ) -> Self {
        let (transaction, number) = (transaction.into(), number.into());
        Self::new(table.into(), Kind::ByTransaction { transaction, number })
    }
}

impl<C> TableOrder<C> {
    fn new(table: String, kind: Kind) -> Self {
        Self { table, kind, trusted: false, cursor: PhantomData }
    }

    /// The same, but nothing is looked up: you vouch for the order.
    ///
    /// Rows are missed where it does not hold. Followed as they came from a plain sequence while eight
    /// writers committed after up to 2 ms, 9,117 of 26,217 rows were missed; with a lock but a sequence
    /// that sessions take 20 numbers ahead from (`CACHE 20`), 4,733 of 5,627; below the oldest open
    /// transaction but by the number alone, 3,374 of 17,456.
    #[must_use]
    pub fn trusted(mut self) -> Self {
        self.trusted = true;
        self
    }

    pub(super) fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// The table, as it was named.
    pub fn table(&self) -> &str {
        &self.table
    }

    pub(super) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The transactions that hold the log back.
    pub(super) fn held_back(
        &self,
        conn: &mut PgConnection,
        least: Duration,
    ) -> QueryResult<Vec<Holder>> {
        match &self.kind {
            Kind::Locked { .. } => holders::of_lock(conn, &self.table, least),
            Kind::ByTransaction { transaction, .. } => {
                holders::of_horizon(conn, &self.table, &quoted(transaction), least)
            }
        }
    }
}

/// What a table of the user's on PostgreSQL may be ordered by: `i64` or [`CursorPair`].
pub trait OrderedBy: LogCursor + sealed::Sealed {
    /// Below which transaction can be read; `None` when all can be.
    #[doc(hidden)]
    fn horizon(conn: &mut PgConnection) -> QueryResult<Option<u64>>;

    /// Whether it can be read.
    #[doc(hidden)]
    fn is_below(&self, horizon: Option<u64>) -> bool;

    /// The values of a row.
    #[doc(hidden)]
    fn of(numbers: (u64, u64)) -> Self;

    /// The inverse.
    #[doc(hidden)]
    fn numbers(&self) -> (i64, i64);
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for i64 {}
    impl Sealed for rederive_core::CursorPair {}
}

impl OrderedBy for i64 {
    fn horizon(_: &mut PgConnection) -> QueryResult<Option<u64>> {
        Ok(None)
    }

    fn is_below(&self, _: Option<u64>) -> bool {
        true
    }

    fn of((_, number): (u64, u64)) -> Self {
        Self::try_from(number).unwrap_or(Self::MAX)
    }

    fn numbers(&self) -> (i64, i64) {
        (0, *self)
    }
}

impl OrderedBy for CursorPair {
    fn horizon(conn: &mut PgConnection) -> QueryResult<Option<u64>> {
        let text = "SELECT pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())\
                    ::pg_catalog.text::pg_catalog.int8";
        let row = Sql { text, binds: &[] }.row(conn)?;
        let xmin = row.map_or(Ok(0), |mut row| row.integer())?;
        Ok(Some(u64::try_from(xmin).unwrap_or(0)))
    }

    fn is_below(&self, horizon: Option<u64>) -> bool {
        horizon.is_none_or(|horizon| self.first < horizon)
    }

    fn of((transaction, number): (u64, u64)) -> Self {
        Self::new(transaction, number)
    }

    fn numbers(&self) -> (i64, i64) {
        let number = |number| i64::try_from(number).unwrap_or(i64::MAX);
        (number(self.first), number(self.second))
    }
}

/// How many rows are counted one by one.
const MOST_COUNTED: i64 = 100_000;

impl<C: OrderedBy> TableOrder<C> {
    /// Cuts off what may still be overtaken. Rows that are not in order are left as they are, to be
    /// refused.
    pub(super) fn cut<R>(rows: &mut Vec<R>, horizon: Option<u64>, cursor: impl Fn(&R) -> C) {
        if rows.is_sorted_by(|a, b| cursor(a) < cursor(b)) {
            rows.truncate(rows.partition_point(|row| cursor(row).is_below(horizon)));
        }
    }

    /// The newest row that can be read.
    pub(super) fn head(&self, conn: &mut PgConnection) -> QueryResult<Option<C>> {
        let Some(mut row) = Sql { text: &self.newest(), binds: &[] }.row(conn)? else {
            return Ok(None);
        };
        let mut number = || row.integer().map(|number| u64::try_from(number).unwrap_or(0));
        Ok(Some(C::of((number()?, number()?))))
    }

    /// How many rows can be read after this one: exactly, or if there are many, by their numbers.
    pub(super) fn count(&self, conn: &mut PgConnection, after: &C) -> QueryResult<u64> {
        let table = &self.table;
        let (first, second) = after.numbers();
        let (text, mut binds) = match &self.kind {
            Kind::Locked { column } => {
                let column = quoted(column);
                (format!("{column} > \0"), vec![Bind::integer(second)])
            }
            Kind::ByTransaction { transaction, number } => {
                let (transaction, number) = (quoted(transaction), quoted(number));
                let text = format!(
                    "({transaction}, {number}) > (\0::pg_catalog.text::pg_catalog.xid8, \0)
                     AND {transaction} < pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())"
                );
                (text, vec![Bind::text(first.to_string()), Bind::integer(second)])
            }
        };
        binds.push(Bind::integer(MOST_COUNTED));
        let text = format!(
            "SELECT pg_catalog.count(*) FROM (SELECT FROM {table} WHERE {text} LIMIT \0) AS rows"
        );
        let counted = Sql { text: &text, binds: &binds }.row(conn)?;
        let counted = counted.map_or(Ok(0), |mut row| row.integer())?;
        let newest = if counted < MOST_COUNTED { None } else { self.head(conn)? };
        let about = newest.map_or(0, |newest| newest.numbers().1.saturating_sub(second));
        Ok(u64::try_from(counted.max(about)).unwrap_or(0))
    }

    fn newest(&self) -> String {
        let table = &self.table;
        match &self.kind {
            Kind::Locked { column } => {
                let column = quoted(column);
                format!(
                    "SELECT 0::pg_catalog.int8, {column} FROM {table} ORDER BY {column} DESC LIMIT 1"
                )
            }
            Kind::ByTransaction { transaction, number } => {
                let (transaction, number) = (quoted(transaction), quoted(number));
                format!(
                    "SELECT {transaction}::pg_catalog.text::pg_catalog.int8, {number} FROM {table}
                     WHERE {transaction} < pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())
                     ORDER BY {transaction} DESC, {number} DESC LIMIT 1"
                )
            }
        }
    }
}

impl<C> Clone for TableOrder<C> {
    fn clone(&self) -> Self {
        let (table, kind) = (self.table.clone(), self.kind.clone());
        Self { table, kind, trusted: self.trusted, cursor: PhantomData }
    }
}

impl<C> fmt::Debug for TableOrder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("TableOrder");
        debug.field("table", &self.table).field("kind", &self.kind);
        debug.field("trusted", &self.trusted).finish()
    }
}
