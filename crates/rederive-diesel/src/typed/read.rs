//! From the values of a row to what serde can read.

use std::fmt;

use rederive_core::{ColumnKind, ReduceError, Table, Value};
use serde::de::{self, DeserializeOwned, IntoDeserializer, value::MapDeserializer};
use smallvec::{SmallVec, smallvec};

use super::field::{Field, forms_of};

/// Which form of its text each column is tried in.
type Forms = SmallVec<[usize; 32]>;

/// The row that these values, one per column of the table, make.
///
/// Nobody tells which of the crates for dates and times a field is of, and they do not read the same
/// texts. So a row whose reading ends at such a field is read again with its next form.
pub(super) fn row<R: DeserializeOwned>(table: &Table, values: &[Value]) -> Result<R, ReduceError> {
    let mut forms: Forms = smallvec![0; table.columns.len()];
    let mut first: Option<Unread> = None;
    loop {
        let fields = table.columns.iter().zip(values).enumerate();
        let fields = fields.map(|(index, ((name, kind), value))| {
            (*name, Field::new(name, index, *kind, value, forms[index]))
        });
        let unread = match R::deserialize(MapDeserializer::new(fields)) {
            Ok(row) => return Ok(row),
            Err(unread) => unread,
        };
        let next = unread.column.filter(|column| {
            let kind: ColumnKind = table.columns[*column].1;
            forms[*column] + 1 < forms_of(kind)
        });
        let unread = first.get_or_insert(unread);
        match next {
            Some(column) => forms[column] += 1,
            None => {
                let (name, what) = (table.name, &unread.what);
                let text = format!("a row of table {name} cannot be read: {what}");
                return Err(ReduceError::new(text));
            }
        }
    }
}

/// Why a row cannot be read.
#[derive(Debug)]
pub(super) struct Unread {
    what: String,
    /// The column that it ended at, if that is known.
    column: Option<usize>,
}

impl Unread {
    /// The same, with the column named.
    pub(super) fn at(self, index: usize, name: &str) -> Self {
        match self.column {
            Some(_) => self,
            None => Unread { what: format!("column {name}: {}", self.what), column: Some(index) },
        }
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Unread {}

impl de::Error for Unread {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Unread { what: message.to_string(), column: None }
    }
}

impl<'de> IntoDeserializer<'de, Unread> for Field<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}
