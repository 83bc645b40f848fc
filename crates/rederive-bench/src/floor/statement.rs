//! [`Statement`]: a statement that Diesel prepares once and keeps, which it does not do with its own
//! upserts.

use diesel::{
    QueryResult, RunQueryDsl,
    query_builder::{AstPass, QueryFragment, QueryId},
    sql_types::{BigInt, Text},
    sqlite::{Sqlite, SqliteConnection},
};

/// Text with values between its parts.
pub(crate) struct Statement<'a> {
    pub(crate) head: &'a str,
    pub(crate) rows: Rows<'a>,
    pub(crate) tail: &'a str,
}

/// The values.
pub(crate) enum Rows<'a> {
    /// One text.
    Text(&'a str),
    /// Rows of an account, its balance and its version.
    Accounts(&'a [Delta<'a>]),
    /// A row of an event's id, time and JSON.
    Event(i64, i64, &'a str),
    /// A row of a name and a cursor.
    Cursor(&'a str, i64),
}

/// What becomes of an account.
pub(crate) struct Delta<'a> {
    pub(crate) account: &'a str,
    pub(crate) balance: i64,
    pub(crate) version: i64,
}

impl QueryFragment<Sqlite> for Statement<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql(self.head);
        match &self.rows {
            Rows::Text(text) => out.push_bind_param::<Text, str>(text)?,
            Rows::Accounts(rows) => {
                for (index, row) in rows.iter().enumerate() {
                    out.push_sql(if index == 0 { "(" } else { ",(" });
                    out.push_bind_param::<Text, str>(row.account)?;
                    out.push_sql(",");
                    out.push_bind_param::<BigInt, i64>(&row.balance)?;
                    out.push_sql(",");
                    out.push_bind_param::<BigInt, i64>(&row.version)?;
                    out.push_sql(")");
                }
            }
            Rows::Event(id, time, data) => {
                out.push_sql("(");
                out.push_bind_param::<BigInt, i64>(id)?;
                out.push_sql(",");
                out.push_bind_param::<BigInt, i64>(time)?;
                out.push_sql(",");
                out.push_bind_param::<Text, str>(data)?;
                out.push_sql(")");
            }
            Rows::Cursor(name, cursor) => {
                out.push_sql("(");
                out.push_bind_param::<Text, str>(name)?;
                out.push_sql(",");
                out.push_bind_param::<BigInt, i64>(cursor)?;
                out.push_sql(")");
            }
        }
        out.push_sql(self.tail);
        Ok(())
    }
}

impl QueryId for Statement<'_> {
    type QueryId = ();
    // The text is not known from the type.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl RunQueryDsl<SqliteConnection> for Statement<'_> {}
