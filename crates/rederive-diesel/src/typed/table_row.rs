//! [`TableRow`]: structs that are written and read.

use diesel::Insertable;
use serde::{Serialize, de::DeserializeOwned};

use super::OpTable;

/// A struct that is a row of `T`, or some of its columns: one declaration for ops, for Diesel's
/// queries and for tests in memory.
///
/// Implemented for whatever derives `Insertable`, `Serialize` and `Deserialize`, so do not implement
/// it; Diesel's queries want two more:
///
/// ```
/// use diesel::prelude::*;
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
/// # fn is_row<R: rederive_diesel::TableRow<accounts::table>>() {}
/// # is_row::<Account>();
/// ```
///
/// Where Diesel and serde call a field by different names, such as with `#[sql_name = "type"]` in
/// `table!`, tell serde the column's name: `#[serde(rename = "type")]`. A mismatch is an error at the
/// first use.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a row of `{T}`",
    note = "derive `Insertable`, `Serialize` and `Deserialize`, with `#[diesel(table_name = …)]`"
)]
pub trait TableRow<T: OpTable>: Serialize + DeserializeOwned {}

impl<T, R> TableRow<T> for R
where
    T: OpTable,
    R: Insertable<T> + Serialize + DeserializeOwned,
{
}
