//! Every way a repository can be unreadable has an error of its own.

use std::path::Path;

use tempfile::TempDir;

use super::repo::{Repo, commit};
use crate::git::{GitError, Repository};

fn refused(path: &Path) -> GitError {
    Repository::open(path).expect_err("the repository was opened")
}

#[test]
fn a_path_that_does_not_exist() {
    assert!(matches!(refused(Path::new("/does/not/exist")), GitError::NoSuchPath { .. }));
}

#[test]
fn a_folder_outside_of_any_repository() {
    let folder = TempDir::new().unwrap();
    assert!(matches!(refused(folder.path()), GitError::NotARepository { .. }));
}

#[test]
fn a_repository_without_commits() {
    let repo = Repo::new();
    let error = repo.open().resolve("HEAD").unwrap_err();
    assert!(matches!(error, GitError::Empty { .. }), "{error}");
}

#[test]
fn a_head_without_commits_beside_branches_that_have_some() {
    let mut repo = Repo::new();
    repo.commit(commit().on("other").file(b"a", "1"));
    let error = repo.open().resolve("HEAD").unwrap_err();
    assert!(matches!(&error, GitError::UnbornHead { branch, .. } if branch == "main"), "{error}");
    repo.open().resolve("other").unwrap();
}

#[test]
fn a_shallow_clone() {
    let mut repo = Repo::new();
    repo.commit(commit().file(b"a", "1"));
    repo.commit(commit().file(b"a", "2"));
    let (_kept, clone) = repo.shallow_clone();
    assert!(matches!(refused(&clone), GitError::Shallow { .. }));
}

#[test]
fn revisions_that_do_not_name_a_commit() {
    let mut repo = Repo::new();
    repo.commit(commit().file(b"a", "1"));
    let repository = repo.open();
    for revision in ["nothing", "main:a", "main^{tree}", "", "--all", "-h", "^main", "main..main"] {
        let error = repository.resolve(revision).unwrap_err();
        assert!(matches!(error, GitError::BadRevision { .. }), "{revision}: {error}");
    }
}

#[test]
fn revisions_in_every_usual_form_name_a_commit() {
    let mut repo = Repo::new();
    let first = repo.commit(commit().file(b"a", "1"));
    let second = repo.commit(commit().file(b"a", "2"));
    repo.git(["tag", "-a", "-m", "annotated", "v1", "main~1"]);
    let repository = repo.open();
    for revision in ["v1", "HEAD~1", "main^", first.as_str(), &first.as_str()[..12]] {
        assert_eq!(repository.resolve(revision).unwrap(), first, "{revision}");
    }
    assert_eq!(repository.resolve("HEAD").unwrap(), second);
}

#[test]
fn a_missing_object_is_an_error_and_not_a_shorter_list() {
    let mut repo = Repo::new();
    repo.commit(commit().file(b"a", "1"));
    repo.commit(commit().file(b"dir/a", "2"));
    let head = repo.commit(commit().file(b"a", "3"));
    let loose = TempDir::new().unwrap();
    // Unpack, then lose the folder `dir` of the second commit.
    for pack in std::fs::read_dir(repo.path().join("objects/pack")).unwrap() {
        let pack = pack.unwrap().path();
        std::fs::rename(&pack, loose.path().join(pack.file_name().unwrap())).unwrap();
    }
    for pack in std::fs::read_dir(loose.path()).unwrap() {
        let pack = pack.unwrap().path();
        if pack.extension().is_some_and(|e| e == "pack") {
            let bytes = std::fs::read(pack).unwrap();
            super::repo::git_in(repo.path(), &["unpack-objects", "-q"], &bytes);
        }
    }
    let lost = repo.git(["rev-parse", "main~1:dir"]);
    let object = repo.path().join("objects").join(&lost[..2]).join(&lost[2..]);
    std::fs::remove_file(object).unwrap();
    let history = super::read(&repo.open(), None, &head).unwrap_err();
    let tree = repo.open().tree(&head).unwrap().find_map(Result::err).unwrap();
    for error in [history, tree] {
        assert!(matches!(&error, GitError::Failed { said, .. } if said.contains(&lost)), "{error}");
    }
}

#[test]
fn every_error_says_what_to_do() {
    let id = Repo::new().commit(commit());
    for error in [
        GitError::NotInstalled,
        refused(Path::new("/does/not/exist")),
        GitError::RewrittenHistory { read: id.clone(), wanted: id },
    ] {
        assert!(error.advice().ends_with('.') && !error.to_string().ends_with('.'), "{error}");
    }
}
