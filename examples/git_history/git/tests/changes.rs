//! What each kind of change looks like.

use super::repo::{EXECUTABLE, FILE, LINK, Repo, commit};
use super::{summary, verified};
use crate::git::Change;

#[test]
fn the_first_commit_adds_all_its_files() {
    let mut repo = Repo::new();
    repo.commit(commit().file(b"a", "1").file(b"dir/b", "2"));
    let history = verified(&repo.open());
    assert_eq!(summary(&history[0]), ["A a", "A dir/b"]);
    assert_eq!((history[0].author.as_str(), history[0].time), ("Ann", 1_700_000_001));
}

#[test]
fn commits_come_oldest_first() {
    let mut repo = Repo::new();
    let ids = [
        repo.commit(commit().file(b"a", "1").file(b"b", "1")),
        repo.commit(commit().file(b"a", "2").by(b"Bob <bob@example.org>")),
        repo.commit(commit().delete(b"a").file(b"c", "1")),
    ];
    let history = verified(&repo.open());
    assert!(history.iter().map(|commit| &commit.id).eq(&ids));
    assert_eq!(summary(&history[1]), ["M a"]);
    assert_eq!(summary(&history[2]), ["D a", "A c"]);
    assert_eq!(history[1].author, "Bob");
}

#[test]
fn a_commit_that_changes_nothing_is_there() {
    let mut repo = Repo::new();
    repo.commit(commit());
    repo.commit(commit().file(b"a", "1"));
    repo.commit(commit());
    repo.commit(commit());
    let changes: Vec<_> = verified(&repo.open()).iter().map(|c| c.changes.len()).collect();
    assert_eq!(changes, [0, 1, 0, 0]);
}

#[test]
fn a_merge_is_what_it_changed_against_its_first_parent() {
    let mut repo = Repo::new();
    repo.commit(commit().file(b"a", "1"));
    repo.branch("side", "main");
    repo.commit(commit().on("side").file(b"b", "2").by(b"Bob <bob@example.org>"));
    repo.commit(commit().on("side").file(b"b", "3"));
    repo.commit(commit().file(b"a", "4"));
    repo.commit(commit().merging("side").file(b"b", "3"));
    repo.commit(commit().on("side").file(b"ours", "5"));
    repo.commit(commit().merging("side"));
    let history = verified(&repo.open());
    let changes: Vec<_> = history.iter().map(summary).collect();
    assert_eq!(changes, [vec!["A a"], vec!["M a"], vec!["A b"], vec![]]);
}

#[test]
fn an_octopus_merge_is_one_commit() {
    let mut repo = Repo::new();
    repo.commit(commit().file(b"a", "1"));
    repo.branch("x", "main");
    repo.branch("y", "main");
    repo.commit(commit().on("x").file(b"x", "1"));
    repo.commit(commit().on("y").file(b"y", "1"));
    repo.commit(commit().merging("x").merging("y").file(b"x", "1").file(b"y", "1"));
    let history = verified(&repo.open());
    assert_eq!(summary(&history[1]), ["A x", "A y"]);
}

#[test]
fn submodules_links_and_executables_keep_their_mode() {
    let mut repo = Repo::new();
    let (one, two) = ("1".repeat(40), "2".repeat(40));
    repo.commit(commit().submodule(b"sub", &one).put(LINK, b"link", "x").put(FILE, b"run", "#!"));
    repo.commit(commit().submodule(b"sub", &two).put(EXECUTABLE, b"run", "#!"));
    let history = verified(&repo.open());
    let modes = |commit: usize| -> Vec<_> {
        let change = |c: &crate::git::PathChange| match &c.change {
            Change::Added(entry) | Change::Modified(entry) => (c.path.clone(), entry.mode.clone()),
            Change::Deleted => panic!("{c:?}"),
        };
        history[commit].changes.iter().map(change).collect()
    };
    let pair = |path: &str, mode: &str| (path.to_owned(), mode.to_owned());
    assert_eq!(modes(0), [pair("link", "120000"), pair("run", "100644"), pair("sub", "160000")]);
    assert_eq!(modes(1), [pair("run", "100755"), pair("sub", "160000")]);
}

#[test]
fn a_change_of_type_is_a_modification() {
    let mut repo = Repo::new();
    repo.commit(commit().file(b"a", "target"));
    repo.commit(commit().put(LINK, b"a", "target"));
    repo.commit(commit().submodule(b"a", &"3".repeat(40)));
    let history = verified(&repo.open());
    assert_eq!(summary(&history[1]), ["M a"]);
    assert_eq!(summary(&history[2]), ["M a"]);
}

#[test]
fn a_file_becomes_a_folder_and_a_file_again() {
    let mut repo = Repo::new();
    repo.commit(commit().file(b"a", "1"));
    repo.commit(commit().delete(b"a").file(b"a/b", "1").file(b"a/c", "1"));
    repo.commit(commit().delete(b"a").file(b"a", "2"));
    let history = verified(&repo.open());
    let mut folder = summary(&history[1]);
    folder.sort_unstable();
    assert_eq!(folder, ["A a/b", "A a/c", "D a"]);
    let mut file = summary(&history[2]);
    file.sort_unstable();
    assert_eq!(file, ["A a", "D a/b", "D a/c"]);
}

#[test]
fn a_moved_file_is_deleted_and_added() {
    let mut repo = Repo::new();
    repo.commit(commit().file(b"old", "same"));
    repo.commit(commit().delete(b"old").file(b"new", "same"));
    assert_eq!(summary(&verified(&repo.open())[1]), ["A new", "D old"]);
}

#[test]
fn strange_paths_stay_apart() {
    let mut repo = Repo::new();
    let paths: [&[u8]; 9] = [
        b"\xff",
        br"\xff",
        br"\\xff",
        b"line\nfeed",
        b"tab\there",
        b"\"quoted\"",
        b"a b",
        "ä/日本".as_bytes(),
        b":100644 100644",
    ];
    repo.commit(paths.iter().fold(commit(), |new, path| new.file(path, "1")));
    repo.commit(paths.iter().fold(commit(), |new, path| new.file(path, "2")));
    repo.commit(commit().delete(b"\xff"));
    let history = verified(&repo.open());
    assert_eq!(history[1].changes.len(), paths.len());
    assert_eq!(summary(&history[2]), [r"D \xff"]);
}

#[test]
fn strange_authors_stay_apart() {
    let mut repo = Repo::new();
    for author in
        [&b"Jos\xe9 <j@example.org>"[..], b"Jos\xc3\xa9 <j@example.org>", b"<j@example.org>"]
    {
        repo.commit(commit().by(author));
    }
    let authors: Vec<_> = verified(&repo.open()).into_iter().map(|c| c.author).collect();
    assert_eq!(authors, [r"Jos\xe9", "José", "<j@example.org>"]);
}

#[test]
fn a_repository_with_long_ids_is_read_the_same() {
    let mut repo = Repo::with_format("sha256");
    repo.commit(commit().file(b"a", "1"));
    let head = repo.commit(commit().file(b"a", "2").submodule(b"s", &"1".repeat(64)));
    assert_eq!(head.as_str().len(), 64);
    assert_eq!(summary(&verified(&repo.open())[1]), ["M a", "A s"]);
}
