//! [`Change`]: what becomes of a row.

use super::{Json, Row, RowFn};
use crate::Value;

/// What becomes of a row.
///
/// | change | no row has the key | a row has the key: named columns | its other columns |
/// |---|---|---|---|
/// | [`Insert`](Self::Insert) | a new row | rejected | rejected |
/// | [`InsertNew`](Self::InsertNew) | a new row | kept | kept |
/// | [`Upsert`](Self::Upsert), [`Merge`](Self::Merge) | a new row | set | kept |
/// | [`Replace`](Self::Replace) | a new row | set | set to their defaults |
/// | [`Update`](Self::Update) | rejected | set | kept |
///
/// In a new row, columns that are not named take their defaults. A store in memory knows no defaults
/// but `NULL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new row. Rejected when the key exists.
    Insert(Row),
    /// A new row, or nothing when the key exists.
    InsertNew(Row),
    /// A new row, or new values for the named columns of the row that exists. As in SQL, the row must
    /// be one that could be inserted even then.
    Upsert(Row),
    /// New values for the named columns of the row that exists, or else a new row: an
    /// [`Upsert`](Self::Upsert) that demands of a row that exists no more than an update does.
    Merge(Row),
    /// Exactly this row, whether or not the key exists.
    Replace(Row),
    /// New values for the named columns. Rejected when no row has the key.
    Update(Row),
    /// Adds the number to the column; `NULL` counts as zero. Rejected when no row has the key and
    /// when an integer column would overflow. Decimal numbers are added exactly.
    Increment(usize, Value),
    /// Whatever the function makes of the row's values. Rejected when no row has the key, when the
    /// function fails or panics, and when it changes the key.
    Modify(RowFn),
    /// Adds the element to the JSON array in the column of text or JSON, or to the column's array, at
    /// its end, unless the array has it. `NULL` counts as an empty array. Rejected when no row has the
    /// key, and when the column holds something that is no JSON array.
    ///
    /// See [`Json`] for what is equal and how it is stored. An array that has the element is left as
    /// it is, to the byte.
    ArrayPushUniq(usize, Json),
    /// Removes the element from the array in the column, as often as it is there; otherwise like [`ArrayPushUniq`](Self::ArrayPushUniq). `NULL` stays `NULL`.
    ArrayDelete(usize, Json),
    /// No row with this key any more; nothing when there was none.
    Delete,
}
