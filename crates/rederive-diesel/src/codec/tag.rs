//! [`variant_of`]: the variant of an enum, as serde names it.

use std::fmt;

use serde::{
    Serialize, Serializer,
    ser::{Error, Impossible, SerializeStructVariant, SerializeTupleVariant},
};

/// The name under which serde writes the variant of an externally tagged enum, which is what an enum
/// is without attributes; `None` for all else. Looks at no field.
pub(super) fn variant_of<E: Serialize>(event: &E) -> Option<&'static str> {
    event.serialize(Variant).ok()
}

struct Variant;

/// It is no variant.
#[derive(Debug)]
struct NoVariant;

impl fmt::Display for NoVariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a variant of an enum")
    }
}

impl std::error::Error for NoVariant {}

impl Error for NoVariant {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

type No = Impossible<&'static str, NoVariant>;
type Named = Result<&'static str, NoVariant>;

/// The variant, whose fields are passed over.
struct Fields(&'static str);

impl SerializeTupleVariant for Fields {
    type Ok = &'static str;
    type Error = NoVariant;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, _: &T) -> Result<(), NoVariant> {
        Ok(())
    }

    fn end(self) -> Named {
        Ok(self.0)
    }
}

impl SerializeStructVariant for Fields {
    type Ok = &'static str;
    type Error = NoVariant;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        _: &'static str,
        _: &T,
    ) -> Result<(), NoVariant> {
        Ok(())
    }

    fn end(self) -> Named {
        Ok(self.0)
    }
}

macro_rules! no_variants {
    ($($method:ident($($type:ty)?);)*) => {$(
        fn $method(self $(, _: $type)?) -> Named {
            Err(NoVariant)
        }
    )*};
}

impl Serializer for Variant {
    type Ok = &'static str;
    type Error = NoVariant;
    type SerializeSeq = No;
    type SerializeTuple = No;
    type SerializeTupleStruct = No;
    type SerializeTupleVariant = Fields;
    type SerializeMap = No;
    type SerializeStruct = No;
    type SerializeStructVariant = Fields;

    no_variants! {
        serialize_bool(bool);
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_f32(f32);
        serialize_f64(f64);
        serialize_char(char);
        serialize_str(&str);
        serialize_bytes(&[u8]);
        serialize_none();
        serialize_unit();
        serialize_unit_struct(&'static str);
    }

    // Both are written as what they hold.
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Named {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Named {
        value.serialize(self)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Named {
        Ok(variant)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: &T,
    ) -> Named {
        Ok(variant)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Fields, NoVariant> {
        Ok(Fields(variant))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Fields, NoVariant> {
        Ok(Fields(variant))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<No, NoVariant> {
        Err(NoVariant)
    }

    fn serialize_tuple(self, _: usize) -> Result<No, NoVariant> {
        Err(NoVariant)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<No, NoVariant> {
        Err(NoVariant)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<No, NoVariant> {
        Err(NoVariant)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<No, NoVariant> {
        Err(NoVariant)
    }
}

#[cfg(test)]
mod tests {
    #![allow(dead_code, reason = "only the shapes matter")]

    use super::*;

    #[derive(Serialize)]
    enum Shapes {
        Unit,
        Newtype(u8),
        Tuple(u8, u8),
        Struct {
            field: u8,
        },
        #[serde(rename = "renamed")]
        Renamed,
    }

    #[derive(Serialize)]
    #[serde(tag = "type")]
    enum Internal {
        A { field: u8 },
    }

    #[derive(Serialize)]
    struct Wrapper(Shapes);

    #[derive(Serialize)]
    struct Plain {
        field: u8,
    }

    #[test]
    fn every_shape_of_variant_has_the_name_that_serde_writes() {
        assert_eq!(variant_of(&Shapes::Unit), Some("Unit"));
        assert_eq!(variant_of(&Shapes::Newtype(1)), Some("Newtype"));
        assert_eq!(variant_of(&Shapes::Tuple(1, 2)), Some("Tuple"));
        assert_eq!(variant_of(&Shapes::Struct { field: 1 }), Some("Struct"));
        assert_eq!(variant_of(&Shapes::Renamed), Some("renamed"));
        assert_eq!(variant_of(&Wrapper(Shapes::Unit)), Some("Unit"));
        assert_eq!(variant_of(&Box::new(Some(Shapes::Unit))), Some("Unit"));
    }

    #[test]
    fn what_is_no_externally_tagged_enum_has_no_name() {
        assert_eq!(variant_of(&Plain { field: 1 }), None);
        assert_eq!(variant_of(&Internal::A { field: 1 }), None);
        assert_eq!(variant_of(&7_u64), None);
        assert_eq!(variant_of(&"text"), None);
        assert_eq!(variant_of(&vec![Shapes::Unit]), None);
        assert_eq!(variant_of(&serde_json::json!({"a": 1})), None);
    }
}
