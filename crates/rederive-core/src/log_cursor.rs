//! [`LogCursor`]: what the rows of a user's own log may be ordered by.

use std::fmt;

use crate::{Cursor, CursorKind, LogError};

/// The type of the column that orders a user's rows: `i64`, whose values must not be below zero, or
/// `String`, whose values must not be empty and are ordered bytewise. For rows that are ordered by
/// two columns of numbers, it is a [`CursorPair`].
pub trait LogCursor:
    sealed::Sealed + Clone + Ord + fmt::Debug + fmt::Display + Send + Sync + 'static
{
    /// The kind of the log's cursors.
    const KIND: CursorKind;

    /// A value before all rows.
    fn start() -> Self;

    /// The value of a cursor, or the largest there can be.
    ///
    /// # Errors
    /// [`LogError`] when the cursor is of the other kind.
    fn place(cursor: &Cursor) -> Result<Self, LogError>;

    /// The cursor of a value.
    fn cursor(&self) -> Cursor;

    /// A value before this one, with hardly any value between them that a row may have.
    #[must_use]
    fn before(&self) -> Self;
}

/// Two numbers that order a row: by the first, and within it by the second. They must not both be
/// zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CursorPair {
    /// What counts first.
    pub first: u64,
    /// What counts where the first is equal.
    pub second: u64,
}

impl CursorPair {
    /// Of these numbers.
    pub fn new(first: u64, second: u64) -> Self {
        Self { first, second }
    }
}

impl fmt::Display for CursorPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.first, self.second)
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::CursorPair {}
    impl Sealed for i64 {}
    impl Sealed for String {}
}

impl LogCursor for i64 {
    const KIND: CursorKind = CursorKind::Integer;

    fn start() -> Self {
        -1
    }

    fn place(cursor: &Cursor) -> Result<Self, LogError> {
        match cursor {
            Cursor::Start => Ok(Self::start()),
            Cursor::Integer(number) => Ok(Self::try_from(*number).unwrap_or(Self::MAX)),
            other => Err(other_kind(Self::KIND, other)),
        }
    }

    fn cursor(&self) -> Cursor {
        u64::try_from(*self).map_or(Cursor::Start, Cursor::from)
    }

    fn before(&self) -> Self {
        self.saturating_sub(1)
    }
}

impl LogCursor for String {
    const KIND: CursorKind = CursorKind::Text;

    fn start() -> Self {
        Self::new()
    }

    fn place(cursor: &Cursor) -> Result<Self, LogError> {
        match cursor {
            Cursor::Start => Ok(Self::start()),
            Cursor::Text(text) => Ok(Self::from(&**text)),
            other => Err(other_kind(Self::KIND, other)),
        }
    }

    fn cursor(&self) -> Cursor {
        if self.is_empty() { Cursor::Start } else { Cursor::from(self.as_str()) }
    }

    fn before(&self) -> Self {
        let mut before = self.clone();
        // Shorter is before; so is a smaller last character, whatever follows it.
        if let Some(smaller) = before.pop().and_then(|last| ('\0'..last).next_back()) {
            before.extend([smaller, char::MAX]);
        }
        before
    }
}

impl LogCursor for CursorPair {
    const KIND: CursorKind = CursorKind::Pair;

    fn start() -> Self {
        Self::default()
    }

    fn place(cursor: &Cursor) -> Result<Self, LogError> {
        match cursor {
            Cursor::Start => Ok(Self::start()),
            Cursor::Pair(first, second) => Ok(Self::new(*first, *second)),
            other => Err(other_kind(Self::KIND, other)),
        }
    }

    fn cursor(&self) -> Cursor {
        match self {
            Self { first: 0, second: 0 } => Cursor::Start,
            Self { first, second } => Cursor::Pair(*first, *second),
        }
    }

    fn before(&self) -> Self {
        match (self.first, self.second) {
            (0, 0) => *self,
            (first, 0) => Self::new(first - 1, u64::MAX),
            (first, second) => Self::new(first, second - 1),
        }
    }
}

/// What a log whose cursors are of one kind says of a cursor of another.
pub fn other_kind(log: CursorKind, cursor: &Cursor) -> LogError {
    let kind = cursor.kind().map_or_else(String::new, |kind| format!(" is of kind {kind}"));
    LogError::new(format!("its cursors are of kind {log}, but {cursor}{kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pair_before_is_next_to_it() {
        let before = |first, second| CursorPair::new(first, second).before();
        assert_eq!(before(7, 3), CursorPair::new(7, 2));
        assert_eq!(before(7, 0), CursorPair::new(6, u64::MAX));
        assert_eq!(before(0, 1), CursorPair::start());
        assert_eq!(CursorPair::start().cursor(), Cursor::Start);
    }

    #[test]
    fn a_cursor_of_another_kind_is_refused_with_both_kinds() {
        let error = CursorPair::place(&Cursor::from("x")).expect_err("it is refused").to_string();
        assert!(error.contains("of kind pair, but x is of kind text"), "{error}");
    }

    #[test]
    fn the_value_before_is_before_and_behind_all_that_are_smaller() {
        assert_eq!((0_i64.before(), 8_i64.before()), (-1, 7));
        let ordered = ["\0", "9", "10", "a", "a\0", "ab", "b", "\u{e000}", "é", "日本"];
        for text in ordered.map(String::from) {
            let before = text.before();
            assert!(before < text, "{before:?} is not before {text:?}");
            for other in ordered.iter().filter(|other| **other < text.as_str()) {
                assert!(*other <= before.as_str(), "{other:?} is between {before:?} and {text:?}");
            }
        }
    }
}
