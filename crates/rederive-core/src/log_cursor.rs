//! [`LogCursor`]: what the rows of a user's own log may be ordered by.

use std::fmt;

use crate::{Cursor, CursorKind, LogError};

/// The type of the column that orders a user's rows: `i64`, whose values must not be below zero, or
/// `String`, whose values must not be empty and are ordered bytewise.
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

mod sealed {
    pub trait Sealed {}
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
            Cursor::Text(text) => {
                Err(LogError::new(format!("its cursors are integers, but {text:?} is text")))
            }
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
            Cursor::Integer(number) => {
                Err(LogError::new(format!("its cursors are text, but {number} is an integer")))
            }
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

#[cfg(test)]
mod tests {
    use super::*;

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
