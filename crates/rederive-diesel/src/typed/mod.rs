//! [`DieselOps`]: ops against the tables that Diesel's `table!` knows.

mod array_column;
mod changes;
mod column_type;
mod custom;
mod emit;
mod field;
mod is_none;
mod key;
mod memory;
mod owned;
mod read;
mod row;
mod table;
mod table_row;
mod table_state;
mod value;

use diesel::{
    Column, Insertable,
    expression::{AsExpression, TypedExpressionType},
    sql_types::SqlType,
};
#[cfg(doc)]
use rederive_core::Ops;
use rederive_core::ReduceError;
use serde::Serialize;

pub use array_column::ArrayColumn;
pub use changes::{Changes, Filter};
pub use column_type::ColumnType;
pub(crate) use custom::SqlOp;
#[cfg(feature = "sqlite")]
pub(crate) use custom::Work;
pub use key::KeyOf;
pub use memory::TypedRows;
pub use owned::owned;
pub use table::OpTable;
pub use table_row::TableRow;
pub use table_state::TableState;

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
/// | SQL type | what serde may give, for instance |
/// |---|---|
/// | `Numeric` | `BigDecimal`, `rust_decimal::Decimal`, any number or its text: every digit is kept |
/// | `Uuid` | `uuid::Uuid`, its text or its bytes |
/// | `Timestamptz`, `Timestamp`, `Date`, `Time` | the types of `chrono`, `time` (with its feature `serde-human-readable`) and `jiff`, or text as ISO 8601 has it; microseconds are kept |
/// | `Json`, `Jsonb` | whatever has a JSON; `None` is `NULL`, `serde_json::Value::Null` is JSON's own |
/// | `Array<_>` | a `Vec` of such values |
/// | `Citext`, `Inet`, `Cidr`, types of your own | their text; see [`ColumnType`] |
///
/// Text that is no such value is an error as well, before a database sees it.
///
/// Five ways to write a row, and how they differ:
///
/// | op | no row has the key | a row has the key: named columns | its other columns |
/// |---|---|---|---|
/// | [`insert`](Self::insert) | new row | *rejected* | *rejected* |
/// | [`insert_new`](Self::insert_new) | new row | kept | kept |
/// | [`upsert`](Self::upsert), [`merge`](Self::merge) | new row | set | kept |
/// | [`replace`](Self::replace) | new row | set | set to their defaults |
/// | [`update`](Self::update) | *rejected* | set | kept |
///
/// `upsert` takes a row, `merge` a key and some columns; where other columns must not be `NULL` and
/// have no default, `merge` can still change a row that exists. In a new row, columns that are not
/// named take their defaults. What is rejected halts the event's partition.
///
/// Ops other than these compute ([`increment`](Self::increment), [`modify`](Self::modify),
/// [`array_push_uniq`](Self::array_push_uniq), [`array_delete`](Self::array_delete)), select rows by
/// their values (`…_where`), or [`delete`](Self::delete). They know no database: a reducer that is
/// written with them runs on each. SQL of your own runs on one: `SqliteOps` and `PostgresOps` add it.
/// How to declare a struct that is both written and read says [`TableRow`].
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
///     ops.increment_where(accounts::balance, (accounts::owner, "Alice B."), 1_i64)?;
///     ops.delete(accounts::table, "alice")
/// }
///
/// let mut ops = Ops::new("alice".into());
/// example(&mut ops)?;
/// assert_eq!(ops.as_slice().len(), 6);
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
///
/// The same goes for rows to select,
///
/// ```compile_fail
/// # diesel::table! { accounts (id) { id -> Text, owner -> Text, balance -> BigInt } }
/// # use rederive_diesel::DieselOps;
/// # let mut ops = rederive_core::Ops::new("p".into());
/// ops.delete_where(accounts::table, (accounts::owner, 7_i64));
/// ```
///
/// of which something must be said,
///
/// ```compile_fail
/// # diesel::table! { accounts (id) { id -> Text, owner -> Text, balance -> BigInt } }
/// # use rederive_diesel::DieselOps;
/// # let mut ops = rederive_core::Ops::new("p".into());
/// ops.delete_where(accounts::table, ());
/// ```
///
/// for `None` where there is no `NULL`,
///
/// ```compile_fail
/// # diesel::table! { accounts (id) { id -> Text, owner -> Text, balance -> BigInt } }
/// # use rederive_diesel::DieselOps;
/// # let mut ops = rederive_core::Ops::new("p".into());
/// ops.update_where(accounts::table, (accounts::owner, None::<String>), (accounts::balance, 0_i64));
/// ```
///
/// for what is merged or added,
///
/// ```compile_fail
/// # diesel::table! { accounts (id) { id -> Text, owner -> Text, balance -> BigInt } }
/// # use rederive_diesel::DieselOps;
/// # let mut ops = rederive_core::Ops::new("p".into());
/// ops.merge(accounts::table, "alice", (accounts::balance, "much"));
/// ```
///
/// ```compile_fail
/// # diesel::table! { accounts (id) { id -> Text, owner -> Text, balance -> BigInt } }
/// # use rederive_diesel::DieselOps;
/// # let mut ops = rederive_core::Ops::new("p".into());
/// ops.increment_where(accounts::balance, (accounts::owner, "Alice"), 0.5);
/// ```
///
/// for arrays in columns that are not text,
///
/// ```compile_fail
/// # diesel::table! { accounts (id) { id -> Text, owner -> Text, balance -> BigInt } }
/// # use rederive_diesel::DieselOps;
/// # let mut ops = rederive_core::Ops::new("p".into());
/// ops.array_push_uniq(accounts::balance, "alice", 1);
/// ```
///
/// and for the struct that a row is modified as:
///
/// ```compile_fail
/// # diesel::table! { accounts (id) { id -> Text, owner -> Text, balance -> BigInt } }
/// # diesel::table! { notes (id) { id -> Text, text -> Text } }
/// # use {diesel::prelude::*, rederive_diesel::DieselOps, serde::{Deserialize, Serialize}};
/// # #[derive(Insertable, Queryable, Selectable, Serialize, Deserialize)]
/// # #[diesel(table_name = notes)]
/// # struct Note { id: String, text: String }
/// # let mut ops = rederive_core::Ops::new("p".into());
/// ops.modify(accounts::table, "alice", |note: &mut Note| {
///     note.text.clear();
///     Ok(())
/// });
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

    /// Exactly this row, whether or not the key exists: columns that it does not name get their
    /// defaults. The row is changed, not deleted and inserted again, so no foreign key acts.
    ///
    /// # Errors
    /// As for [`insert`](Self::insert).
    fn replace<T, R>(&mut self, table: T, row: R) -> Result<(), ReduceError>
    where
        T: OpTable,
        R: Insertable<T> + Serialize;

    /// New values for columns of the row with this key, which is made, with defaults, if there is
    /// none. For a table that is all key, the changes are `()`.
    ///
    /// # Errors
    /// As for [`insert`](Self::insert).
    fn merge<T, K, C, MK, MC>(&mut self, table: T, key: K, changes: C) -> Result<(), ReduceError>
    where
        T: OpTable,
        K: KeyOf<T, MK>,
        C: Changes<T, MC>;

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

    /// New values for columns of every row that the filter selects: `(column, value)`, or a tuple of
    /// such pairs, all of which must be equal. `None` selects `NULL`. When no row is selected, nothing
    /// happens.
    ///
    /// It comes in order with the other ops of its partition on the table. Whether a row that another
    /// partition changes in the same transaction is met before or after that is not defined: select
    /// by something that only rows of the event's partition have.
    ///
    /// # Errors
    /// As for [`insert`](Self::insert).
    fn update_where<T, F, C, MF, MC>(
        &mut self,
        table: T,
        filter: F,
        changes: C,
    ) -> Result<(), ReduceError>
    where
        T: OpTable,
        F: Filter<T, MF>,
        C: Changes<T, MC>;

    /// Whatever the function makes of the row with this key. Without such a row, the event is rejected
    /// and its partition halts, and so it is when the function answers with an error, panics, or
    /// changes the key.
    ///
    /// The function runs in the transaction and may run several times (after a rollback), so it must
    /// be pure: it depends on the row and on what it has captured, never on the clock or the database.
    /// A struct with some of the columns will do; the others stay as they are. What it does not change
    /// is not written.
    ///
    /// ```
    /// use diesel::prelude::*;
    /// use rederive_diesel::DieselOps;
    /// use serde::{Deserialize, Serialize};
    ///
    /// diesel::table! {
    ///     accounts (id) { id -> Text, owner -> Text, balance -> BigInt, worst -> BigInt }
    /// }
    ///
    /// #[derive(Insertable, Queryable, Selectable, Serialize, Deserialize)]
    /// #[diesel(table_name = accounts)]
    /// struct Funds {
    ///     balance: i64,
    ///     worst: i64,
    /// }
    ///
    /// # let mut ops = rederive_core::Ops::new("p".into());
    /// let amount = 7;
    /// ops.modify(accounts::table, "alice", move |funds: &mut Funds| {
    ///     funds.balance -= amount;
    ///     funds.worst = funds.worst.min(funds.balance);
    ///     Ok(())
    /// })?;
    /// # Ok::<(), rederive_core::ReduceError>(())
    /// ```
    ///
    /// # Errors
    /// As for [`insert`](Self::insert).
    fn modify<T, K, R, F, MK>(&mut self, table: T, key: K, function: F) -> Result<(), ReduceError>
    where
        T: OpTable,
        K: KeyOf<T, MK>,
        R: TableRow<T>,
        F: Fn(&mut R) -> Result<(), ReduceError> + Send + Sync + 'static;

    /// Adds to a column of the row with this key; `NULL` counts as zero. Without such a row, and
    /// when an integer would overflow, the event is rejected and its partition halts. Decimal numbers
    /// are added exactly.
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

    /// Adds to a column of every row that the filter selects, as [`update_where`](Self::update_where)
    /// says; `NULL` counts as zero. When an integer would overflow in one of them, the event is rejected
    /// and its partition halts.
    ///
    /// # Errors
    /// As for [`insert`](Self::insert).
    fn increment_where<C, F, D, MF>(
        &mut self,
        column: C,
        filter: F,
        by: D,
    ) -> Result<(), ReduceError>
    where
        C: Column,
        C::Table: OpTable,
        C::SqlType: SqlType + TypedExpressionType,
        F: Filter<C::Table, MF>,
        D: AsExpression<C::SqlType> + Serialize;

    /// Adds an element to the JSON array in a column of text or JSON, or to an array of PostgreSQL's,
    /// at its end, unless the array has it; `NULL` counts as an empty array. Without a row of this
    /// key, and when the column holds something that is no JSON array, the event is rejected and its
    /// partition halts.
    ///
    /// The element is anything that serde makes JSON of, or a value of the array's type.
    /// [`Json`](rederive_core::Json) says what is equal, and how a JSON array is stored.
    ///
    /// ```
    /// use rederive_diesel::DieselOps;
    ///
    /// diesel::table! {
    ///     accounts (id) { id -> Text, labels -> Nullable<Text> }
    /// }
    ///
    /// # let mut ops = rederive_core::Ops::new("p".into());
    /// ops.array_push_uniq(accounts::labels, "alice", "vip")?;
    /// ops.array_delete(accounts::labels, "alice", "new")?;
    /// # Ok::<(), rederive_core::ReduceError>(())
    /// ```
    ///
    /// # Errors
    /// As for [`insert`](Self::insert), and when the element has no JSON.
    fn array_push_uniq<C, K, V, MK>(
        &mut self,
        column: C,
        key: K,
        element: V,
    ) -> Result<(), ReduceError>
    where
        C: Column,
        C::Table: OpTable,
        C::SqlType: ArrayColumn<V>,
        K: KeyOf<C::Table, MK>,
        V: Serialize;

    /// Removes an element from the array in a column, as often as it is there; otherwise like [`array_push_uniq`](Self::array_push_uniq).
    ///
    /// # Errors
    /// As for [`array_push_uniq`](Self::array_push_uniq).
    fn array_delete<C, K, V, MK>(
        &mut self,
        column: C,
        key: K,
        element: V,
    ) -> Result<(), ReduceError>
    where
        C: Column,
        C::Table: OpTable,
        C::SqlType: ArrayColumn<V>,
        K: KeyOf<C::Table, MK>,
        V: Serialize;

    /// No row with this key any more; nothing when there was none.
    ///
    /// # Errors
    /// As for [`insert`](Self::insert).
    fn delete<T, K, MK>(&mut self, table: T, key: K) -> Result<(), ReduceError>
    where
        T: OpTable,
        K: KeyOf<T, MK>;

    /// No row any more that the filter selects, as [`update_where`](Self::update_where) says.
    ///
    /// # Errors
    /// As for [`insert`](Self::insert).
    fn delete_where<T, F, MF>(&mut self, table: T, filter: F) -> Result<(), ReduceError>
    where
        T: OpTable,
        F: Filter<T, MF>;
}
