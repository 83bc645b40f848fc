//! From what serde gives to a [`Value`] of a column's kind.

use std::fmt;

use rederive_core::{ColumnKind, ReduceError, Table, Value};
use serde::{Serialize, ser};

/// The value for this column.
pub(super) fn of<V: Serialize + ?Sized>(
    table: &Table,
    column: usize,
    value: &V,
) -> Result<Value, ReduceError> {
    let (name, kind) = table.columns[column];
    value.serialize(ToValue(kind)).map_err(|Unfit(what)| {
        let table = table.name;
        ReduceError::new(format!("column {name} of table {table} ({kind:?}) cannot take {what}"))
    })
}

pub(super) fn null_in_key(table: &Table, column: usize) -> ReduceError {
    let (name, table) = (table.columns[column].0, table.name);
    ReduceError::new(format!("column {name} of table {table} is part of its key: it has no NULL"))
}

/// What a column cannot take.
#[derive(Debug)]
struct Unfit(String);

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unfit {}

impl ser::Error for Unfit {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Unfit(message.to_string())
    }
}

struct ToValue(ColumnKind);

impl ToValue {
    fn integer(self, number: impl TryInto<i64> + fmt::Display + Copy) -> Result<Value, Unfit> {
        let unfit = || Unfit(format!("the number {number}"));
        let integer: i64 = number.try_into().map_err(|_| unfit())?;
        #[allow(clippy::cast_precision_loss, reason = "a float column has a float's precision")]
        match self.0 {
            ColumnKind::BigInt => Some(Value::Integer(integer)),
            ColumnKind::Integer => i32::try_from(integer).ok().map(Value::from),
            ColumnKind::SmallInt => i16::try_from(integer).ok().map(Value::from),
            ColumnKind::Float | ColumnKind::Double => Some(Value::Float(integer as f64)),
            _ => None,
        }
        .ok_or_else(unfit)
    }

    fn unfit<T>(what: &str) -> Result<T, Unfit> {
        Err(Unfit(what.to_owned()))
    }
}

/// A sequence of numbers, for a column of bytes.
struct Bytes(Vec<u8>);

impl ser::Serializer for ToValue {
    type Ok = Value;
    type Error = Unfit;
    type SerializeSeq = Bytes;
    type SerializeTuple = Bytes;
    type SerializeTupleStruct = ser::Impossible<Value, Unfit>;
    type SerializeTupleVariant = ser::Impossible<Value, Unfit>;
    type SerializeMap = ser::Impossible<Value, Unfit>;
    type SerializeStruct = ser::Impossible<Value, Unfit>;
    type SerializeStructVariant = ser::Impossible<Value, Unfit>;

    fn serialize_bool(self, value: bool) -> Result<Value, Unfit> {
        match self.0 {
            ColumnKind::Bool => Ok(Value::Bool(value)),
            ColumnKind::SmallInt | ColumnKind::Integer | ColumnKind::BigInt => {
                Ok(Value::Integer(value.into()))
            }
            _ => Self::unfit("a boolean"),
        }
    }

    fn serialize_i8(self, value: i8) -> Result<Value, Unfit> {
        self.integer(value)
    }

    fn serialize_i16(self, value: i16) -> Result<Value, Unfit> {
        self.integer(value)
    }

    fn serialize_i32(self, value: i32) -> Result<Value, Unfit> {
        self.integer(value)
    }

    fn serialize_i64(self, value: i64) -> Result<Value, Unfit> {
        self.integer(value)
    }

    fn serialize_i128(self, value: i128) -> Result<Value, Unfit> {
        self.integer(value)
    }

    fn serialize_u8(self, value: u8) -> Result<Value, Unfit> {
        self.integer(value)
    }

    fn serialize_u16(self, value: u16) -> Result<Value, Unfit> {
        self.integer(value)
    }

    fn serialize_u32(self, value: u32) -> Result<Value, Unfit> {
        self.integer(value)
    }

    fn serialize_u64(self, value: u64) -> Result<Value, Unfit> {
        self.integer(value)
    }

    fn serialize_u128(self, value: u128) -> Result<Value, Unfit> {
        self.integer(value)
    }

    fn serialize_f32(self, value: f32) -> Result<Value, Unfit> {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<Value, Unfit> {
        match self.0 {
            ColumnKind::Float | ColumnKind::Double if value.is_nan() => {
                Self::unfit("NaN, which databases store as NULL or refuse")
            }
            ColumnKind::Float | ColumnKind::Double => Ok(Value::Float(value)),
            _ => Self::unfit("a floating-point number"),
        }
    }

    fn serialize_char(self, value: char) -> Result<Value, Unfit> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<Value, Unfit> {
        match self.0 {
            kind if kind.is_text() => Ok(Value::from(value)),
            _ => Self::unfit("text"),
        }
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<Value, Unfit> {
        match self.0 {
            ColumnKind::Binary => Ok(Value::from(value)),
            _ => Self::unfit("bytes"),
        }
    }

    fn serialize_none(self) -> Result<Value, Unfit> {
        Ok(Value::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value, Unfit> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Value, Unfit> {
        Ok(Value::Null)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Value, Unfit> {
        Self::unfit("a struct without fields")
    }

    /// An enum without data is its name, as in JSON.
    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<Value, Unfit> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Value, Unfit> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<Value, Unfit> {
        Self::unfit("an enum with data")
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Bytes, Unfit> {
        match self.0 {
            ColumnKind::Binary => Ok(Bytes(Vec::with_capacity(len.unwrap_or(0)))),
            _ => Self::unfit("a sequence"),
        }
    }

    fn serialize_tuple(self, len: usize) -> Result<Bytes, Unfit> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, Unfit> {
        Self::unfit("a tuple")
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Unfit> {
        Self::unfit("an enum with data")
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Unfit> {
        Self::unfit("a map")
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct, Unfit> {
        Self::unfit("a struct")
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Unfit> {
        Self::unfit("an enum with data")
    }
}

impl Bytes {
    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
        match value.serialize(ToValue(ColumnKind::BigInt))? {
            Value::Integer(byte) if (0..256).contains(&byte) => {
                self.0.extend(u8::try_from(byte));
                Ok(())
            }
            other => Err(Unfit(format!("a sequence with {other} in it"))),
        }
    }
}

impl ser::SerializeSeq for Bytes {
    type Ok = Value;
    type Error = Unfit;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
        self.push(value)
    }

    fn end(self) -> Result<Value, Unfit> {
        Ok(Value::Bytes(self.0))
    }
}

impl ser::SerializeTuple for Bytes {
    type Ok = Value;
    type Error = Unfit;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
        self.push(value)
    }

    fn end(self) -> Result<Value, Unfit> {
        Ok(Value::Bytes(self.0))
    }
}
