//! [`owned`]: declares a table of `table!` as a reducer's own.

use rederive_core::OwnedTable;

use super::{OpTable, table};

/// Declares a table of `table!` as a reducer's own, for
/// [`Reducer::tables`](rederive_core::Reducer::tables): its name, columns and key.
///
/// ```
/// use rederive_diesel::owned;
///
/// diesel::table! {
///     accounts (id) { id -> Text, balance -> BigInt }
/// }
///
/// // In `impl Reducer for Accounts`: fn tables(&self) -> Vec<OwnedTable> { vec![
/// let accounts = owned(accounts::table)
///     .create("CREATE TABLE accounts (id TEXT PRIMARY KEY NOT NULL, balance INTEGER NOT NULL)")
///     .partitioned_by("id");
/// // ] }
/// assert_eq!(accounts.table().columns.len(), 2);
/// ```
///
/// # Panics
/// When the key that `table!` names is not among the columns, which does not compile.
pub fn owned<T: OpTable>(_table: T) -> OwnedTable {
    match table::of::<T>() {
        Ok(table) => OwnedTable::new(table),
        Err(error) => panic!("{error}"),
    }
}
