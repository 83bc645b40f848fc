//! JSON in the binary form in which SQLite stores it, read as text.
//!
//! SQLite's own functions are not asked: Diesel marks text with quotes in it as text without, which they
//! take at its word.

use std::fmt::Write;

/// How deep values may nest.
const DEEPEST: usize = 128;

/// The JSON; `None` when it is not of the binary form, or not JSON but JSON5.
pub(super) fn text(blob: &[u8]) -> Option<String> {
    let mut json = String::with_capacity(blob.len() * 2);
    let rest = write(&mut json, blob, DEEPEST)?;
    rest.is_empty().then_some(json)
}

/// Writes the first value, and answers what comes after it.
fn write<'b>(to: &mut String, blob: &'b [u8], depth: usize) -> Option<&'b [u8]> {
    let depth = depth.checked_sub(1)?;
    let (kind, mut value, rest) = split(blob)?;
    match kind {
        0 => to.push_str("null"),
        1 => to.push_str("true"),
        2 => to.push_str("false"),
        // Numbers, as JSON writes them.
        3 | 5 => to.push_str(std::str::from_utf8(value).ok()?),
        // Text without anything to escape, and raw text.
        7 | 10 => {
            let text = std::str::from_utf8(value).ok()?;
            to.push_str(&serde_json::to_string(text).ok()?);
        }
        // Text that is escaped as in JSON.
        8 => write!(to, "\"{}\"", std::str::from_utf8(value).ok()?).ok()?,
        11 => {
            to.push('[');
            let mut is_first = true;
            while !value.is_empty() {
                if !std::mem::take(&mut is_first) {
                    to.push(',');
                }
                value = write(to, value, depth)?;
            }
            to.push(']');
        }
        12 => {
            to.push('{');
            let mut is_first = true;
            while !value.is_empty() {
                if !std::mem::take(&mut is_first) {
                    to.push(',');
                }
                value = write(to, value, depth)?;
                to.push(':');
                value = write(to, value, depth)?;
            }
            to.push('}');
        }
        _ => return None,
    }
    Some(rest)
}

/// The kind and the bytes of the first value, and what comes after it.
fn split(blob: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (header, rest) = blob.split_first()?;
    let (size, rest) = match header >> 4 {
        size @ 0..12 => (u64::from(size), rest),
        more => {
            let (size, rest) = rest.split_at_checked(1 << (more - 12))?;
            (size.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)), rest)
        }
    };
    let (value, rest) = rest.split_at_checked(usize::try_from(size).ok()?)?;
    Some((header & 0xf, value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_off_too_deep_or_no_such_value_is_not_read() {
        assert_eq!(text(&[0xc7, 2, b'a', b'"']).as_deref(), Some(r#""a\"""#));
        assert_eq!(text(&[0x3b, 0x13, b'1']).as_deref(), None);
        assert_eq!(text(&[0x3b, 0x13, b'1', 0x00]).as_deref(), Some("[1,null]"));
        for blob in
            [&b""[..], b"\xf7", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\x0d", b"\x13\xff"]
        {
            assert_eq!(text(blob), None, "{blob:?}");
        }
        let nested = (0..200).fold(vec![0x0b_u8], |inner, _| {
            let mut outer = vec![0xeb];
            outer.extend(u32::try_from(inner.len()).unwrap_or(0).to_be_bytes());
            outer.extend(inner);
            outer
        });
        assert_eq!(text(&nested), None);
    }
}
