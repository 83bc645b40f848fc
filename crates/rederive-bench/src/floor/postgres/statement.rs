//! [`Statement`]: a statement that Diesel prepares once and keeps, which it does not do with text.

use diesel::{
    QueryResult, RunQueryDsl,
    pg::{Pg, PgConnection},
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{Array, BigInt, Text, Untyped},
};

/// Text with a `?` for each value.
pub(super) struct Statement<'a> {
    pub(super) text: &'a str,
    pub(super) binds: &'a [Bind<'a>],
}

/// A value.
pub(super) enum Bind<'a> {
    Text(&'a str),
    BigInt(i64),
    Texts(Vec<&'a str>),
    BigInts(Vec<i64>),
}

impl QueryFragment<Pg> for Statement<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut parts = self.text.split('?');
        out.push_sql(parts.next().unwrap_or_default());
        for (part, bind) in parts.zip(self.binds) {
            match bind {
                Bind::Text(text) => out.push_bind_param::<Text, str>(text)?,
                Bind::BigInt(number) => out.push_bind_param::<BigInt, i64>(number)?,
                Bind::Texts(texts) => out.push_bind_param::<Array<Text>, _>(texts)?,
                Bind::BigInts(numbers) => out.push_bind_param::<Array<BigInt>, _>(numbers)?,
            }
            out.push_sql(part);
        }
        Ok(())
    }
}

impl Query for Statement<'_> {
    type SqlType = Untyped;
}

impl QueryId for Statement<'_> {
    type QueryId = ();
    // The text is not known from the type.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl RunQueryDsl<PgConnection> for Statement<'_> {}
