//! [`placed_after`]: the rows after a pair.

use diesel::{
    QueryResult,
    expression::{AppearsOnTable, Expression, SelectableExpression, ValidGrouping, is_aggregate},
    pg::Pg,
    query_builder::{AstPass, QueryFragment, QueryId},
    sql_types::{BigInt, Bool, Text},
};
use rederive_core::CursorPair;

use super::Xid8;

/// The condition that a row stands after a cursor, in a table that is ordered
/// [by transaction](super::TableOrder::by_transaction): `(transaction, number) > (…, …)`, for which
/// the index on both is used.
///
/// ```
/// use diesel::prelude::*;
/// use rederive_core::CursorPair;
/// use rederive_diesel::placed_after;
///
/// diesel::table! {
///     use diesel::sql_types::*;
///     use rederive_diesel::Xid8;
///     orders (id) { id -> BigInt, xid -> Xid8 }
/// }
///
/// let after = placed_after(orders::xid, orders::id, CursorPair::new(844_591, 17));
/// let query = orders::table.filter(after).select(orders::id);
/// let sql = diesel::debug_query::<diesel::pg::Pg, _>(&query).to_string();
/// assert!(sql.contains(r#"("orders"."xid", "orders"."id") > ($1::xid8, $2)"#), "{sql}");
/// ```
pub fn placed_after<T, N>(transaction: T, number: N, cursor: CursorPair) -> Placed<T, N>
where
    T: Expression<SqlType = Xid8>,
    N: Expression<SqlType = BigInt>,
{
    let after = (cursor.first.to_string(), i64::try_from(cursor.second).unwrap_or(i64::MAX));
    Placed { transaction, number, after }
}

/// What [`placed_after`] returns.
#[derive(Clone, Debug)]
pub struct Placed<T, N> {
    transaction: T,
    number: N,
    after: (String, i64),
}

impl<T, N> Expression for Placed<T, N> {
    type SqlType = Bool;
}

impl<T, N, QS> AppearsOnTable<QS> for Placed<T, N>
where
    T: AppearsOnTable<QS>,
    N: AppearsOnTable<QS>,
{
}

impl<T, N, QS> SelectableExpression<QS> for Placed<T, N>
where
    T: SelectableExpression<QS>,
    N: SelectableExpression<QS>,
{
}

impl<T, N> ValidGrouping<()> for Placed<T, N> {
    type IsAggregate = is_aggregate::No;
}

impl<T: QueryId, N: QueryId> QueryId for Placed<T, N> {
    type QueryId = Placed<T::QueryId, N::QueryId>;
    const HAS_STATIC_QUERY_ID: bool = T::HAS_STATIC_QUERY_ID && N::HAS_STATIC_QUERY_ID;
}

impl<T: QueryFragment<Pg>, N: QueryFragment<Pg>> QueryFragment<Pg> for Placed<T, N> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("(");
        self.transaction.walk_ast(out.reborrow())?;
        out.push_sql(", ");
        self.number.walk_ast(out.reborrow())?;
        out.push_sql(") > (");
        out.push_bind_param::<Text, _>(&self.after.0)?;
        out.push_sql("::xid8, ");
        out.push_bind_param::<BigInt, _>(&self.after.1)?;
        out.push_sql(")");
        Ok(())
    }
}
