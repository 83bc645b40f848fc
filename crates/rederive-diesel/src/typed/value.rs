//! From what serde gives to a [`Value`] of a column's kind.

use std::fmt;

use rederive_core::{ColumnKind, Json, ReduceError, Table, Value};
use serde::{Serialize, ser};

use super::is_none::IsNone;

/// The value for this column.
pub(super) fn of<V: Serialize + ?Sized>(
    table: &Table,
    column: usize,
    value: &V,
) -> Result<Value, ReduceError> {
    of_kind(table.columns[column].1, value).map_err(|unfit| refused(table, column, &unfit))
}

/// The value as an element of the array that the column holds.
pub(super) fn element<V: Serialize + ?Sized>(
    table: &Table,
    column: usize,
    value: &V,
) -> Result<Json, ReduceError> {
    let ColumnKind::Array(kind) = table.columns[column].1 else { return Json::of(value) };
    let element = of_kind(*kind, value).map_err(|unfit| refused(table, column, &unfit))?;
    let array = table.columns[column].1.array_text([&element]).unwrap_or_default();
    let [element] = serde_json::from_str::<[serde_json::Value; 1]>(&array)?;
    Json::of(&element)
}

fn refused(table: &Table, column: usize, Unfit(what): &Unfit) -> ReduceError {
    let ((name, kind), table) = (table.columns[column], table.name);
    ReduceError::new(format!("column {name} of table {table} ({kind:?}) cannot take {what}"))
}

fn of_kind<V: Serialize + ?Sized>(kind: ColumnKind, value: &V) -> Result<Value, Unfit> {
    match kind {
        // Whether there is a value at all comes first: JSON has a `null` of its own.
        ColumnKind::Json | ColumnKind::Jsonb if value.serialize(IsNone).unwrap_or(false) => {
            Ok(Value::Null)
        }
        ColumnKind::Json | ColumnKind::Jsonb => {
            let json = serde_json::to_string(value).map_err(|error| Unfit(error.to_string()))?;
            text(kind, &json)
        }
        _ => value.serialize(ToValue(kind)),
    }
}

/// What this text means in a column of this kind.
fn text(kind: ColumnKind, text: &str) -> Result<Value, Unfit> {
    match kind.canonical(text) {
        Some(canonical) => Ok(Value::from(&*canonical)),
        None if kind.is_text() => {
            let start: String = text.chars().take(MOST_TOLD).collect();
            let more = if start.len() < text.len() { "…" } else { "" };
            Err(Unfit(format!("the text {start:?}{more}")))
        }
        None => Err(Unfit("text".to_owned())),
    }
}

/// How many characters of a text a message repeats.
const MOST_TOLD: usize = 80;

pub(super) fn null_in_key(table: &Table, column: usize) -> ReduceError {
    let (name, table) = (table.columns[column].0, table.name);
    ReduceError::new(format!("column {name} of table {table} is part of its key: it has no NULL"))
}

/// What a column cannot take.
#[derive(Debug)]
pub(super) struct Unfit(String);

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
        if self.0 == ColumnKind::Numeric {
            return text(self.0, &number.to_string());
        }
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

/// A sequence: of numbers, for a column of bytes or a UUID, or of the elements of an array.
struct Elements {
    of: ColumnKind,
    bytes: Vec<u8>,
    values: Vec<Value>,
}

impl ser::Serializer for ToValue {
    type Ok = Value;
    type Error = Unfit;
    type SerializeSeq = Elements;
    type SerializeTuple = Elements;
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
        match self.0 {
            // Its own digits, not those of the number of 64 bits.
            ColumnKind::Numeric => text(self.0, &value.to_string()),
            _ => self.serialize_f64(value.into()),
        }
    }

    fn serialize_f64(self, value: f64) -> Result<Value, Unfit> {
        match self.0 {
            ColumnKind::Float | ColumnKind::Double if value.is_nan() => {
                Self::unfit("NaN, which databases store as NULL or refuse")
            }
            ColumnKind::Float | ColumnKind::Double => Ok(Value::Float(value)),
            ColumnKind::Numeric => text(self.0, &value.to_string()),
            _ => Self::unfit("a floating-point number"),
        }
    }

    fn serialize_char(self, value: char) -> Result<Value, Unfit> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<Value, Unfit> {
        text(self.0, value)
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<Value, Unfit> {
        match self.0 {
            ColumnKind::Binary => Ok(Value::from(value)),
            kind => match kind.canonical_bytes(value) {
                Some(text) => Ok(Value::from(text)),
                None => Self::unfit("bytes"),
            },
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

    fn serialize_seq(self, _: Option<usize>) -> Result<Elements, Unfit> {
        match self.0 {
            ColumnKind::Binary | ColumnKind::Uuid | ColumnKind::Array(_) => {
                Ok(Elements { of: self.0, bytes: Vec::new(), values: Vec::new() })
            }
            _ => Self::unfit("a sequence"),
        }
    }

    fn serialize_tuple(self, len: usize) -> Result<Elements, Unfit> {
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

impl Elements {
    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
        if let ColumnKind::Array(element) = self.of {
            self.values.push(of_kind(*element, value)?);
            return Ok(());
        }
        match value.serialize(ToValue(ColumnKind::BigInt))? {
            Value::Integer(byte) if (0..256).contains(&byte) => {
                self.bytes.extend(u8::try_from(byte));
                Ok(())
            }
            other => Err(Unfit(format!("a sequence with {other} in it"))),
        }
    }

    fn value(self) -> Result<Value, Unfit> {
        match self.of {
            ColumnKind::Binary => Ok(Value::from(self.bytes)),
            ColumnKind::Array(_) => match self.of.array_text(&self.values) {
                Some(text) => Ok(Value::from(text)),
                None => ToValue::unfit("such elements"),
            },
            kind => match kind.canonical_bytes(&self.bytes) {
                Some(text) => Ok(Value::from(text)),
                None => Err(Unfit(format!("{} bytes", self.bytes.len()))),
            },
        }
    }
}

impl ser::SerializeSeq for Elements {
    type Ok = Value;
    type Error = Unfit;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
        self.push(value)
    }

    fn end(self) -> Result<Value, Unfit> {
        self.value()
    }
}

impl ser::SerializeTuple for Elements {
    type Ok = Value;
    type Error = Unfit;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
        self.push(value)
    }

    fn end(self) -> Result<Value, Unfit> {
        self.value()
    }
}
