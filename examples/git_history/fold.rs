//! The two tables folded in memory: the plain model of what the reducers derive.

use std::collections::HashMap;

use crate::event::HistoryEvent;
use crate::git::{Change, CommitId, Entry};

/// Both tables after some events. All times and commits are in log order: an author's
/// `first_time` is that of the first event, which is not always the smallest.
#[derive(Default)]
pub(crate) struct Fold {
    pub(crate) files: HashMap<String, File>,
    pub(crate) authors: HashMap<String, Author>,
}

/// A file that exists.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) entry: Entry,
    /// Since it was added (again): that counts as 1.
    pub(crate) changes: i64,
    pub(crate) created_commit: CommitId,
    pub(crate) last_commit: CommitId,
    pub(crate) last_author: String,
    pub(crate) last_time: i64,
}

/// Everybody who ever authored a commit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Author {
    pub(crate) changes: i64,
    pub(crate) commits: i64,
    pub(crate) first_time: i64,
    pub(crate) last_time: i64,
}

impl Fold {
    pub(crate) fn apply(&mut self, event: HistoryEvent) {
        let time = event.time;
        let author = self.authors.entry(event.author.clone()).or_insert(Author {
            changes: 0,
            commits: 0,
            first_time: time,
            last_time: time,
        });
        author.changes += i64::from(event.change.is_some());
        author.commits += i64::from(event.opens_commit);
        author.last_time = time;

        let Some(change) = event.change else { return };
        match change.change {
            Change::Deleted => {
                self.files.remove(&change.path);
            }
            Change::Added(entry) | Change::Modified(entry) => {
                let before = self.files.remove(&change.path);
                let (changes, created_commit) = before
                    .map_or((0, event.commit.clone()), |file| (file.changes, file.created_commit));
                let file = File {
                    entry,
                    changes: changes + 1,
                    created_commit,
                    last_commit: event.commit,
                    last_author: event.author,
                    last_time: time,
                };
                self.files.insert(change.path, file);
            }
        }
    }
}
