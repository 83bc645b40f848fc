//! What the indexes of Rederive's tables can hold. A row of an index has at most 2704 bytes; one of
//! the outbox has a name, an id and a cursor in it.

use rederive_core::ChangeError;

/// The bytes of the longest name of a reducer.
const MOST_NAME: usize = 200;

/// The bytes of the longest cursor that effects and skips are stored under. That of an id is in
/// [`ids`](super::ids).
const MOST_CURSOR: usize = 1300;

/// Why a reducer cannot have this name, as it is stored.
pub(crate) fn name_too_long(name: &str) -> Option<String> {
    let length = name.len();
    (length > MOST_NAME).then(|| {
        format!(
            "the name of the reducer has {length} bytes, and PostgreSQL takes {MOST_NAME} in its \
             indexes: give it a shorter one"
        )
    })
}

/// Refuses a cursor, as it is stored, that no index could hold.
pub(crate) fn check_cursor(cursor: &str) -> Result<(), ChangeError> {
    let length = cursor.len();
    if length <= MOST_CURSOR {
        return Ok(());
    }
    Err(ChangeError::rejected(format!(
        "the event's cursor has {length} bytes, and PostgreSQL takes {MOST_CURSOR} in the indexes of \
         effects and skips: order the log by shorter values"
    )))
}
