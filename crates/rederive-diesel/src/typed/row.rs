//! From a row that serde can serialise to key and columns.

use std::fmt;

use rederive_core::{Key, ReduceError, Row, Table, Value};
use serde::{Serialize, ser};

use super::{OpTable, table, value};

/// The table, the key and the other columns of a row.
pub(super) fn split<T: OpTable, R: Serialize>(
    row: &R,
) -> Result<(&'static Table, Key, Row), ReduceError> {
    let table = table::of::<T>()?;
    let fields = Fields {
        table,
        next: 0,
        key: std::iter::repeat_n(Value::Null, table.key.len()).collect(),
        row: Row::with_capacity(table.columns.len() - table.key.len().min(table.columns.len())),
    };
    let fields = row.serialize(fields).map_err(|Wrong(error)| error)?;
    for (column, value) in table.key.iter().zip(&fields.key) {
        if *value == Value::Null {
            return Err(value::null_in_key(table, *column));
        }
    }
    Ok((table, fields.key, fields.row))
}

/// Writes the fields of a row into the values of its columns.
pub(super) fn into_values<R: Serialize>(
    table: &'static Table,
    row: &R,
    values: &mut [Value],
) -> Result<(), ReduceError> {
    // A row without the key's columns leaves them alone.
    let key = table.key.iter().map(|column| values[*column].clone()).collect();
    let fields = Fields { table, next: 0, key, row: Row::new() };
    let Fields { key, row, .. } = row.serialize(fields).map_err(|Wrong(error)| error)?;
    let fields = table.key.iter().copied().zip(key).chain(row);
    fields.for_each(|(column, value)| values[column] = value);
    Ok(())
}

/// The fields of a struct, collected one by one.
struct Fields {
    table: &'static Table,
    /// Where the next field is looked for first: most structs have the table's order.
    next: usize,
    key: Key,
    row: Row,
}

/// A [`ReduceError`] as an error of serde's.
#[derive(Debug)]
struct Wrong(ReduceError);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Wrong {}

impl ser::Error for Wrong {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Wrong(ReduceError::new(message))
    }
}

impl Fields {
    fn put<V: Serialize + ?Sized>(&mut self, name: &str, value: &V) -> Result<(), Wrong> {
        let table = self.table;
        let column = match table.columns.get(self.next) {
            Some((next, _)) if *next == name => self.next,
            _ => table::column(table, name).map_err(Wrong)?,
        };
        self.next = column + 1;
        let value = value::of(table, column, value).map_err(Wrong)?;
        match table.key.iter().position(|key| *key == column) {
            Some(at) => self.key[at] = value,
            None => self.row.push((column, value)),
        }
        Ok(())
    }

    fn no_row<T>(&self) -> Result<T, Wrong> {
        let name = self.table.name;
        let text = format!("a row of table {name} must serialise as a struct with named fields");
        Err(Wrong(ReduceError::new(text)))
    }
}

impl ser::SerializeStruct for Fields {
    type Ok = Fields;
    type Error = Wrong;

    fn serialize_field<V: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &V,
    ) -> Result<(), Wrong> {
        self.put(name, value)
    }

    fn end(self) -> Result<Fields, Wrong> {
        Ok(self)
    }
}

/// The same for maps, which is what a struct with a flattened field serialises as.
struct Entries {
    fields: Fields,
    name: String,
}

impl ser::SerializeMap for Entries {
    type Ok = Fields;
    type Error = Wrong;

    fn serialize_key<V: Serialize + ?Sized>(&mut self, name: &V) -> Result<(), Wrong> {
        static NAMES: Table =
            Table::new("names", &[("name", rederive_core::ColumnKind::Text)], &[0]);
        match value::of(&NAMES, 0, name) {
            Ok(Value::Text(name)) => {
                self.name = name.into();
                Ok(())
            }
            _ => self.fields.no_row(),
        }
    }

    fn serialize_value<V: Serialize + ?Sized>(&mut self, value: &V) -> Result<(), Wrong> {
        let name = std::mem::take(&mut self.name);
        self.fields.put(&name, value)
    }

    fn end(self) -> Result<Fields, Wrong> {
        Ok(self.fields)
    }
}

macro_rules! no_row {
    ($($method:ident($($type:ty),*) -> $result:ty;)*) => {$(
        fn $method(self, $(_: $type),*) -> Result<$result, Wrong> {
            self.no_row()
        }
    )*};
}

impl ser::Serializer for Fields {
    type Ok = Fields;
    type Error = Wrong;
    type SerializeSeq = ser::Impossible<Fields, Wrong>;
    type SerializeTuple = ser::Impossible<Fields, Wrong>;
    type SerializeTupleStruct = ser::Impossible<Fields, Wrong>;
    type SerializeTupleVariant = ser::Impossible<Fields, Wrong>;
    type SerializeMap = Entries;
    type SerializeStruct = Fields;
    type SerializeStructVariant = ser::Impossible<Fields, Wrong>;

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Fields, Wrong> {
        Ok(self)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Entries, Wrong> {
        Ok(Entries { fields: self, name: String::new() })
    }

    fn serialize_newtype_struct<V: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &V,
    ) -> Result<Fields, Wrong> {
        value.serialize(self)
    }

    fn serialize_some<V: Serialize + ?Sized>(self, value: &V) -> Result<Fields, Wrong> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<V: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &V,
    ) -> Result<Fields, Wrong> {
        self.no_row()
    }

    no_row! {
        serialize_bool(bool) -> Fields;
        serialize_i8(i8) -> Fields;
        serialize_i16(i16) -> Fields;
        serialize_i32(i32) -> Fields;
        serialize_i64(i64) -> Fields;
        serialize_u8(u8) -> Fields;
        serialize_u16(u16) -> Fields;
        serialize_u32(u32) -> Fields;
        serialize_u64(u64) -> Fields;
        serialize_f32(f32) -> Fields;
        serialize_f64(f64) -> Fields;
        serialize_char(char) -> Fields;
        serialize_str(&str) -> Fields;
        serialize_bytes(&[u8]) -> Fields;
        serialize_none() -> Fields;
        serialize_unit() -> Fields;
        serialize_unit_struct(&'static str) -> Fields;
        serialize_unit_variant(&'static str, u32, &'static str) -> Fields;
        serialize_seq(Option<usize>) -> Self::SerializeSeq;
        serialize_tuple(usize) -> Self::SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant;
    }
}
