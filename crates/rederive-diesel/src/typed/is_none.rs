//! [`IsNone`]: whether serde is given an `Option` without a value.

use serde::{Serialize, ser};

use super::value::Unfit;

/// Answers whether the value is `None`, or a newtype around it. What is not a plain value ends in an
/// error, which means that it is not.
pub(super) struct IsNone;

type Stop<T> = Result<T, Unfit>;
type Compound = ser::Impossible<bool, Unfit>;

fn stop<T>() -> Stop<T> {
    Err(ser::Error::custom("there is a value"))
}

macro_rules! there_is {
    ($($method:ident($($type:ty),*) -> $result:ty;)*) => {$(
        fn $method(self, $(_: $type),*) -> Stop<$result> {
            stop()
        }
    )*};
}

impl ser::Serializer for IsNone {
    type Ok = bool;
    type Error = Unfit;
    type SerializeSeq = Compound;
    type SerializeTuple = Compound;
    type SerializeTupleStruct = Compound;
    type SerializeTupleVariant = Compound;
    type SerializeMap = Compound;
    type SerializeStruct = Compound;
    type SerializeStructVariant = Compound;

    fn serialize_none(self) -> Stop<bool> {
        Ok(true)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Stop<bool> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Stop<bool> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Stop<bool> {
        stop()
    }

    there_is! {
        serialize_bool(bool) -> bool;
        serialize_i8(i8) -> bool;
        serialize_i16(i16) -> bool;
        serialize_i32(i32) -> bool;
        serialize_i64(i64) -> bool;
        serialize_i128(i128) -> bool;
        serialize_u8(u8) -> bool;
        serialize_u16(u16) -> bool;
        serialize_u32(u32) -> bool;
        serialize_u64(u64) -> bool;
        serialize_u128(u128) -> bool;
        serialize_f32(f32) -> bool;
        serialize_f64(f64) -> bool;
        serialize_char(char) -> bool;
        serialize_str(&str) -> bool;
        serialize_bytes(&[u8]) -> bool;
        serialize_unit() -> bool;
        serialize_unit_struct(&'static str) -> bool;
        serialize_unit_variant(&'static str, u32, &'static str) -> bool;
        serialize_seq(Option<usize>) -> Compound;
        serialize_tuple(usize) -> Compound;
        serialize_tuple_struct(&'static str, usize) -> Compound;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Compound;
        serialize_map(Option<usize>) -> Compound;
        serialize_struct(&'static str, usize) -> Compound;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Compound;
    }
}
