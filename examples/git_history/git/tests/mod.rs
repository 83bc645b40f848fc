//! Real repositories, read by this program and compared with what git lists.

mod changes;
mod configuration;
mod errors;
mod property;
mod repo;
mod resume;

use std::collections::BTreeMap;

use super::{Change, Commit, CommitId, Entry, GitError, Repository};

/// All commits after `after` up to `to`.
fn read(
    repository: &Repository,
    after: Option<&CommitId>,
    to: &CommitId,
) -> Result<Vec<Commit>, GitError> {
    let range = repository.range(after, to)?;
    let commits = repository.history(&range)?.collect::<Result<Vec<_>, _>>()?;
    assert_eq!(commits.len() as u64, range.commits);
    Ok(commits)
}

/// The history of HEAD, proved to fold to the files of HEAD.
fn verified(repository: &Repository) -> Vec<Commit> {
    let head = repository.resolve("HEAD").unwrap();
    let commits = read(repository, None, &head).unwrap();
    assert_eq!(folded(&commits), listed(repository, &head));
    commits
}

/// The files after `commits`. Strict: what is added must not exist, what is changed must.
fn folded<'a>(commits: impl IntoIterator<Item = &'a Commit>) -> BTreeMap<String, Entry> {
    let mut files = BTreeMap::new();
    for commit in commits {
        for change in &commit.changes {
            let path = change.path.clone();
            let (was_there, expected) = match &change.change {
                Change::Added(entry) => (files.insert(path, entry.clone()).is_some(), false),
                Change::Modified(entry) => (files.insert(path, entry.clone()).is_some(), true),
                Change::Deleted => (files.remove(&path).is_some(), true),
            };
            assert_eq!(was_there, expected, "{change:?} of {}", commit.id);
        }
    }
    files
}

/// The files of `commit` as git lists them.
fn listed(repository: &Repository, commit: &CommitId) -> BTreeMap<String, Entry> {
    let tree = repository.tree(commit).unwrap().map(|entry| entry.unwrap());
    tree.map(|entry| (entry.path, entry.entry)).collect()
}

/// A commit's changes in short: `A path`, `M path`, `D path`.
fn summary(commit: &Commit) -> Vec<String> {
    let letter = |change: &Change| match change {
        Change::Added(_) => 'A',
        Change::Modified(_) => 'M',
        Change::Deleted => 'D',
    };
    commit.changes.iter().map(|c| format!("{} {}", letter(&c.change), c.path)).collect()
}
