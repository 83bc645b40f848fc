//! Lossless text for bytes that are mostly UTF-8.
//!
//! Git stores paths and author names as bytes; a TEXT column and JSON hold Unicode. The rule:
//!
//! - a backslash becomes two (`\` → `\\`);
//! - each byte that is not part of valid UTF-8 becomes `\xHH` with two lowercase hexadecimal
//!   digits (`0xFF` → `\xff`);
//! - everything else, also line feeds, tabs and quotes, stays as it is.
//!
//! So nearly every path is stored unchanged, two different paths never get the same text
//! (a file really named `\xff` is stored as `\\xff`), and every text leads back to its bytes.

use std::fmt::Write as _;

/// The text for `bytes`.
pub(crate) fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for (i, plain) in chunk.valid().split('\\').enumerate() {
            if i > 0 {
                text.push_str(r"\\");
            }
            text.push_str(plain);
        }
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(text, r"\x{byte:02x}");
        }
    }
    text
}

/// The bytes `text` was made from; `None` if [`escape`] cannot have made it.
///
/// The program itself never needs the way back; the tests prove that there is one.
#[cfg(test)]
pub(crate) fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        if let Some(after) = escaped.strip_prefix('\\') {
            bytes.push(b'\\');
            rest = after;
        } else {
            let digits = escaped.strip_prefix('x')?.get(..2)?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &escaped[3..];
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    (escape(&bytes) == text).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn usual_paths_stay_as_they_are() {
        for path in ["src/main.rs", "a b/ä/日本.txt", "tab\there", "line\nfeed", "q\"'uote"] {
            assert_eq!(escape(path.as_bytes()), path);
        }
    }

    #[test]
    fn bytes_outside_utf8_become_hexadecimal() {
        assert_eq!(escape(b"caf\xe9.txt"), r"caf\xe9.txt");
        assert_eq!(escape(b"\xff\xfe/\xc3"), r"\xff\xfe/\xc3");
        // The first two bytes of a three-byte character, then a letter.
        assert_eq!(escape(b"\xe6\x97a"), r"\xe6\x97a");
    }

    #[test]
    fn a_path_that_looks_escaped_is_told_from_the_path_it_looks_like() {
        assert_eq!(escape(br"\xff"), r"\\xff");
        assert_eq!(escape(b"\xff"), r"\xff");
        assert_eq!(escape(br"\"), r"\\");
        assert_eq!(escape(br"\\"), r"\\\\");
    }

    #[test]
    fn text_that_was_never_made_is_refused() {
        for text in [r"\", r"\x", r"\x4", r"\xFF", r"\x41", r"\n", r"\xc3\xa9", r"\x+1"] {
            assert_eq!(unescape(text), None, "{text}");
        }
    }

    fn path_bytes() -> impl Strategy<Value = Vec<u8>> {
        // Small alphabet: escapes that collide are likely if they are possible.
        let piece = prop::sample::select(vec![
            &b"\\"[..],
            b"x",
            b"ff",
            b"\xff",
            b"\xc3",
            b"\xa9",
            b"a",
            b"\n",
            b"/",
        ]);
        prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn every_text_leads_back_to_its_bytes(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            prop_assert_eq!(unescape(&escape(&bytes)), Some(bytes));
        }

        #[test]
        fn different_bytes_have_different_texts(a in path_bytes(), b in path_bytes()) {
            prop_assert_eq!(a == b, escape(&a) == escape(&b));
            prop_assert_eq!(unescape(&escape(&a)), Some(a));
        }
    }
}
