//! The same history whatever the user has configured.

use super::repo::{FILE, Repo, commit};
use super::{read, verified};

/// A history with merges, renames, submodules and a first commit with files.
fn repo() -> Repo {
    let mut repo = Repo::new();
    repo.commit(commit().file(b"dir/a", "1\n2\n3\n4\n").file("ä".as_bytes(), "x"));
    repo.branch("side", "main");
    repo.commit(commit().on("side").put(FILE, b"b", "2").submodule(b"sub", &"1".repeat(40)));
    repo.commit(commit().delete(b"dir/a").file(b"moved", "1\n2\n3\n4\n"));
    repo.commit(commit().merging("side").file(b"b", "2").submodule(b"sub", &"1".repeat(40)));
    repo.commit(commit().submodule(b"sub", &"2".repeat(40)).by(b"Bob <bob@example.org>"));
    repo.commit(commit().file(b"dir/b", "1").by("Zoë <zoe@example.org>".as_bytes()));
    sign_head(&repo);
    repo
}

/// Puts a commit with a (worthless) signature on top.
fn sign_head(repo: &Repo) {
    let (head, tree) = (repo.git(["rev-parse", "main"]), repo.git(["rev-parse", "main^{tree}"]));
    let text = format!(
        "tree {tree}\nparent {head}\nauthor S <s@example.org> 1 +0000\n\
         committer S <s@example.org> 1 +0000\ngpgsig -----BEGIN SSH SIGNATURE-----\n \
         -----END SSH SIGNATURE-----\n\n"
    );
    repo.branch("main", &repo.object("commit", text.as_bytes()));
}

#[test]
fn settings_of_the_user_change_nothing() {
    let repo = repo();
    let plain = verified(&repo.open());
    let mailmap = repo.path().join("mailmap");
    std::fs::write(&mailmap, "Robert <bob@example.org>\n").unwrap();
    for (name, value) in [
        ("color.ui", "always"),
        ("core.abbrev", "7"),
        ("core.bare", "false"),
        ("core.quotePath", "true"),
        // The tests then run in a subfolder of a work tree.
        ("core.worktree", "/"),
        ("diff.external", "false"),
        ("diff.ignoreSubmodules", "all"),
        ("diff.orderFile", "/does/not/exist"),
        ("diff.relative", "true"),
        ("diff.renames", "copies"),
        ("diff.submodule", "log"),
        ("format.pretty", "oneline"),
        ("i18n.logOutputEncoding", "ISO-8859-1"),
        ("log.abbrevCommit", "true"),
        ("log.decorate", "full"),
        ("log.diffMerges", "combined"),
        ("log.follow", "true"),
        ("log.mailmap", "true"),
        ("log.showRoot", "false"),
        ("log.showSignature", "true"),
        ("mailmap.file", &mailmap.display().to_string()),
        ("notes.displayRef", "*"),
        ("submodule.sub.ignore", "all"),
    ] {
        repo.git(["config", name, value]);
        assert_eq!(verified(&repo.open()), plain, "{name} = {value}");
    }
}

#[test]
fn notes_replacements_and_grafts_change_nothing() {
    let mut repo = repo();
    let other = repo.commit(commit().on("other").file(b"other", "1"));
    let plain = verified(&repo.open());
    repo.git(["notes", "add", "-m", "a note", "HEAD"]);
    assert_eq!(verified(&repo.open()), plain);
    repo.git(["replace", "main~1", other.as_str()]);
    assert_eq!(verified(&repo.open()), plain);
    let graft = format!("{}\n", plain[2].id);
    std::fs::create_dir_all(repo.path().join("info")).unwrap();
    std::fs::write(repo.path().join("info/grafts"), graft).unwrap();
    assert_eq!(verified(&repo.open()), plain);
}

#[test]
fn a_declared_encoding_is_decoded() {
    let mut repo = Repo::new();
    repo.commit(commit());
    let tree = repo.git(["rev-parse", "main^{tree}"]);
    let head = format!("tree {tree}\nauthor Jos");
    let tail = b"\xe9 <j@example.org> 1 +0000\ncommitter C <c@example.org> 1 +0000\n\
                 encoding ISO-8859-1\n\n";
    let id = repo.object("commit", &[head.as_bytes(), tail].concat());
    repo.branch("latin", &id);
    let repository = repo.open();
    let latin = read(&repository, None, &repository.resolve("latin").unwrap()).unwrap();
    assert_eq!(latin[0].author, "José");
}

#[test]
fn a_folder_inside_the_work_tree_means_the_whole_repository() {
    let repo = repo();
    let plain = verified(&repo.open());
    let clone = tempfile::TempDir::new().unwrap();
    let from = repo.path().display().to_string();
    super::repo::git_in(clone.path(), &["clone", "--quiet", "-s", &from, "tree"], b"");
    let inside = clone.path().join("tree").join("deep");
    std::fs::create_dir(&inside).unwrap();
    let repository = crate::git::Repository::open(&inside).unwrap();
    assert_eq!(verified(&repository), plain);
    assert_eq!(repository.name(), "tree");
}
