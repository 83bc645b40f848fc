//! The first-parent history, oldest commit first, read as git writes it.
//!
//! Folding the changes of all commits, path by path, gives exactly the files of the last one:
//! a merge counts as what it changed against its first parent, renames are a deletion and an
//! addition, and the first commit adds all its files. Memory holds one commit at a time.

use std::io::BufRead;

use super::command::NOTHING;
use super::entry::{Commit, PathChange};
use super::error::GitError;
use super::path_text::escape;
use super::process::Output;
use super::range::Range;
use super::record::{self, FORMAT};
use super::repository::Repository;

impl Repository {
    /// Starts reading `range`.
    pub(crate) fn history(&self, range: &Range) -> Result<History, GitError> {
        let git = self
            .git("log")
            .args(["--first-parent", "-m", "--raw", "-z", "--reverse", "--no-renames"])
            .args(["--no-abbrev", "--no-color", "--no-ext-diff", "--ignore-submodules=none"])
            .args(["--encoding=UTF-8", FORMAT])
            .arg(format!("-O{NOTHING}"))
            .arg(range.to.as_str())
            .args(range.after.iter().map(|after| format!("^{after}")))
            .arg("--")
            .start()?;
        Ok(History { git, missing: range.commits, ended: false, record: Vec::new() })
    }
}

/// An iterator over commits. After an error, or the end, there is nothing more.
pub(crate) struct History {
    git: Output,
    /// Commits of the range that git has not shown yet.
    missing: u64,
    ended: bool,
    /// Kept for its capacity.
    record: Vec<u8>,
}

impl Iterator for History {
    type Item = Result<Commit, GitError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let commit = self.read().transpose();
        self.ended = !matches!(commit, Some(Ok(_)));
        commit
    }
}

impl History {
    fn read(&mut self) -> Result<Option<Commit>, GitError> {
        if self.peek()?.is_none() {
            return self.end();
        }
        self.record()?;
        let mut commit =
            record::header(&self.record).ok_or_else(|| self.not_understood("a commit"))?;
        while self.peek()? == Some(b':') {
            self.git.stdout.consume(1);
            self.record()?;
            let change =
                record::raw(&self.record).ok_or_else(|| self.not_understood("a change"))?;
            self.record()?;
            commit.changes.push(PathChange { path: escape(&self.record), change });
        }
        self.missing = self.missing.checked_sub(1).ok_or_else(|| {
            self.git.unexpected(format!("commit {} is not in the range asked for", commit.id))
        })?;
        Ok(Some(commit))
    }

    /// The end is the end only if git ended well and showed every commit.
    fn end(&mut self) -> Result<Option<Commit>, GitError> {
        self.git.finish()?;
        match self.missing {
            0 => Ok(None),
            missing => Err(self.git.unexpected(format!("{missing} commits were not shown"))),
        }
    }

    /// Reads up to the next NUL into `self.record`.
    fn record(&mut self) -> Result<(), GitError> {
        self.record.clear();
        let read = self.git.stdout.read_until(0, &mut self.record);
        read.map_err(|e| self.git.io(e))?;
        if self.record.pop_if(|last| *last == 0).is_some() {
            return Ok(());
        }
        // Output that stops in the middle: git's own reason, if it has one, says more.
        self.git.finish()?;
        Err(self.git.unexpected("the output ends within a record"))
    }

    /// The byte that the next record begins with. Separators before it are passed over: how
    /// many there are between commits has differed between versions of git.
    fn peek(&mut self) -> Result<Option<u8>, GitError> {
        loop {
            match self.git.stdout.fill_buf() {
                Ok([b'\n' | 0, ..]) => self.git.stdout.consume(1),
                Ok(bytes) => return Ok(bytes.first().copied()),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.git.io(e)),
            }
        }
    }

    fn not_understood(&self, expected: &str) -> GitError {
        self.git.unexpected(format!("not {expected}: `{}`", self.record.escape_ascii()))
    }
}
