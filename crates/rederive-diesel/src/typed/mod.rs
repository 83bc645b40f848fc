//! [`DieselOps`]: ops against the tables that Diesel's `table!` knows.

mod changes;
mod custom;
mod key;
mod row;
mod table;
mod value;

use diesel::{
    Column, Expression, Insertable,
    expression::{AsExpression, TypedExpressionType},
    query_builder::{QueryFragment, QueryId},
    result::QueryResult,
    sql_types::SqlType,
    sqlite::{Sqlite, SqliteConnection},
};
use rederive_core::{Change, Op, Ops, ReduceError};
use serde::Serialize;

pub use changes::Changes;
pub(crate) use custom::SqliteOp;
pub use key::KeyOf;
pub use table::OpTable;

/// Ops against the tables that Diesel's `table!` knows.
///
/// Implemented for [`Ops`]. The compiler checks that a row is `Insertable` into the table, and that
/// columns, keys and values belong to it. The values are taken by serde: the names a row serialises
/// its fields with are the names of columns, and a field left out is a column not named. What serde
/// can give and a column cannot take is a [`ReduceError`] that names both.
///
/// A value's serialised form must be what the column holds: numbers, booleans, text, bytes (or a
/// sequence of small numbers), `None` for `NULL`. A row's `None` is `NULL`, never the column's
/// default.
///
/// ```
/// use diesel::Insertable;
/// use rederive_core::{Ops, ReduceError};
/// use rederive_diesel::DieselOps;
/// use serde::Serialize;
///
/// diesel::table! {
///     accounts (id) { id -> Text, owner -> Text, balance -> BigInt }
/// }
///
/// #[derive(Insertable, Serialize)]
/// #[diesel(table_name = accounts)]
/// struct Account<'a> {
///     id: &'a str,
///     owner: &'a str,
///     balance: i64,
/// }
///
/// fn example(ops: &mut Ops) -> Result<(), ReduceError> {
///     ops.insert(accounts::table, Account { id: "alice", owner: "Alice", balance: 0 })?;
///     ops.increment(accounts::balance, "alice", 5_i64)?;
///     ops.update(accounts::table, "alice", (accounts::owner, "Alice A."))?;
///     ops.update(
///         accounts::table,
///         "alice",
///         ((accounts::owner, "Alice B."), (accounts::balance, 7_i64)),
///     )?;
///     ops.delete(accounts::table, "alice")
/// }
///
/// let mut ops = Ops::new("alice".into());
/// example(&mut ops)?;
/// assert_eq!(ops.as_slice().len(), 5);
/// # Ok::<(), rederive_core::ReduceError>(())
/// ```
///
/// What does not fit does not compile: a change of another type than the column's,
///
/// ```compile_fail
/// # diesel::table! { accounts (id) { id -> Text, owner -> Text, balance -> BigInt } }
/// # use rederive_diesel::DieselOps;
/// # let mut ops = rederive_core::Ops::new("p".into());
/// ops.increment(accounts::balance, "alice", "five");
/// ```
///
/// a key of another type than the table's,
///
/// ```compile_fail
/// # diesel::table! { accounts (id) { id -> Text, owner -> Text, balance -> BigInt } }
/// # use rederive_diesel::DieselOps;
/// # let mut ops = rederive_core::Ops::new("p".into());
/// ops.delete(accounts::table, 7_i64);
/// ```
///
/// or a column of another table:
///
/// ```compile_fail
/// # diesel::table! { accounts (id) { id -> Text, owner -> Text, balance -> BigInt } }
/// # diesel::table! { notes (id) { id -> Text, text -> Text } }
/// # use rederive_diesel::DieselOps;
/// # let mut ops = rederive_core::Ops::new("p".into());
/// ops.update(accounts::table, "alice", (notes::text, "x"));
/// ```
pub trait DieselOps {
    /// A new row. When the key exists, the event is rejected and its partition halts.
    ///
    /// # Errors
    /// [`ReduceError`] when the row does not serialise to the table's columns; no op was added.
    fn insert<T, R>(&mut self, table: T, row: R) -> Result<(), ReduceError>
    where
        T: OpTable,
        R: Insertable<T> + Serialize;

    /// A new row; nothing when the key exists.
    ///
    /// # Errors
    /// As for [`insert`](Self::insert).
    fn insert_new<T, R>(&mut self, table: T, row: R) -> Result<(), ReduceError>
    where
        T: OpTable,
        R: Insertable<T> + Serialize;

    /// A new row; when the key exists, new values for all columns that the row names. As in SQL, the
    /// row must be one that could be inserted even then.
    ///
    /// # Errors
    /// As for [`insert`](Self::insert).
    fn upsert<T, R>(&mut self, table: T, row: R) -> Result<(), ReduceError>
    where
        T: OpTable,
        R: Insertable<T> + Serialize;

    /// New values for columns of the row with this key: `(column, value)`, or a tuple of such pairs.
    /// Without such a row, the event is rejected and its partition halts. The key of a table with
    /// several key columns is a tuple.
    ///
    /// # Errors
    /// As for [`insert`](Self::insert).
    fn update<T, K, C, MK, MC>(&mut self, table: T, key: K, changes: C) -> Result<(), ReduceError>
    where
        T: OpTable,
        K: KeyOf<T, MK>,
        C: Changes<T, MC>;

