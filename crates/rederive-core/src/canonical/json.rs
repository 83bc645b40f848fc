//! JSON as text.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// How deep JSON may nest to be brought into order.
const DEEPEST: usize = 128;

pub(super) fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Without white space, with the keys of objects in order and each only once, as it came last. Numbers
/// stay as they are written.
pub(super) fn canonical(text: &str) -> Option<String> {
    if depth(text) > DEEPEST {
        return None;
    }
    let mut written = String::with_capacity(text.len());
    write(&mut written, serde_json::from_str(text).ok()?)?;
    Some(written)
}

/// How deep arrays and objects nest in what may be JSON.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn write(to: &mut String, value: &RawValue) -> Option<()> {
    let text = value.get();
    match text.as_bytes().first()? {
        b'{' => {
            let fields: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
            to.push('{');
            for (index, (key, value)) in fields.into_iter().enumerate() {
                if index > 0 {
                    to.push(',');
                }
                to.push_str(&serde_json::to_string(&key).ok()?);
                to.push(':');
                write(to, value)?;
            }
            to.push('}');
        }
        b'[' => {
            let elements: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            to.push('[');
            for (index, value) in elements.into_iter().enumerate() {
                if index > 0 {
                    to.push(',');
                }
                write(to, value)?;
            }
            to.push(']');
        }
        b'"' => {
            let text: String = serde_json::from_str(text).ok()?;
            to.push_str(&serde_json::to_string(&text).ok()?);
        }
        _ => to.push_str(text),
    }
    Some(())
}
