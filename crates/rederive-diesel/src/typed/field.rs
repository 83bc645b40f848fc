//! [`Field`]: the value of a column, for serde.

use std::borrow::Cow;

use rederive_core::{ColumnKind, Value};
use serde::{
    de::{Deserializer, Error, IntoDeserializer, Visitor, value::SeqDeserializer},
    forward_to_deserialize_any,
};

use super::read::Unread;

/// The value of a column, of which errors tell the name.
pub(super) struct Field<'de> {
    name: &'static str,
    index: usize,
    kind: ColumnKind,
    value: Cow<'de, Value>,
    form: usize,
}

/// In how many forms the text of a column of this kind, or of its elements, can be given.
pub(super) fn forms_of(kind: ColumnKind) -> usize {
    match kind {
        ColumnKind::Timestamptz => 3,
        ColumnKind::Timestamp | ColumnKind::Time => 2,
        ColumnKind::Array(element) => forms_of(*element),
        _ => 1,
    }
}

/// The text as one of the crates for dates and times reads it.
fn in_form(kind: ColumnKind, form: usize, text: &str) -> Option<String> {
    // The crate `time` wants a space, a part of a second, and all of an offset.
    let spaced = |text: &str| {
        let part = if text.contains('.') { "" } else { ".0" };
        format!("{}{part}", text.replace('T', " "))
    };
    match (kind, form) {
        (ColumnKind::Timestamp | ColumnKind::Time, 1) => Some(spaced(text)),
        (ColumnKind::Timestamptz, 1) => Some(spaced(text.strip_suffix('Z')?) + " +00:00:00"),
        // Date and time in UTC, without saying so.
        (ColumnKind::Timestamptz, 2) => Some(text.strip_suffix('Z')?.to_owned()),
        _ => None,
    }
}

impl<'de> Field<'de> {
    pub(super) fn new(
        name: &'static str,
        index: usize,
        kind: ColumnKind,
        value: &'de Value,
        form: usize,
    ) -> Self {
        Self { name, index, kind, value: Cow::Borrowed(value), form }
    }

    /// Reads the value, and names the column if that fails.
    fn read<T>(self, read: impl FnOnce(Self) -> Result<T, Unread>) -> Result<T, Unread> {
        let (name, index) = (self.name, self.index);
        read(self).map_err(|unread| unread.at(index, name))
    }

    fn is_json(&self) -> bool {
        matches!(self.kind, ColumnKind::Json | ColumnKind::Jsonb)
    }

    /// The text, if it is one.
    fn text(&self) -> Option<&str> {
        match &*self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The elements, if the column holds an array.
    fn elements(&self) -> Option<impl Iterator<Item = Field<'de>> + use<'de>> {
        let ColumnKind::Array(element) = self.kind else { return None };
        let (name, index, form) = (self.name, self.index, self.form);
        let elements = self.kind.array_elements(self.text()?)?.into_iter();
        Some(elements.map(move |value| Field {
            name,
            index,
            kind: *element,
            value: Cow::Owned(value),
            form,
        }))
    }

    /// The bytes of a UUID.
    fn uuid(&self) -> Option<[u8; 16]> {
        if self.kind != ColumnKind::Uuid {
            return None;
        }
        u128::from_str_radix(&self.text()?.replace('-', ""), 16).ok().map(u128::to_be_bytes)
    }

    /// A whole number that a decimal number is.
    fn whole(&self) -> Option<i128> {
        if self.kind == ColumnKind::Numeric { self.text()?.parse().ok() } else { None }
    }

    fn visit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        if let Some(elements) = self.elements() {
            return visitor.visit_seq(SeqDeserializer::new(elements));
        }
        if let Some(text) = self.text().and_then(|text| in_form(self.kind, self.form, text)) {
            return visitor.visit_string(text);
        }
        match self.value {
            Cow::Borrowed(Value::Text(text)) => visitor.visit_borrowed_str(text),
            Cow::Borrowed(Value::Bytes(bytes)) => visitor.visit_borrowed_bytes(bytes),
            value => match value.into_owned() {
                Value::Null => visitor.visit_unit(),
                Value::Bool(value) => visitor.visit_bool(value),
                Value::Integer(value) => visitor.visit_i64(value),
                Value::Float(value) => visitor.visit_f64(value),
                Value::Text(text) => visitor.visit_string(text.into()),
                Value::Bytes(bytes) => visitor.visit_byte_buf(bytes.into_vec()),
            },
        }
    }

