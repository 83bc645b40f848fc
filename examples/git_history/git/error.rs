//! Everything that can go wrong with the repository, each with what to do about it.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::entry::CommitId;

/// Why the repository could not be read. The text says what happened, [`GitError::advice`]
/// what to do.
#[derive(Debug, Error)]
pub(crate) enum GitError {
    #[error("the program `git` was not found")]
    NotInstalled,

    #[error("there is no file or folder {}", .path.display())]
    NoSuchPath { path: PathBuf },

    #[error("{} is not in a git repository", .path.display())]
    NotARepository { path: PathBuf },

    #[error("the repository {} has no commits yet", .git_dir.display())]
    Empty { git_dir: PathBuf },

    #[error("HEAD of {} names the branch `{branch}`, which has no commits", .git_dir.display())]
    UnbornHead { git_dir: PathBuf, branch: String },

    #[error("{} is a shallow clone: the older part of its history is missing", .git_dir.display())]
    Shallow { git_dir: PathBuf },

    #[error("`{revision}` does not name a commit ({said})")]
    BadRevision { revision: String, said: String },

    #[error(
        "the history was rewritten: {read}, the last commit read, is not on the first-parent \
             history of {wanted}"
    )]
    RewrittenHistory { read: CommitId, wanted: CommitId },

    #[error("{wanted} is older than {read}, the last commit read")]
    OlderRevision { read: CommitId, wanted: CommitId },

    #[error("the history of {to} ends at {end}, whose parent is hidden or missing")]
    Incomplete { to: CommitId, end: String },

    #[error("`git {command}` failed ({status}): {said}")]
    Failed { command: &'static str, status: String, said: String },

    #[error("`git {command}` wrote something unexpected: {what}")]
    Unexpected { command: &'static str, what: String },

    #[error("reading from `git {command}` failed: {source}")]
    Io { command: &'static str, source: io::Error },
}

impl GitError {
    /// What the user can do, in one sentence.
    pub(crate) fn advice(&self) -> &'static str {
        match self {
            Self::NotInstalled => "Install git, or put it on the PATH, and run again.",
            Self::NoSuchPath { .. } | Self::NotARepository { .. } => {
                "Pass the path of a git repository as first argument."
            }
            Self::Empty { .. } => "Commit something and run again.",
            Self::UnbornHead { .. } => {
                "Name a branch that has commits: `--revision BRANCH` (`git branch -a` lists them)."
            }
            Self::Shallow { .. } => "Fetch the rest with `git fetch --unshallow` and run again.",
            Self::BadRevision { .. } => {
                "Pass a branch, a tag or a commit of this repository with `--revision`."
            }
            Self::RewrittenHistory { .. } => {
                "Events are never taken back: read the new history into a new database with \
                 `--database FILE`, or delete this one and run again. If the database belongs to \
                 another repository, name that one."
            }
            Self::OlderRevision { .. } => {
                "To see the older state, read it into another database with `--database FILE`."
            }
            Self::Incomplete { .. } => {
                "`git fsck` shows whether objects are missing; a fresh clone has them all."
            }
            Self::Failed { .. } | Self::Unexpected { .. } | Self::Io { .. } => {
                "`git fsck` shows whether the repository is sound; then run again."
            }
        }
    }
}
