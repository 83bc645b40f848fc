//! [`Value`]: one column's value in an op.

use std::{cmp::Ordering, fmt, hash::Hash, hash::Hasher};

use smol_str::SmolStr;

use crate::{ColumnKind, canonical};

/// One value of a column, as ops carry it.
///
/// Floats compare by IEEE 754 total order, so that values can be keys of maps; `NaN` equals itself.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// SQL's `NULL`.
    #[default]
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer of up to 64 bits.
    Integer(i64),
    /// A floating-point number.
    Float(f64),
    /// Text. Up to 23 bytes are held in place.
    Text(SmolStr),
    /// Bytes.
    Bytes(Box<[u8]>),
}

impl Value {
    /// Whether SQL's `IS` holds: numbers are compared by what they amount to, and `NULL` is `NULL`.
    #[allow(clippy::cast_precision_loss, reason = "a float column has a float's precision")]
    pub(crate) fn is_same_in_sql(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Float(a), Value::Float(b)) => a == b,
            (Value::Float(a), Value::Integer(b)) | (Value::Integer(b), Value::Float(a)) => {
                *a == *b as f64
            }
            _ => self == other,
        }
    }

    /// The value as a column of this kind holds it: databases store truth values as numbers, and
    /// whole numbers in columns of floats as floats, and write what travels as text each in its own
    /// way. What does not belong into such a column stays as it is.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a float column has a float's precision")]
    pub fn read_as(self, kind: ColumnKind) -> Value {
        match self {
            Value::Integer(number) if kind.is_float() => Value::Float(number as f64),
            Value::Integer(number @ (0 | 1)) if kind == ColumnKind::Bool => {
                Value::Bool(number == 1)
            }
            other => canonical::read_as(&other, kind).unwrap_or(other),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Value::Null => 0,
            Value::Bool(_) => 1,
            Value::Integer(_) => 2,
            Value::Float(_) => 3,
            Value::Text(_) => 4,
            Value::Bytes(_) => 5,
        }
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
            (Value::Integer(a), Value::Integer(b)) => a.cmp(b),
            (Value::Float(a), Value::Float(b)) => a.total_cmp(b),
            (Value::Text(a), Value::Text(b)) => a.cmp(b),
            (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Value {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.rank().hash(state);
        match self {
            Value::Null => {}
            Value::Bool(value) => value.hash(state),
            Value::Integer(value) => value.hash(state),
            Value::Float(value) => value.to_bits().hash(state),
            Value::Text(value) => value.hash(state),
            Value::Bytes(value) => value.hash(state),
        }
    }
}

impl fmt::Display for Value {
    /// As SQL would write it, for messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("NULL"),
            Value::Bool(value) => value.fmt(f),
            Value::Integer(value) => value.fmt(f),
            Value::Float(value) => value.fmt(f),
            Value::Text(value) => write!(f, "'{}'", value.replace('\'', "''")),
            Value::Bytes(value) => {
                f.write_str("x'")?;
                value.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str("'")
            }
        }
    }
}

macro_rules! value_from {
    ($($type:ty => $variant:ident),* $(,)?) => {$(
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Value::$variant(value.into())
            }
        }
    )*};
}
value_from!(
    bool => Bool, i16 => Integer, i32 => Integer, i64 => Integer, u16 => Integer, u32 => Integer,
    f32 => Float, f64 => Float, &str => Text, String => Text, SmolStr => Text, &[u8] => Bytes, Vec<u8> => Bytes,
);

impl From<&String> for Value {
    fn from(value: &String) -> Self {
        Value::Text(value.into())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_hash_alike_and_nan_equals_itself() {
        let hash = |value: &Value| {
            let mut hasher = std::hash::DefaultHasher::new();
            value.hash(&mut hasher);
            hasher.finish()
        };
        for value in [f64::NAN, 0.0, -0.0, 1.5].map(Value::from) {
            assert_eq!(value, value.clone());
            assert_eq!(hash(&value), hash(&value.clone()));
        }
        assert_ne!(Value::from(0.0), Value::from(-0.0));
        assert_ne!(Value::from(1), Value::from(1.0));
    }

    #[test]
    fn a_quote_in_text_is_doubled_in_messages() {
        assert_eq!(Value::from("it's").to_string(), "'it''s'");
    }
}
