//! Reading on after a commit, and refusing to when it is not the same history any more.

use super::read;
use super::repo::{Repo, commit};
use crate::git::{CommitId, GitError};

/// Four commits on `main`, the third a merge of `side`; the ids on `main`, and that of `side`.
fn repo() -> (Repo, [CommitId; 4], CommitId) {
    let mut repo = Repo::new();
    let a = repo.commit(commit().file(b"a", "1"));
    repo.branch("side", "main");
    let side = repo.commit(commit().on("side").file(b"side", "1"));
    let b = repo.commit(commit().file(b"b", "1"));
    let c = repo.commit(commit().merging("side").file(b"side", "1"));
    let d = repo.commit(commit());
    (repo, [a, b, c, d], side)
}

#[test]
fn any_two_pieces_are_the_whole() {
    let (repo, main, _) = repo();
    let repository = repo.open();
    let whole = read(&repository, None, &main[3]).unwrap();
    for (i, id) in main.iter().enumerate() {
        let first = read(&repository, None, id).unwrap();
        let second = read(&repository, Some(id), &main[3]).unwrap();
        assert_eq!(second.len(), 3 - i);
        assert_eq!([first, second].concat(), whole);
    }
}

#[test]
fn clocks_that_run_backwards_change_nothing() {
    let mut repo = Repo::new();
    let ids: Vec<_> = (0..20).map(|n| repo.commit(commit().file(b"a", &n.to_string()))).collect();
    // The same commits again, each a day older than its parent.
    let mut parent: Option<String> = None;
    for (n, id) in ids.iter().enumerate() {
        let tree = repo.git(["rev-parse", &format!("{id}^{{tree}}")]);
        let time = 1_700_000_000 - 86_400 * n;
        let parent_line = parent.map(|p| format!("parent {p}\n")).unwrap_or_default();
        let text = format!(
            "tree {tree}\n{parent_line}author A <a@example.org> {time} +0000\n\
             committer A <a@example.org> {time} +0000\n\n"
        );
        parent = Some(repo.object("commit", text.as_bytes()));
    }
    repo.branch("skewed", &parent.unwrap());
    let repository = repo.open();
    let head = repository.resolve("skewed").unwrap();
    let whole = read(&repository, None, &head).unwrap();
    assert_eq!(whole.len(), 20);
    let rest = read(&repository, Some(&whole[6].id), &head).unwrap();
    assert_eq!(rest, whole[7..]);
}

#[test]
fn a_commit_that_came_in_by_a_merge_is_another_history() {
    let (repo, main, side) = repo();
    let error = read(&repo.open(), Some(&side), &main[3]).unwrap_err();
    assert!(matches!(error, GitError::RewrittenHistory { .. }), "{error}");
}

#[test]
fn an_amended_commit_is_another_history() {
    let (mut repo, main, _) = repo();
    repo.branch("main", "main~1");
    let amended = repo.commit(commit().file(b"amended", "1"));
    let error = read(&repo.open(), Some(&main[3]), &amended).unwrap_err();
    assert!(matches!(error, GitError::RewrittenHistory { .. }), "{error}");
}

#[test]
fn a_history_that_was_joined_the_other_way_round_is_another_one() {
    let (mut repo, main, side) = repo();
    // `side` merges `main`: its first parent is its own past.
    let joined = repo.commit(commit().on("side").merging("main"));
    let error = read(&repo.open(), Some(&main[3]), &joined).unwrap_err();
    assert!(matches!(error, GitError::RewrittenHistory { .. }), "{error}");
    assert_eq!(read(&repo.open(), Some(&side), &joined).unwrap().len(), 1);
}

#[test]
fn a_commit_of_another_repository_is_another_history() {
    let (repo, main, _) = repo();
    let other = Repo::new().commit(commit().file(b"x", "other"));
    let error = read(&repo.open(), Some(&other), &main[3]).unwrap_err();
    assert!(matches!(error, GitError::RewrittenHistory { .. }), "{error}");
}

#[test]
fn an_older_revision_is_told_from_a_rewritten_one() {
    let (repo, main, side) = repo();
    let error = read(&repo.open(), Some(&main[3]), &main[1]).unwrap_err();
    assert!(matches!(error, GitError::OlderRevision { .. }), "{error}");
    let error = read(&repo.open(), Some(&main[3]), &side).unwrap_err();
    assert!(matches!(error, GitError::RewrittenHistory { .. }), "{error}");
}
