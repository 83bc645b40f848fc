//! Arrays as text: JSON arrays, whose elements have one form each.

use std::fmt::Write;

use serde_json::value::RawValue;

use crate::{ColumnKind, Value};

pub(super) fn canonical(kind: ColumnKind, array: &str) -> Option<String> {
    text(kind, &elements(kind, array)?)
}

/// Numbers of 64 bits, truth values and JSON as JSON has them, bytes as `"\\x00ff"`, infinities and
/// all else as text.
pub(super) fn text<'v>(
    kind: ColumnKind,
    elements: impl IntoIterator<Item = &'v Value>,
) -> Option<String> {
    let mut array = String::from("[");
    for element in elements {
        if array.len() > 1 {
            array.push(',');
        }
        if !kind.takes(element) {
            return None;
        }
        match element {
            Value::Null => array.push_str("null"),
            Value::Bool(value) => write!(array, "{value}").ok()?,
            Value::Integer(value) => write!(array, "{value}").ok()?,
            Value::Float(value) if value.is_infinite() => {
                array.push_str(if *value > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" });
            }
            Value::Float(value) => array.push_str(&serde_json::to_string(value).ok()?),
            Value::Text(json) if matches!(kind, ColumnKind::Json | ColumnKind::Jsonb) => {
                array.push_str(json);
            }
            Value::Text(text) => array.push_str(&serde_json::to_string(text).ok()?),
            Value::Bytes(bytes) => {
                array.push_str("\"\\\\x");
                bytes.iter().try_for_each(|byte| write!(array, "{byte:02x}")).ok()?;
                array.push('"');
            }
        }
    }
    array.push(']');
    Some(array)
}

pub(super) fn elements(kind: ColumnKind, array: &str) -> Option<Vec<Value>> {
    let elements: Vec<&RawValue> = serde_json::from_str(array).ok()?;
    elements.into_iter().map(|json| element(kind, json.get())).collect()
}

/// The value that this JSON stands for in an array of such values.
fn element(kind: ColumnKind, json: &str) -> Option<Value> {
    if json == "null" {
        return Some(Value::Null);
    }
    let text = || -> Option<String> {
        if json.starts_with('"') { serde_json::from_str(json).ok() } else { None }
    };
    let value = match kind {
        ColumnKind::Array(_) => return None,
        ColumnKind::Bool => Value::Bool(serde_json::from_str(json).ok()?),
        ColumnKind::SmallInt | ColumnKind::Integer | ColumnKind::BigInt => {
            Value::Integer(serde_json::from_str(json).ok()?)
        }
        ColumnKind::Float | ColumnKind::Double => Value::Float(match text().as_deref() {
            None => serde_json::from_str(json).ok()?,
            Some("Infinity") => f64::INFINITY,
            Some("-Infinity") => f64::NEG_INFINITY,
            Some(_) => return None,
        }),
        ColumnKind::Binary => Value::from(bytes(text()?.strip_prefix("\\x")?)?),
        ColumnKind::Json | ColumnKind::Jsonb => Value::from(&*kind.canonical(json)?),
        // A decimal number may come as a number.
        ColumnKind::Numeric => {
            Value::from(&*kind.canonical(&text().unwrap_or_else(|| json.to_owned()))?)
        }
        _ => Value::from(&*kind.canonical(&text()?)?),
    };
    kind.takes(&value).then_some(value)
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = hex.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}
