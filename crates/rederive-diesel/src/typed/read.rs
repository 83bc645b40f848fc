//! From the values of a row to what serde can read.

use std::fmt;

use rederive_core::{ReduceError, Table, Value};
use serde::{
    de::{
        self, DeserializeOwned, Deserializer, IntoDeserializer, Visitor,
        value::{MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};

/// The row that these values, one per column of the table, make.
pub(super) fn row<R: DeserializeOwned>(table: &Table, values: &[Value]) -> Result<R, ReduceError> {
    let fields = table.columns.iter().zip(values);
    let fields = fields.map(|((column, _), value)| (*column, Field { column, value }));
    R::deserialize(MapDeserializer::new(fields)).map_err(|Unread(what)| {
        ReduceError::new(format!("a row of table {} cannot be read: {what}", table.name))
    })
}

/// Why a row cannot be read.
#[derive(Debug)]
struct Unread(String);

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unread {}

impl de::Error for Unread {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Unread(message.to_string())
    }
}

/// The value of a column, of which errors tell the name.
struct Field<'de> {
    column: &'static str,
    value: &'de Value,
}

impl<'de> IntoDeserializer<'de, Unread> for Field<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl Field<'_> {
    fn named<T>(column: &str, read: Result<T, Unread>) -> Result<T, Unread> {
        read.map_err(|Unread(what)| Unread(format!("column {column}: {what}")))
    }
}

impl<'de> Deserializer<'de> for Field<'de> {
    type Error = Unread;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        let read = match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Integer(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(value) => visitor.visit_borrowed_str(value),
            Value::Bytes(value) => visitor.visit_borrowed_bytes(value),
        };
        Self::named(self.column, read)
    }

    /// An integer column may hold what the struct has as a truth value.
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        match self.value {
            Value::Integer(value @ (0 | 1)) => visitor.visit_bool(*value == 1),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        match self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unread> {
        visitor.visit_newtype_struct(self)
    }

    /// An enum without data is its name, as in JSON.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unread> {
        match self.value {
            Value::Text(name) => {
                Self::named(self.column, visitor.visit_enum(name.as_str().into_deserializer()))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    /// Bytes, for what is no special type of bytes.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        match self.value {
            Value::Bytes(bytes) => {
                let bytes = SeqDeserializer::new(bytes.iter().copied());
                Self::named(self.column, visitor.visit_seq(bytes))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Unread> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        self.deserialize_any(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit_struct
        tuple_struct map struct identifier
    }
}