    /// Bytes, for what is no special type of bytes, or the elements of an array.
    fn visit_sequence<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        let bytes = match (&*self.value, self.uuid()) {
            (_, Some(bytes)) => bytes.to_vec(),
            (Value::Bytes(bytes), None) => bytes.to_vec(),
            _ => return self.visit(visitor),
        };
        visitor.visit_seq(SeqDeserializer::new(bytes.into_iter()))
    }
}

/// Has JSON read what is asked for, if the column holds JSON; else does what follows.
macro_rules! reads {
    ($($method:ident($($name:ident: $type:ty),*) $field:ident $visitor:ident $else:block)*) => {$(
        fn $method<V: Visitor<'de>>(
            self,
            $($name: $type,)*
            visitor: V,
        ) -> Result<V::Value, Unread> {
            self.read(|$field| {
                if $field.is_json() && let Some(text) = $field.text() {
                    // It may be the text of an element, which the visitor cannot keep.
                    let mut json = serde_json::Deserializer::from_reader(text.as_bytes());
                    return (&mut json).$method($($name,)* visitor).map_err(Unread::custom);
                }
                let $visitor = visitor;
                $else
            })
        }
    )*};
}

/// Numbers, which a decimal number may be.
macro_rules! reads_numbers {
    ($($method:ident $visit:ident $type:ty;)*) => {
        reads! {$(
            $method() field visitor {
                match field.whole().and_then(|number| <$type>::try_from(number).ok()) {
                    Some(number) => visitor.$visit(number),
                    None => field.visit(visitor),
                }
            }
        )*}
    };
}

impl<'de> Deserializer<'de> for Field<'de> {
    type Error = Unread;

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        match *self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    reads_numbers! {
        deserialize_i8 visit_i8 i8;
        deserialize_i16 visit_i16 i16;
        deserialize_i32 visit_i32 i32;
        deserialize_i64 visit_i64 i64;
        deserialize_i128 visit_i128 i128;
        deserialize_u8 visit_u8 u8;
        deserialize_u16 visit_u16 u16;
        deserialize_u32 visit_u32 u32;
        deserialize_u64 visit_u64 u64;
        deserialize_u128 visit_u128 u128;
    }

    reads! {
        deserialize_any() field visitor { field.visit(visitor) }

        // An integer column may hold what the struct has as a truth value.
        deserialize_bool() field visitor {
            match *field.value {
                Value::Integer(value @ (0 | 1)) => visitor.visit_bool(value == 1),
                _ => field.visit(visitor),
            }
        }

        deserialize_f32() field visitor { field.deserialize_f64(visitor) }

        deserialize_f64() field visitor {
            let number = field.text().filter(|_| field.kind == ColumnKind::Numeric);
            match number.and_then(|number| number.parse().ok()) {
                Some(number) => visitor.visit_f64(number),
                None => field.visit(visitor),
            }
        }

        deserialize_bytes() field visitor {
            match field.uuid() {
                Some(bytes) => visitor.visit_bytes(&bytes),
                None => field.visit(visitor),
            }
        }

        deserialize_byte_buf() field visitor { field.deserialize_bytes(visitor) }

        deserialize_seq() field visitor { field.visit_sequence(visitor) }

        deserialize_tuple(len: usize) field visitor { field.visit_sequence(visitor) }

        deserialize_newtype_struct(name: &'static str) field visitor {
            visitor.visit_newtype_struct(field)
        }

        // An enum without data is its name, as in JSON.
        deserialize_enum(name: &'static str, variants: &'static [&'static str]) field visitor {
            match field.text() {
                Some(name) => visitor.visit_enum(name.into_deserializer()),
                None => field.visit(visitor),
            }
        }

        deserialize_map() field visitor { field.visit(visitor) }

        deserialize_struct(name: &'static str, fields: &'static [&'static str]) field visitor {
            field.visit(visitor)
        }

        deserialize_unit() field visitor { field.visit(visitor) }

        deserialize_unit_struct(name: &'static str) field visitor { field.visit(visitor) }

        deserialize_tuple_struct(name: &'static str, len: usize) field visitor {
            field.visit(visitor)
        }

        deserialize_char() field visitor { field.visit(visitor) }

        deserialize_str() field visitor { field.visit(visitor) }

        deserialize_string() field visitor { field.visit(visitor) }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { identifier }
}
