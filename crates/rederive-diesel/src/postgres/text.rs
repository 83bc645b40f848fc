//! Text that PostgreSQL cannot hold as it is: it knows no NUL.
//!
//! NUL and U+0001 are written as two characters each, so that every text can be stored, stays what it
//! is where it has neither, and sorts as before.

use std::borrow::Cow;

/// The text as it is stored.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', '\u{1}']) {
        return Cow::Borrowed(text);
    }
    let mut stored = String::with_capacity(text.len() + 8);
    for next in text.chars() {
        match next {
            '\0' => stored.push_str("\u{1}\u{1}"),
            '\u{1}' => stored.push_str("\u{1}\u{2}"),
            other => stored.push(other),
        }
    }
    Cow::Owned(stored)
}

/// The text that was stored.
pub(crate) fn unescaped(stored: String) -> String {
    if !stored.contains('\u{1}') {
        return stored;
    }
    let mut text = String::with_capacity(stored.len());
    let mut chars = stored.chars();
    while let Some(next) = chars.next() {
        match next {
            '\u{1}' => match chars.next() {
                Some('\u{1}') => text.push('\0'),
                _ => text.push('\u{1}'),
            },
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_text_comes_back_and_keeps_its_place_in_the_order(
            a in "[\u{0}\u{1}\u{2}a-c]{0,8}",
            b in "[\u{0}\u{1}\u{2}a-c]{0,8}",
        ) {
            let (stored_a, stored_b) = (escaped(&a).into_owned(), escaped(&b).into_owned());
            prop_assert!(!stored_a.contains('\0'));
            prop_assert_eq!(stored_a.cmp(&stored_b), a.cmp(&b));
            prop_assert_eq!(unescaped(stored_a), a);
        }
    }
}
