//! Ids of partitions as keys of tables.
//!
//! An index of PostgreSQL's holds at most 2704 bytes per row. An id that is longer than [`MOST`] bytes
//! is abbreviated to its beginning and a number made of the whole of it, and kept as it is in a table
//! of its own. Among such ids with one beginning, the order is that of the numbers.

use std::{borrow::Cow, collections::BTreeSet};

use diesel::QueryResult;
use rederive_core::PartitionId;

use super::{
    sql::{Bind, Session},
    text::{escaped, unescaped},
};

/// The bytes of the longest id that is stored as it is.
const MOST: usize = 1000;

/// Follows the beginning of an abbreviated id. Escaped text has it nowhere.
const MARK: &str = "\u{1}\u{3}";

/// The id as it stands in keys.
pub(crate) fn key(id: &str) -> Cow<'_, str> {
    let whole = escaped(id);
    if whole.len() <= MOST {
        return whole;
    }
    let mut end = MOST - 100;
    while !whole.is_char_boundary(end) {
        end -= 1;
    }
    Cow::Owned(format!("{}{MARK}{:032x}", &whole[..end], fingerprint(whole.as_bytes())))
}

/// Whether the id stands in keys as it is.
pub(crate) fn is_its_own_key(id: &PartitionId) -> bool {
    id.as_str().len() <= MOST / 2 || !key(id.as_str()).contains(MARK)
}

/// Notes what the keys of these ids stand for, where they do not say so themselves.
pub(crate) fn remember<'a>(
    session: &mut Session<'_>,
    ids: impl IntoIterator<Item = &'a PartitionId>,
) -> QueryResult<()> {
    let long: BTreeSet<&str> =
        ids.into_iter().filter(|id| !is_its_own_key(id)).map(PartitionId::as_str).collect();
    if long.is_empty() {
        return Ok(());
    }
    let binds = [
        Bind::texts(long.iter().map(|id| key(id))),
        Bind::texts(long.iter().map(|id| escaped(id))),
    ];
    let text = "INSERT INTO @rederive_long_ids (id, whole) SELECT * FROM unnest(\0, \0)
        ON CONFLICT (id) DO NOTHING";
    session.execute(text, &binds).map(drop)
}

/// The ids that these keys stand for.
pub(crate) fn of(session: &mut Session<'_>, keys: Vec<String>) -> QueryResult<Vec<PartitionId>> {
    let long: Vec<&str> =
        keys.iter().map(String::as_str).filter(|key| key.contains(MARK)).collect();
    let mut whole = std::collections::HashMap::new();
    if !long.is_empty() {
        let text = "SELECT id, whole FROM @rederive_long_ids WHERE id = ANY(\0)";
        for mut row in session.rows(text, &[Bind::texts(long)])? {
            whole.insert(row.text()?, row.text()?);
        }
    }
    let id = |key: String| PartitionId::from(unescaped(whole.remove(&key).unwrap_or(key)));
    Ok(keys.into_iter().map(id).collect())
}

/// FNV-1a with 128 bits.
fn fingerprint(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash: u128, byte| {
        (hash ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_id_is_its_own_key() {
        for id in ["", "alice", "日本", &"x".repeat(MOST)] {
            assert_eq!(key(id), id);
        }
    }

    #[test]
    fn long_ids_have_short_keys_that_differ() {
        let ids =
            ["x".repeat(MOST + 1), "x".repeat(MOST + 2), "日".repeat(MOST), "\0".repeat(MOST)];
        let keys: BTreeSet<String> = ids.iter().map(|id| key(id).into_owned()).collect();
        assert_eq!(keys.len(), ids.len());
        assert!(keys.iter().all(|key| key.len() <= MOST && !key.contains('\0')));
    }
}
