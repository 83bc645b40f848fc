//! THE SOURCE: what a git repository says, and nothing about events or tables.
//!
//! Reading order: [`repository`] opens and resolves, [`range`] decides which commits are new,
//! [`history`] reads them oldest first, [`tree`] reads the files of one commit.
//! Everything is asked of the `git` program ([`command`], [`process`]); nothing is ever written.

mod command;
mod entry;
mod error;
mod history;
mod path_text;
mod process;
mod range;
mod record;
mod repository;
#[cfg(test)]
mod tests;
mod tree;

pub(crate) use entry::{Change, Commit, CommitId, Entry, PathChange};
pub(crate) use error::GitError;
pub(crate) use repository::Repository;
pub(crate) use tree::TreeEntry;
