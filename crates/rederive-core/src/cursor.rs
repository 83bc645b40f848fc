//! [`Cursor`]: a typed, ordered position in an event log.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// A position in an event log: the place just after one event.
///
/// A log numbers its events with one [`CursorKind`] and never mixes two. Within a kind the order is
/// the natural one: numbers compare as numbers (`10` comes after `9`), text compares bytewise, which
/// is what ULIDs and UUIDv7s are made for, and pairs compare by their first number, then by their
/// second. [`Cursor::Start`] precedes every event.
///
/// ```
/// use rederive_core::Cursor;
///
/// assert!(Cursor::Start < Cursor::from(0));
/// assert!(Cursor::from(9) < Cursor::from(10));
/// assert!(Cursor::from("01J9ZK") < Cursor::from("01JA00"));
/// assert!(Cursor::from((9, 500)) < Cursor::from((10, 3)));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Cursor {
    /// Before the first event of any log.
    #[default]
    Start,
    /// A position in a log that numbers its events, such as an auto-increment key.
    Integer(u64),
    /// A position in a log whose keys are sortable text, such as ULIDs or UUIDv7s.
    Text(Arc<str>),
    /// A position in a log that is ordered by two numbers, such as a transaction and a number
    /// within it.
    Pair(u64, u64),
}

/// Which kind of cursor a log gives its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CursorKind {
    /// The log's cursors are [`Cursor::Integer`].
    Integer,
    /// The log's cursors are [`Cursor::Text`].
    Text,
    /// The log's cursors are [`Cursor::Pair`].
    Pair,
}

impl Cursor {
    /// The kind of this cursor; `None` for [`Cursor::Start`], which belongs to every kind.
    pub fn kind(&self) -> Option<CursorKind> {
        match self {
            Cursor::Start => None,
            Cursor::Integer(_) => Some(CursorKind::Integer),
            Cursor::Text(_) => Some(CursorKind::Text),
            Cursor::Pair(..) => Some(CursorKind::Pair),
        }
    }

    /// The stored form: text whose bytewise order is the cursors' order.
    ///
    /// Numbers are padded with zeros to twenty digits, so that a database that compares text
    /// bytewise agrees with [`Ord`]. The inverse is [`Cursor::decode`].
    ///
    /// ```
    /// use rederive_core::Cursor;
    ///
    /// assert_eq!(Cursor::from(42).encode(), "i00000000000000000042");
    /// assert_eq!(Cursor::from("01J9").encode(), "t01J9");
    /// assert_eq!(Cursor::from((7, 42)).encode(), "p00000000000000000007.00000000000000000042");
    /// assert_eq!(Cursor::Start.encode(), "");
    /// ```
    pub fn encode(&self) -> String {
        match self {
            Cursor::Start => String::new(),
            Cursor::Integer(number) => format!("i{number:020}"),
            Cursor::Text(text) => format!("t{text}"),
            Cursor::Pair(first, second) => format!("p{first:020}.{second:020}"),
        }
    }

    /// Reads what [`Cursor::encode`] wrote.
    ///
    /// # Errors
    /// [`InvalidCursor`] when the text is not of that form: somebody else wrote it.
    pub fn decode(stored: &str) -> Result<Self, InvalidCursor> {
        let invalid = || InvalidCursor(stored.to_owned());
        if stored.is_empty() {
            Ok(Cursor::Start)
        } else if let Some(text) = stored.strip_prefix('t') {
            Ok(Cursor::from(text))
        } else if let Some(pair) = stored.strip_prefix('p') {
            let (first, second) = pair.split_once('.').ok_or_else(invalid)?;
            let numbers = number(first).zip(number(second));
            numbers.map(Cursor::from).ok_or_else(invalid)
        } else {
            let digits = stored.strip_prefix('i').ok_or_else(invalid)?;
            number(digits).map(Cursor::Integer).ok_or_else(invalid)
        }
    }
}

/// A number of twenty digits.
fn number(digits: &str) -> Option<u64> {
    let well_formed = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|_| well_formed)
}

/// A stored cursor that [`Cursor::decode`] cannot read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a stored cursor; was the row written by something other than Rederive?")]
pub struct InvalidCursor(String);

impl From<u64> for Cursor {
    fn from(number: u64) -> Self {
        Cursor::Integer(number)
    }
}

impl From<(u64, u64)> for Cursor {
    fn from((first, second): (u64, u64)) -> Self {
        Cursor::Pair(first, second)
    }
}

impl From<&str> for Cursor {
    fn from(text: &str) -> Self {
        Cursor::Text(text.into())
    }
}

impl From<String> for Cursor {
    fn from(text: String) -> Self {
        Cursor::Text(text.into())
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cursor::Start => f.write_str("start"),
            Cursor::Integer(number) => number.fmt(f),
            Cursor::Text(text) => text.fmt(f),
            Cursor::Pair(first, second) => write!(f, "{first}.{second}"),
        }
    }
}

impl fmt::Display for CursorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CursorKind::Integer => "integer",
            CursorKind::Text => "text",
            CursorKind::Pair => "pair",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_comes_after_nine_in_memory_and_in_stored_form() {
        let (nine, ten) = (Cursor::from(9), Cursor::from(10));
        assert!(nine < ten);
        assert!(nine.encode() < ten.encode());
    }

    #[test]
    fn pairs_are_ordered_by_their_first_number_in_memory_and_in_stored_form() {
        let pairs = [(0, 1), (9, 10), (9, 1 << 40), (10, 0), (10, 9), (u64::MAX, 0)];
        let pairs = pairs.map(Cursor::from);
        assert!(pairs.is_sorted_by(|a, b| a < b && a.encode() < b.encode()));
    }

    #[test]
    fn start_precedes_every_cursor_in_memory_and_in_stored_form() {
        for cursor in [0.into(), "".into(), "0".into(), Cursor::from((0, 0))] {
            assert!(Cursor::Start < cursor);
            assert!(Cursor::Start.encode() < cursor.encode());
        }
    }

    #[test]
    fn a_stored_cursor_reads_back_as_itself() {
        for cursor in [
            Cursor::Start,
            Cursor::from(0),
            Cursor::from(u64::MAX),
            Cursor::from(""),
            Cursor::from("01J9ZK–ü"),
            Cursor::from((0, 0)),
            Cursor::from((u64::MAX, u64::MAX)),
        ] {
            assert_eq!(Cursor::decode(&cursor.encode()), Ok(cursor));
        }
    }

    #[test]
    fn text_that_is_no_stored_cursor_is_refused() {
        let numbers = ["42", "i42", "i0000000000000000004x", "ü", "i+0000000000000000042"];
        let digits = "00000000000000000042";
        let pairs = ["p".into(), format!("p{digits}"), format!("p{digits}.42")];
        for stored in numbers.into_iter().chain(pairs.iter().map(String::as_str)) {
            assert!(Cursor::decode(stored).is_err(), "{stored} was accepted");
        }
    }
}
