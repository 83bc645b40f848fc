//! The one text that stands for each value of a column that travels as text.
//!
//! Values that are the same to a database are equal here: that is what keys, filters and the merging of
//! ops rest on. So what serde or a database writes is brought into one form, strictly: text that has no
//! such form is no value.

mod array;
mod decimal;
mod json;
mod time;
mod uuid;

use std::borrow::Cow;

use crate::{ColumnKind, Value};

pub(crate) use decimal::Decimal;

impl ColumnKind {
    /// The text that stands in a [`Value::Text`] for what this text means in a column of this kind,
    /// borrowed if it is that text already; `None` when it means nothing there, and for kinds whose
    /// values do not travel as text.
    ///
    /// | kind | accepted | canonical |
    /// |---|---|---|
    /// | [`Numeric`](Self::Numeric) | a decimal number, perhaps with an exponent | `-12.5`: no exponent, no needless zeros |
    /// | [`Uuid`](Self::Uuid) | 32 hexadecimal digits, with hyphens or without, in braces, as a URN | `67e55044-10b1-426f-9247-bb680e5fe0c8` |
    /// | [`Date`](Self::Date) | ISO 8601, from year 1 to 9999 | `2026-11-23` |
    /// | [`Time`](Self::Time) | ISO 8601 | `13:29:22.120`: 0, 3 or 6 digits of a second |
    /// | [`Timestamp`](Self::Timestamp) | ISO 8601 without a zone; a space may stand for the `T` | `2026-11-23T13:29:22.120` |
    /// | [`Timestamptz`](Self::Timestamptz) | RFC 3339 and its likes; without a zone, it is UTC | `2026-11-23T13:29:22.120Z` |
    /// | [`Json`](Self::Json) | any JSON | as it is |
    /// | [`Jsonb`](Self::Jsonb) | any JSON | no white space, keys in order, each once |
    /// | [`Array`](Self::Array) | a JSON array of elements as JSON has them, or of their texts | `["a",null]`; decimals as text |
    ///
    /// Parts of a second beyond microseconds are cut off.
    ///
    /// ```
    /// use rederive_core::ColumnKind;
    ///
    /// let canonical = |kind: ColumnKind, text| kind.canonical(text).map(|text| text.into_owned());
    /// assert_eq!(canonical(ColumnKind::Numeric, "+01.50e1"), Some("15".to_owned()));
    /// assert_eq!(
    ///     canonical(ColumnKind::Timestamptz, "2026-11-23 13:29:22.5+02"),
    ///     Some("2026-11-23T11:29:22.500Z".to_owned())
    /// );
    /// assert_eq!(canonical(ColumnKind::Date, "2026-02-30"), None);
    /// ```
    pub fn canonical(self, text: &str) -> Option<Cow<'_, str>> {
        match self {
            ColumnKind::Text | ColumnKind::Custom(_) => Some(Cow::Borrowed(text)),
            ColumnKind::Numeric => decimal::canonical(text),
            ColumnKind::Uuid => uuid::canonical(text),
            ColumnKind::Date => unless_same(text, time::date(text)?),
            ColumnKind::Time => unless_same(text, time::time(text)?),
            ColumnKind::Timestamp => unless_same(text, time::timestamp(text)?),
            ColumnKind::Timestamptz => unless_same(text, time::timestamptz(text)?),
            ColumnKind::Json => json::is_json(text).then_some(Cow::Borrowed(text)),
            ColumnKind::Jsonb => unless_same(text, json::canonical(text)?),
            ColumnKind::Array(element) => unless_same(text, array::canonical(*element, text)?),
            ColumnKind::Bool
            | ColumnKind::SmallInt
            | ColumnKind::Integer
            | ColumnKind::BigInt
            | ColumnKind::Float
            | ColumnKind::Double
            | ColumnKind::Binary => None,
        }
    }

    /// What bytes mean in a column of this kind that does not hold bytes: sixteen are a UUID.
    pub fn canonical_bytes(self, bytes: &[u8]) -> Option<String> {
        match (self, bytes.try_into()) {
            (ColumnKind::Uuid, Ok(bytes)) => Some(uuid::text(bytes)),
            _ => None,
        }
    }

    /// The text that stands for an array of these values, which a column of this kind holds; `None`
    /// when it is no array or cannot hold them.
    pub fn array_text<'v>(self, elements: impl IntoIterator<Item = &'v Value>) -> Option<String> {
        match self {
            ColumnKind::Array(element) => array::text(*element, elements),
            _ => None,
        }
    }

    /// The values in an array that stands in a column of this kind as this text.
    pub fn array_elements(self, text: &str) -> Option<Vec<Value>> {
        match self {
            ColumnKind::Array(element) => array::elements(*element, text),
            _ => None,
        }
    }
}

/// The value as a column of this kind has it, of one that a database may hold for it or that serde may
/// give: `None` leaves it as it is.
pub(crate) fn read_as(value: &Value, kind: ColumnKind) -> Option<Value> {
    if !kind.is_text() {
        return None;
    }
    let text = match value {
        Value::Text(text) => match kind.canonical(text)? {
            Cow::Borrowed(_) => return None,
            Cow::Owned(text) => text,
        },
        Value::Bytes(bytes) => kind.canonical_bytes(bytes)?,
        Value::Integer(number) => number_text(kind, number.to_string())?,
        // Without an exponent, and exactly this number.
        Value::Float(number) if number.is_finite() => number_text(kind, number.to_string())?,
        _ => return None,
    };
    Some(Value::from(text))
}

/// A number that a database holds where text was written: SQLite does, in columns of some types.
fn number_text(kind: ColumnKind, number: String) -> Option<String> {
    match kind {
        ColumnKind::Numeric | ColumnKind::Json | ColumnKind::Jsonb => {
            kind.canonical(&number).map(Cow::into_owned)
        }
        _ => None,
    }
}

fn unless_same(text: &str, canonical: String) -> Option<Cow<'_, str>> {
    Some(if text == canonical { Cow::Borrowed(text) } else { Cow::Owned(canonical) })
}

#[cfg(test)]
mod tests;
