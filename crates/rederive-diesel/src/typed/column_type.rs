//! [`ColumnType`]: from Diesel's SQL types to kinds of columns.

use diesel::sql_types::{self, Nullable};
use rederive_core::ColumnKind;

/// A SQL type of Diesel's whose values ops can carry.
///
/// All of Diesel's common types are, on either database. A type of your own is if you say what its
/// values are stored as, such as an enum of PostgreSQL:
///
/// ```
/// use rederive_core::ColumnKind;
/// use rederive_diesel::ColumnType;
///
/// /// `CREATE TYPE mood AS ENUM ('happy', 'sad')`
/// #[derive(diesel::sql_types::SqlType)]
/// #[diesel(postgres_type(name = "mood"))]
/// pub struct Mood;
///
/// impl ColumnType for Mood {
///     // Cast from text: what serde makes of a value must be the label, `'happy'`.
///     const KIND: ColumnKind = ColumnKind::Custom("mood");
/// }
///
/// diesel::table! {
///     use diesel::sql_types::Text;
///     use super::Mood;
///     people (id) { id -> Text, mood -> Mood }
/// }
/// # fn main() { rederive_diesel::owned(people::table); }
/// ```
#[diagnostic::on_unimplemented(
    message = "ops cannot carry values of the SQL type `{Self}`",
    note = "for a SQL type of your own, `impl ColumnType` to say what its values are stored as"
)]
pub trait ColumnType {
    /// What a column of this type holds.
    const KIND: ColumnKind;
}

impl<ST: ColumnType> ColumnType for Nullable<ST> {
    const KIND: ColumnKind = ST::KIND;
}

macro_rules! column_type {
    ($($type:ident $kind:expr;)*) => {$(
        impl ColumnType for sql_types::$type {
            const KIND: ColumnKind = $kind;
        }
    )*};
}

column_type! {
    Bool ColumnKind::Bool;
    SmallInt ColumnKind::SmallInt;
    Integer ColumnKind::Integer;
    BigInt ColumnKind::BigInt;
    Float ColumnKind::Float;
    Double ColumnKind::Double;
    Text ColumnKind::Text;
    Binary ColumnKind::Binary;
    Numeric ColumnKind::Numeric;
    Timestamp ColumnKind::Timestamp;
    Date ColumnKind::Date;
    Time ColumnKind::Time;
    Json ColumnKind::Json;
    Jsonb ColumnKind::Jsonb;
}

#[cfg(feature = "sqlite")]
column_type! {
    TimestamptzSqlite ColumnKind::Timestamptz;
}

#[cfg(feature = "postgres")]
column_type! {
    Timestamptz ColumnKind::Timestamptz;
    Uuid ColumnKind::Uuid;
    Citext ColumnKind::Custom("citext");
    Inet ColumnKind::Custom("inet");
    Cidr ColumnKind::Custom("cidr");
}

/// Of an array of arrays nothing can be said.
#[cfg(feature = "postgres")]
impl<ST: ColumnType> ColumnType for sql_types::Array<ST> {
    const KIND: ColumnKind = ColumnKind::Array(&ST::KIND);
}
