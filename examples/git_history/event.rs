//! The event of this program: one changed path of one commit.

use serde::{Deserialize, Serialize};

use crate::git::{Commit, CommitId, GitError, PathChange};

/// One path changed by one commit, or a commit that changes no path.
///
/// All events of a commit are appended together, in one transaction. So the last event of the
/// log names the last commit that was read completely, and reading goes on after that one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HistoryEvent {
    pub(crate) commit: CommitId,
    pub(crate) author: String,
    /// Author time in seconds since 1970.
    pub(crate) time: i64,
    /// Whether this is the first event of its commit, so that commits can be counted.
    pub(crate) opens_commit: bool,
    /// `None` for a commit that changes nothing: it has this one event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) change: Option<PathChange>,
}

impl HistoryEvent {
    /// The events of `commit`: one per change, and at least one.
    pub(crate) fn of(commit: Commit) -> impl Iterator<Item = Self> {
        let Commit { id, author, time, changes } = commit;
        let nothing = changes.is_empty().then_some(None);
        changes.into_iter().map(Some).chain(nothing).enumerate().map(move |(i, change)| Self {
            commit: id.clone(),
            author: author.clone(),
            time,
            opens_commit: i == 0,
            change,
        })
    }
}

/// Groups commits into batches worth a transaction: whole commits, together at least `size`
/// events (the last batch may be smaller).
pub(crate) struct Batches<H> {
    commits: H,
    size: usize,
    /// Reported after the commits read before it.
    failed: Option<GitError>,
}

/// Events to be appended together.
pub(crate) struct Batch {
    pub(crate) events: Vec<HistoryEvent>,
    pub(crate) commits: u64,
}

impl<H: Iterator<Item = Result<Commit, GitError>>> Batches<H> {
    pub(crate) fn new(commits: H, size: usize) -> Self {
        Self { commits, size, failed: None }
    }
}

impl<H: Iterator<Item = Result<Commit, GitError>>> Iterator for Batches<H> {
    type Item = Result<Batch, GitError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.failed.take() {
            return Some(Err(error));
        }
        let mut batch = Batch { events: Vec::new(), commits: 0 };
        while batch.events.len() < self.size {
            match self.commits.next() {
                Some(Ok(commit)) => {
                    batch.events.extend(HistoryEvent::of(commit));
                    batch.commits += 1;
                }
                Some(Err(error)) if batch.events.is_empty() => return Some(Err(error)),
                Some(Err(error)) => {
                    self.failed = Some(error);
                    break;
                }
                None => break,
            }
        }
        (batch.commits > 0).then_some(Ok(batch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::{Change, Entry};

    fn commit(n: usize, paths: usize) -> Commit {
        let change = |path: usize| PathChange {
            path: format!("path-{path}"),
            change: if path == 0 {
                Change::Deleted
            } else {
                Change::Added(Entry { mode: "100644".to_owned(), blob: "0".repeat(40) })
            },
        };
        Commit {
            id: CommitId::new(&format!("{n:040x}")).unwrap(),
            author: "Ann".to_owned(),
            time: 7,
            changes: (0..paths).map(change).collect(),
        }
    }

    fn sizes(batches: impl Iterator<Item = Result<Batch, GitError>>) -> Vec<Option<(usize, u64)>> {
        batches.map(|batch| batch.ok().map(|b| (b.events.len(), b.commits))).collect()
    }

    #[test]
    fn only_the_first_event_of_a_commit_opens_it() {
        let opens: Vec<_> =
            HistoryEvent::of(commit(1, 3)).map(|event| event.opens_commit).collect();
        assert_eq!(opens, [true, false, false]);
    }

    #[test]
    fn a_commit_without_changes_is_one_event() {
        let events: Vec<_> = HistoryEvent::of(commit(1, 0)).collect();
        assert_eq!(events.len(), 1);
        assert!(events[0].opens_commit && events[0].change.is_none());
    }

    #[test]
    fn an_event_survives_json() {
        for event in HistoryEvent::of(commit(1, 2)).chain(HistoryEvent::of(commit(2, 0))) {
            let json = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<HistoryEvent>(&json).unwrap(), event, "{json}");
        }
    }

    #[test]
    fn the_stored_form_stays_readable() {
        let event = HistoryEvent::of(commit(1, 2)).nth(1).unwrap();
        let zeros = "0".repeat(39);
        assert_eq!(
            serde_json::to_string(&event).unwrap(),
            format!(r#"{{"commit":"{zeros}1","author":"Ann","time":7,"opens_commit":false,"#)
                + &format!(
                    r#""change":{{"path":"path-1","change":{{"added":{{"mode":"100644","blob":"{zeros}0"}}}}}}}}"#
                )
        );
    }

    #[test]
    fn a_commit_is_never_split_over_batches() {
        let commits =
            [1, 1, 0, 9, 2].into_iter().enumerate().map(|(n, paths)| Ok(commit(n, paths)));
        assert_eq!(sizes(Batches::new(commits, 3)), [Some((3, 3)), Some((9, 1)), Some((2, 1))]);
    }

    #[test]
    fn commits_read_before_an_error_are_delivered_before_it() {
        let commits = [Ok(commit(1, 1)), Err(GitError::NotInstalled)].into_iter();
        assert_eq!(sizes(Batches::new(commits, 3)), [Some((1, 1)), None]);
    }
}
