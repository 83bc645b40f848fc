//! UUIDs as text.

use std::borrow::Cow;

/// Where hyphens stand.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

pub(super) fn canonical(text: &str) -> Option<Cow<'_, str>> {
    let is_canonical = text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match HYPHENS.contains(&at) {
            true => byte == b'-',
            false => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        });
    if is_canonical {
        return Some(Cow::Borrowed(text));
    }
    let bare = text.strip_prefix("urn:uuid:").unwrap_or(text);
    let bare = bare.strip_prefix('{').map_or(Some(bare), |inner| inner.strip_suffix('}'))?;
    let is_hyphenated =
        bare.len() == 36 && HYPHENS.iter().all(|at| bare.as_bytes().get(*at) == Some(&b'-'));
    let digits: String = match is_hyphenated {
        true => bare.split('-').collect(),
        false => bare.to_owned(),
    };
    if digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    Some(Cow::Owned(text_of(u128::from_str_radix(&digits, 16).ok()?)))
}

pub(super) fn text(bytes: [u8; 16]) -> String {
    text_of(u128::from_be_bytes(bytes))
}

fn text_of(number: u128) -> String {
    let digits = format!("{number:032x}");
    let mut text = String::with_capacity(36);
    for digit in digits.chars() {
        if HYPHENS.contains(&text.len()) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}
