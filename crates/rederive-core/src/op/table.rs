//! [`Table`]: what ops and stores know about a table.

use crate::Value;

/// The name, columns and primary key of a table that ops change.
///
/// Stores tell tables apart by name; keep one `static` per table.
///
/// ```
/// use rederive_core::{ColumnKind::{BigInt, Text}, Table};
///
/// static ACCOUNTS: Table = Table::new("accounts", &[("id", Text), ("balance", BigInt)], &[0]);
/// assert_eq!(ACCOUNTS.column("balance"), Some(1));
/// ```
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Table {
    /// The table's name.
    pub name: &'static str,
    /// The columns' names and kinds.
    pub columns: &'static [(&'static str, ColumnKind)],
    /// The columns of the primary key, as indices into [`columns`](Self::columns).
    pub key: &'static [usize],
}

/// What a column holds, as far as a store has to know.
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
}

impl Table {
    /// A table; `key` holds indices into `columns`.
    pub const fn new(
        name: &'static str,
        columns: &'static [(&'static str, ColumnKind)],
        key: &'static [usize],
    ) -> Self {
        Self { name, columns, key }
    }

    /// The index of the column of that name.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|(column, _)| *column == name)
    }
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
            Value::Text(_) => self == ColumnKind::Text,
            Value::Bytes(_) => self == ColumnKind::Binary,
        }
    }
}
