//! The files of one commit, as git lists them: what the derived files must equal.

use std::io::BufRead;

use super::entry::{CommitId, Entry};
use super::error::GitError;
use super::path_text::escape;
use super::process::Output;
use super::repository::Repository;

impl Repository {
    /// Starts listing all files, links and submodules of `commit`.
    pub(crate) fn tree(&self, commit: &CommitId) -> Result<Tree, GitError> {
        let git = self.git("ls-tree").args(["-r", "-z", "--full-tree", commit.as_str()]).start()?;
        Ok(Tree { git, ended: false, record: Vec::new() })
    }
}

/// One line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TreeEntry {
    /// Escaped as in [`PathChange::path`](super::PathChange::path).
    pub(crate) path: String,
    pub(crate) entry: Entry,
}

/// An iterator over the list. After an error, or the end, there is nothing more.
pub(crate) struct Tree {
    git: Output,
    ended: bool,
    /// Kept for its capacity.
    record: Vec<u8>,
}

impl Iterator for Tree {
    type Item = Result<TreeEntry, GitError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let entry = self.read().transpose();
        self.ended = !matches!(entry, Some(Ok(_)));
        entry
    }
}

impl Tree {
    fn read(&mut self) -> Result<Option<TreeEntry>, GitError> {
        self.record.clear();
        let read = self.git.stdout.read_until(0, &mut self.record);
        if read.map_err(|e| self.git.io(e))? == 0 {
            return self.git.finish().map(|()| None);
        }
        let whole = self.record.pop_if(|last| *last == 0).is_some();
        match parse(&self.record) {
            Some(entry) if whole => Ok(Some(entry)),
            _ => {
                // Output that stops in the middle: git's own reason, if it has one, says more.
                self.git.finish()?;
                Err(self.git.unexpected(format!("`{}`", self.record.escape_ascii())))
            }
        }
    }
}

/// `MODE SP TYPE SP ID TAB PATH`.
fn parse(record: &[u8]) -> Option<TreeEntry> {
    let tab = record.iter().position(|b| *b == b'\t')?;
    let mut fields = str::from_utf8(&record[..tab]).ok()?.split(' ');
    let (mode, _kind, blob) = (fields.next()?, fields.next()?, fields.next()?);
    let entry = Entry { mode: mode.to_owned(), blob: blob.to_owned() };
    Some(TreeEntry { path: escape(&record[tab + 1..]), entry })
}
