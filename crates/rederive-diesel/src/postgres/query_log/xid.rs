//! [`Xid8`]: the type of a column that holds the number of a transaction.

use diesel::{
    deserialize::{self, FromSql},
    pg::{Pg, PgValue},
    sql_types::{BigInt, SqlType},
};

/// PostgreSQL's `xid8`, for `table!`: the number of the transaction that wrote a row. It is read as
/// `u64`.
#[derive(Clone, Copy, Debug, Default, SqlType, diesel::query_builder::QueryId)]
#[diesel(postgres_type(oid = 5069, array_oid = 271))]
pub struct Xid8;

impl FromSql<Xid8, Pg> for u64 {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        // The server sends the same bytes as for a bigint; it has never come to the highest bit.
        let number = <i64 as FromSql<BigInt, Pg>>::from_sql(value)?;
        Ok(number.cast_unsigned())
    }
}
