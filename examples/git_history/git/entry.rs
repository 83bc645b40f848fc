//! What git knows about a commit and its paths, as plain data.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The full id of a commit: 40 hexadecimal digits, or 64 in a SHA-256 repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct CommitId(String);

impl CommitId {
    /// `None` unless `hex` is a full id. Never a name, an abbreviation or an option, so it is
    /// safe as an argument of git.
    pub(crate) fn new(hex: &str) -> Option<Self> {
        let digits = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let full = matches!(hex.len(), 40 | 64) && hex.bytes().all(digits);
        full.then(|| Self(hex.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One commit of the first-parent history, with what it changed against its first parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Commit {
    pub(crate) id: CommitId,
    /// The author's name; `<mail address>` when the name is empty (a name never contains `<`).
    /// Bytes that are not UTF-8 are escaped (see [`escape`](super::path_text::escape)).
    pub(crate) author: String,
    /// Author time in seconds since 1970; 0 when the commit carries no readable one.
    pub(crate) time: i64,
    /// At most one change per path; empty for a commit that changes nothing.
    pub(crate) changes: Vec<PathChange>,
}

/// What happened to one path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PathChange {
    /// The path from the top of the repository, escaped where it is not UTF-8.
    pub(crate) path: String,
    pub(crate) change: Change,
}

/// The path's new content, or that it is gone. A change of type, say from file to symbolic
/// link, is a modification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    Added(Entry),
    Modified(Entry),
    Deleted,
}

/// What a path holds: a file, a symbolic link or a submodule's commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// As git prints it: `100644`, `100755`, `120000` or `160000`.
    pub(crate) mode: String,
    /// The id of the blob, or of the commit for a submodule.
    pub(crate) blob: String,
}