    /// Adds to a column of the row with this key; `NULL` counts as zero. Without such a row, and
    /// when an integer would overflow, the event is rejected and its partition halts.
    ///
    /// # Errors
    /// As for [`insert`](Self::insert).
    fn increment<C, K, D, MK>(&mut self, column: C, key: K, by: D) -> Result<(), ReduceError>
    where
        C: Column,
        C::Table: OpTable,
        C::SqlType: SqlType + TypedExpressionType,
        K: KeyOf<C::Table, MK>,
        D: AsExpression<C::SqlType> + Serialize;

    /// No row with this key any more; nothing when there was none.
    ///
    /// # Errors
    /// As for [`insert`](Self::insert).
    fn delete<T, K, MK>(&mut self, table: T, key: K) -> Result<(), ReduceError>
    where
        T: OpTable,
        K: KeyOf<T, MK>;

    /// Any statement of Diesel's that owns its values, for what the ops above cannot say. It runs in
    /// order with the other ops of its partition, on its own: slower than they are.
    ///
    /// ```
    /// use diesel::prelude::*;
    /// use rederive_diesel::DieselOps;
    /// # diesel::table! { accounts (id) { id -> Text, owner -> Text, balance -> BigInt } }
    ///
    /// # let mut ops = rederive_core::Ops::new("p".into());
    /// ops.statement(
    ///     diesel::update(accounts::table.filter(accounts::balance.lt(0_i64)))
    ///         .set(accounts::owner.eq("the bank".to_owned())),
    /// )?;
    /// # Ok::<(), rederive_core::ReduceError>(())
    /// ```
    ///
    /// # Errors
    /// None at present.
    fn statement<S>(&mut self, statement: S) -> Result<(), ReduceError>
    where
        S: QueryFragment<Sqlite> + QueryId + Send + Sync + 'static;

    /// Code that runs in the transaction, in order with the other ops of its partition; `name`
    /// stands in messages. It may run several times (after a rollback), and must neither begin nor
    /// end a transaction nor keep an error of the connection to itself. An error or a panic rejects
    /// the event and halts its partition.
    ///
    /// ```
    /// use diesel::connection::SimpleConnection;
    /// use rederive_diesel::DieselOps;
    ///
    /// # let mut ops = rederive_core::Ops::new("p".into());
    /// ops.run("forget old sessions", |conn| {
    ///     conn.batch_execute("DELETE FROM sessions WHERE old")
    /// })?;
    /// # Ok::<(), rederive_core::ReduceError>(())
    /// ```
    ///
    /// # Errors
    /// None at present.
    fn run<F>(&mut self, name: impl Into<String>, work: F) -> Result<(), ReduceError>
    where
        F: Fn(&mut SqliteConnection) -> QueryResult<()> + Send + Sync + 'static;
}

impl DieselOps for Ops {
    fn insert<T, R>(&mut self, _table: T, row: R) -> Result<(), ReduceError>
    where
        T: OpTable,
        R: Insertable<T> + Serialize,
    {
        let (table, key, row) = row::split::<T, R>(&row)?;
        self.change(table, key, Change::Insert(row))
    }

    fn insert_new<T, R>(&mut self, _table: T, row: R) -> Result<(), ReduceError>
    where
        T: OpTable,
        R: Insertable<T> + Serialize,
    {
        let (table, key, row) = row::split::<T, R>(&row)?;
        self.change(table, key, Change::InsertNew(row))
    }

    fn upsert<T, R>(&mut self, _table: T, row: R) -> Result<(), ReduceError>
    where
        T: OpTable,
        R: Insertable<T> + Serialize,
    {
        let (table, key, row) = row::split::<T, R>(&row)?;
        self.change(table, key, Change::Upsert(row))
    }

    fn update<T, K, C, MK, MC>(&mut self, _table: T, key: K, changes: C) -> Result<(), ReduceError>
    where
        T: OpTable,
        K: KeyOf<T, MK>,
        C: Changes<T, MC>,
    {
        let table = table::of::<T>()?;
        let mut row = Vec::new();
        changes.collect(table, &mut row)?;
        self.change(table, key::values::<T, K, MK>(&key, table)?, Change::Update(row))
    }

    fn increment<C, K, D, MK>(&mut self, _column: C, key: K, by: D) -> Result<(), ReduceError>
    where
        C: Column,
        C::Table: OpTable,
        C::SqlType: SqlType + TypedExpressionType,
        K: KeyOf<C::Table, MK>,
        D: AsExpression<<C as Expression>::SqlType> + Serialize,
    {
        let table = table::of::<C::Table>()?;
        let column = table::column(table, C::NAME)?;
        let by = value::of(table, column, &by)?;
        let key = key::values::<C::Table, K, MK>(&key, table)?;
        self.change(table, key, Change::Increment(column, by))
    }

    fn delete<T, K, MK>(&mut self, _table: T, key: K) -> Result<(), ReduceError>
    where
        T: OpTable,
        K: KeyOf<T, MK>,
    {
        let table = table::of::<T>()?;
        self.change(table, key::values::<T, K, MK>(&key, table)?, Change::Delete)
    }

    fn statement<S>(&mut self, statement: S) -> Result<(), ReduceError>
    where
        S: QueryFragment<Sqlite> + QueryId + Send + Sync + 'static,
    {
        self.push(Op::Custom(SqliteOp::statement(statement)))
    }

    fn run<F>(&mut self, name: impl Into<String>, work: F) -> Result<(), ReduceError>
    where
        F: Fn(&mut SqliteConnection) -> QueryResult<()> + Send + Sync + 'static,
    {
        self.push(Op::Custom(SqliteOp::closure(name.into(), work)))
    }
}
