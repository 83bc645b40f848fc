//! [`ArrayColumn`]: columns that elements are added to.

use diesel::sql_types::{Json, Jsonb, Nullable, Text};
#[cfg(feature = "postgres")]
use diesel::{
    expression::{AsExpression, TypedExpressionType},
    sql_types::SqlType,
};
use serde::Serialize;

/// The SQL type of a column that can hold an array with a `V` in it: `Text`, `Json` or `Jsonb`, which
/// hold a JSON array, or PostgreSQL's `Array`; `Nullable` or not.
#[diagnostic::on_unimplemented(
    message = "a column of type `{Self}` cannot hold an array with a `{V}` in it",
    label = "the column is neither text nor JSON nor an array of such elements"
)]
pub trait ArrayColumn<V> {}

impl<V: Serialize> ArrayColumn<V> for Text {}
impl<V: Serialize> ArrayColumn<V> for Json {}
impl<V: Serialize> ArrayColumn<V> for Jsonb {}
impl<V, ST: ArrayColumn<V>> ArrayColumn<V> for Nullable<ST> {}

#[cfg(feature = "postgres")]
impl<V, ST> ArrayColumn<V> for diesel::sql_types::Array<ST>
where
    ST: SqlType + TypedExpressionType,
    V: AsExpression<ST> + Serialize,
{
}
