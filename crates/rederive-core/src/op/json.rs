//! [`Json`]: elements of the JSON arrays that columns hold.

use std::{borrow::Cow, fmt};

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{ColumnKind, ReduceError};

/// A value as an element of a JSON array in a column of text or JSON, or of an array.
///
/// Two elements are equal when they are the same JSON value: neither white space nor the order of an
/// object's keys matters, nor how a character is escaped. `1` and `1.0` are different values.
///
/// In text it is stored without white space, with the keys of objects in alphabetical order. Elements
/// that were there before are kept as they were written; between elements stands nothing but a comma.
///
/// ```
/// use rederive_core::Json;
///
/// assert_eq!(Json::of(&["b", "a"])?.to_string(), r#"["b","a"]"#);
/// assert_eq!(Json::of(&1)?, Json::of(&1_u8)?);
/// # Ok::<(), rederive_core::ReduceError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json(Box<serde_json::Value>);

impl Json {
    /// The JSON that serde makes of the value. There are no `NaN` and no infinities in JSON: as usual
    /// in serde, they become `null`.
    ///
    /// # Errors
    /// [`ReduceError`] when the value has no JSON, such as a map whose keys are not text, or a number
    /// of more than 64 bits.
    pub fn of<V: Serialize + ?Sized>(value: &V) -> Result<Self, ReduceError> {
        let mut json = serde_json::to_value(value)?;
        json.sort_all_objects();
        Ok(Self(Box::new(json)))
    }

    /// The same as an element of an array of this kind; `None` when that cannot have it.
    pub(super) fn within(&self, array: ColumnKind) -> Option<Cow<'_, Self>> {
        if !matches!(array, ColumnKind::Array(_)) {
            return Some(Cow::Borrowed(self));
        }
        let canonical = array.canonical(&format!("[{}]", self.0))?.into_owned();
        let [element] = serde_json::from_str::<[serde_json::Value; 1]>(&canonical).ok()?;
        Some(Cow::Owned(Self(Box::new(element))))
    }

    fn equals(&self, element: &RawValue) -> bool {
        // What cannot be read as a value, such as 1e999, has not been stored by an op.
        serde_json::from_str::<serde_json::Value>(element.get()).is_ok_and(|other| other == *self.0)
    }

    /// The array with this element at its end; `None` when it has it.
    pub(super) fn pushed_to(&self, array: Option<&str>) -> serde_json::Result<Option<String>> {
        let elements = elements(array)?;
        if elements.iter().any(|element| self.equals(element)) {
            return Ok(None);
        }
        let element = self.to_string();
        Ok(Some(join(elements.into_iter().map(RawValue::get).chain([element.as_str()]))))
    }

    /// The array without this element; `None` when it does not have it.
    pub(super) fn deleted_from(&self, array: Option<&str>) -> serde_json::Result<Option<String>> {
        let elements = elements(array)?;
        let count = elements.len();
        let left: Vec<_> = elements.into_iter().filter(|element| !self.equals(element)).collect();
        Ok((left.len() < count).then(|| join(left.into_iter().map(RawValue::get))))
    }
}

impl fmt::Display for Json {
    /// As it is stored.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn elements(array: Option<&str>) -> serde_json::Result<Vec<&RawValue>> {
    array.map_or(Ok(Vec::new()), serde_json::from_str)
}

fn join<'e>(elements: impl Iterator<Item = &'e str>) -> String {
    let mut array = String::from("[");
    for element in elements {
        if array.len() > 1 {
            array.push(',');
        }
        array.push_str(element);
    }
    array.push(']');
    array
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn json(value: impl Serialize) -> Json {
        Json::of(&value).expect("it has a JSON")
    }

    fn pushed(array: Option<&str>, value: impl Serialize) -> Option<String> {
        json(value).pushed_to(array).expect("it is an array")
    }

    fn deleted(array: Option<&str>, value: impl Serialize) -> Option<String> {
        json(value).deleted_from(array).expect("it is an array")
    }

    #[test]
    fn an_element_is_added_at_the_end_once() {
        assert_eq!(pushed(None, "a").as_deref(), Some(r#"["a"]"#));
        assert_eq!(pushed(Some(" [ ] "), 1).as_deref(), Some("[1]"));
        assert_eq!(pushed(Some(r#"["a"]"#), 'b').as_deref(), Some(r#"["a","b"]"#));
        assert_eq!(pushed(Some(r#"["\u0061"]"#), "a"), None);
        assert_eq!(
            pushed(Some(r#"[{"b": 1, "a": [true]}]"#), serde_json::json!({"a": [true], "b": 1})),
            None
        );
    }

    #[test]
    fn values_of_different_types_are_different_elements() {
        let mut array = None;
        let values = ["1", "1.0", "true", "null", "\"1\"", "\"true\"", "[]", "{}", "[1]"];
        for value in values {
            let value: serde_json::Value = serde_json::from_str(value).expect("it is JSON");
            array = pushed(array.as_deref(), value);
        }
        let array = array.expect("each was pushed");
        assert_eq!(array, format!("[{}]", values.join(",")));
        assert_eq!(deleted(Some(&array), 1.0).as_deref(), Some(array.replace("1.0,", "").as_str()));
    }

    #[test]
    fn what_an_op_did_not_write_is_kept_as_it_is() {
        let written = r#"[ 1.50 , {"b" : 1e2}, 123456789012345678901234567890, 1e999 ]"#;
        let kept = r#"1.50,{"b" : 1e2},123456789012345678901234567890,1e999"#;
        assert_eq!(pushed(Some(written), "x"), Some(format!(r#"[{kept},"x"]"#)));
        assert_eq!(deleted(Some(written), "x"), None);
        assert_eq!(pushed(Some(written), 1.5), None);
    }

    #[test]
    fn all_equal_elements_are_deleted_and_none_else() {
        assert_eq!(deleted(Some("[1, 2, 1]"), 1).as_deref(), Some("[2]"));
        assert_eq!(deleted(Some("[1]"), 1).as_deref(), Some("[]"));
        assert_eq!(deleted(None, 1), None);
    }

    #[test]
    fn a_float_reads_back_as_it_was_written() {
        for number in [0.1, 1.0 / 3.0, 5e-324, f64::MAX, 2.638_344_616_030_823e-256, -0.0] {
            let array = pushed(None, number).expect("it is new");
            assert_eq!(pushed(Some(&array), number), None, "{array}");
        }
    }

    #[test]
    fn the_keys_of_an_object_are_stored_in_one_order() {
        let object: HashMap<String, u8> =
            (0..9).map(|number| (format!("key {number}"), number)).collect();
        let stored = json(object).to_string();
        assert!(stored.starts_with(r#"{"key 0":0,"key 1":1,"#), "{stored}");
    }

    #[test]
    fn what_is_no_array_or_no_json_is_told() {
        for text in ["", "x", "{}", "1", "null", "[1", "[1]x", "[01]"] {
            assert!(json(1).pushed_to(Some(text)).is_err(), "{text}");
            assert!(json(1).deleted_from(Some(text)).is_err(), "{text}");
        }
        assert!(Json::of(&HashMap::from([((1, 2), 3)])).is_err());
        assert!(Json::of(&u128::MAX).is_err());
    }
}
