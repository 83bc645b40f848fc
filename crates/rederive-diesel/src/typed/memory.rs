//! [`TypedRows`]: what a store in memory holds, as the user's structs.

use rederive_core::{MemoryStore, ReduceError};

use super::{KeyOf, OpTable, TableRow, key, read, table};

/// Reads the rows of a [`MemoryStore`] as Diesel would read those of a database, for tests.
///
/// ```
/// use diesel::prelude::*;
/// use rederive_core::MemoryStore;
/// use rederive_diesel::TypedRows;
/// use serde::{Deserialize, Serialize};
///
/// diesel::table! {
///     accounts (id) { id -> Text, owner -> Text, balance -> BigInt }
/// }
///
/// #[derive(Debug, PartialEq, Insertable, Queryable, Selectable, Serialize, Deserialize)]
/// #[diesel(table_name = accounts)]
/// struct Account {
///     id: String,
///     owner: String,
///     balance: i64,
/// }
///
/// let store = MemoryStore::new();
/// // … reducers commit to it …
/// let accounts: Vec<Account> = store.rows_of(accounts::table)?;
/// assert_eq!(accounts, []);
/// assert_eq!(store.row_of::<_, Account, _, _>(accounts::table, "alice")?, None);
/// # Ok::<(), rederive_core::ReduceError>(())
/// ```
pub trait TypedRows {
    /// All rows of the table, in the order of their keys; of keys that travel as text, such as points
    /// in time and decimal numbers, in that of their texts.
    ///
    /// # Errors
    /// [`ReduceError`] that names the table and the column, when a row cannot be read as `R`, such as
    /// `NULL` into something that is no `Option`.
    fn rows_of<T, R>(&self, table: T) -> Result<Vec<R>, ReduceError>
    where
        T: OpTable,
        R: TableRow<T>;

    /// The row with this key, if there is one.
    ///
    /// # Errors
    /// As for [`rows_of`](Self::rows_of), and when the key has `NULL` in it.
    fn row_of<T, R, K, MK>(&self, table: T, key: K) -> Result<Option<R>, ReduceError>
    where
        T: OpTable,
        R: TableRow<T>,
        K: KeyOf<T, MK>;
}

impl TypedRows for MemoryStore {
    fn rows_of<T, R>(&self, _table: T) -> Result<Vec<R>, ReduceError>
    where
        T: OpTable,
        R: TableRow<T>,
    {
        let table = table::of::<T>()?;
        self.rows(table).iter().map(|values| read::row(table, values)).collect()
    }

    fn row_of<T, R, K, MK>(&self, _table: T, key: K) -> Result<Option<R>, ReduceError>
    where
        T: OpTable,
        R: TableRow<T>,
        K: KeyOf<T, MK>,
    {
        let table = table::of::<T>()?;
        let row = self.row(table, key::values::<T, K, MK>(&key, table)?);
        row.map(|values| read::row(table, &values)).transpose()
    }
}
