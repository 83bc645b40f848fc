//! [`ColumnKind`]: what a column holds.

use std::borrow::Cow;

use crate::Value;

/// What a column holds, as far as a store has to know.
///
/// Values of the kinds from [`Numeric`](Self::Numeric) on travel as [`Value::Text`], in a form that
/// [`canonical`](Self::canonical) describes: equal values are equal text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColumnKind {
    /// A truth value.
    Bool,
    /// An integer of 16 bits.
    SmallInt,
    /// An integer of 32 bits.
    Integer,
    /// An integer of 64 bits.
    BigInt,
    /// A floating-point number of 32 bits.
    Float,
    /// A floating-point number of 64 bits.
    Double,
    /// Text.
    Text,
    /// Bytes.
    Binary,
    /// A decimal number of any size, exactly.
    Numeric,
    /// A UUID.
    Uuid,
    /// A date and a time of day, in no time zone.
    Timestamp,
    /// A point in time.
    Timestamptz,
    /// A date.
    Date,
    /// A time of day.
    Time,
    /// A JSON text, kept as it is written.
    Json,
    /// A JSON value, kept in a form of the database's own.
    Jsonb,
    /// An array of such values, each of which may be `NULL`; as a JSON array. Not an array of arrays.
    Array(&'static ColumnKind),
    /// A type of the database's own, by its name in SQL, such as an enum: its values are given and
    /// had in the form in which the database writes them as text.
    Custom(&'static str),
}

impl ColumnKind {
    /// Whether columns of this kind hold whole numbers.
    pub const fn is_integer(self) -> bool {
        matches!(self, ColumnKind::SmallInt | ColumnKind::Integer | ColumnKind::BigInt)
    }

    /// Whether columns of this kind hold floating-point numbers.
    pub const fn is_float(self) -> bool {
        matches!(self, ColumnKind::Float | ColumnKind::Double)
    }

    /// Whether values of this kind travel as [`Value::Text`].
    pub const fn is_text(self) -> bool {
        !matches!(self, ColumnKind::Bool | ColumnKind::Binary)
            && !self.is_integer()
            && !self.is_float()
    }

    /// Whether a database takes two values of this kind for the same only if they are equal here.
    /// Keys of other kinds cannot be told apart without the database.
    pub const fn is_exact(self) -> bool {
        !matches!(
            self,
            ColumnKind::Float
                | ColumnKind::Double
                | ColumnKind::Json
                | ColumnKind::Jsonb
                | ColumnKind::Array(_)
                | ColumnKind::Custom(_)
        )
    }

    /// The smallest and the largest whole number of a column of this kind.
    pub const fn range(self) -> (i64, i64) {
        match self {
            ColumnKind::SmallInt => (i16::MIN as i64, i16::MAX as i64),
            ColumnKind::Integer => (i32::MIN as i64, i32::MAX as i64),
            _ => (i64::MIN, i64::MAX),
        }
    }

    /// Whether a column of this kind can hold the value, `NULL` included. Databases store `NaN` as
    /// `NULL` or refuse it, so it is no number here.
    pub fn takes(self, value: &Value) -> bool {
        match value {
            Value::Null => true,
            Value::Bool(_) => self == ColumnKind::Bool,
            Value::Integer(number) => {
                let (low, high) = self.range();
                self.is_float() || self.is_integer() && (low..=high).contains(number)
            }
            Value::Float(number) => self.is_float() && !number.is_nan(),
            Value::Text(text) => match self {
                // Another text for the same is as good: these are no keys.
                ColumnKind::Json | ColumnKind::Jsonb | ColumnKind::Array(_) => {
                    self.canonical(text).is_some()
                }
                _ => matches!(self.canonical(text), Some(Cow::Borrowed(_))),
            },
            Value::Bytes(_) => self == ColumnKind::Binary,
        }
    }
}
