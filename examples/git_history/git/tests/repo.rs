//! Real repositories in a temporary folder, written with `git fast-import`, which takes any
//! bytes as path or name and needs no work tree.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::git::{CommitId, Repository};

pub(super) const FILE: &str = "100644";
pub(super) const EXECUTABLE: &str = "100755";
pub(super) const LINK: &str = "120000";
pub(super) const SUBMODULE: &str = "160000";

/// A bare repository whose HEAD is the branch `main`. Its commits have fixed times.
pub(super) struct Repo {
    folder: TempDir,
    commits: u32,
}

/// A commit to be made.
#[derive(Clone, Debug)]
pub(super) struct New {
    branch: &'static str,
    author: Vec<u8>,
    merged: Vec<&'static str>,
    changes: Vec<u8>,
}

/// A commit on `main` by Ann that changes nothing yet.
pub(super) fn commit() -> New {
    New {
        branch: "main",
        author: b"Ann <ann@example.org>".to_vec(),
        merged: Vec::new(),
        changes: Vec::new(),
    }
}

impl New {
    pub(super) fn on(self, branch: &'static str) -> Self {
        Self { branch, ..self }
    }

    /// `NAME <MAIL>`.
    pub(super) fn by(self, author: &[u8]) -> Self {
        Self { author: author.to_vec(), ..self }
    }

    pub(super) fn merging(mut self, branch: &'static str) -> Self {
        self.merged.push(branch);
        self
    }

    pub(super) fn put(mut self, mode: &str, path: &[u8], content: &str) -> Self {
        let head = format!("M {mode} inline ");
        let data = format!("\ndata {}\n{content}\n", content.len());
        self.changes.extend([head.as_bytes(), &quoted(path), data.as_bytes()].concat());
        self
    }

    pub(super) fn file(self, path: &[u8], content: &str) -> Self {
        self.put(FILE, path, content)
    }

    /// A submodule at the made-up commit `id`.
    pub(super) fn submodule(mut self, path: &[u8], id: &str) -> Self {
        let head = format!("M {SUBMODULE} {id} ");
        self.changes.extend([head.as_bytes(), &quoted(path), b"\n"].concat());
        self
    }

    pub(super) fn delete(mut self, path: &[u8]) -> Self {
        self.changes.extend([b"D ".as_slice(), &quoted(path), b"\n"].concat());
        self
    }
}

/// A path in quotes, every byte in octal: the form that takes any path.
fn quoted(path: &[u8]) -> Vec<u8> {
    let octal: String = path.iter().map(|byte| format!("\\{byte:03o}")).collect();
    format!("\"{octal}\"").into_bytes()
}

impl Repo {
    pub(super) fn new() -> Self {
        Self::with_format("sha1")
    }

    /// `sha1` or `sha256`.
    pub(super) fn with_format(format: &str) -> Self {
        let repo = Self { folder: TempDir::new().unwrap(), commits: 0 };
        let format = format!("--object-format={format}");
        repo.git(["init", "--quiet", "--bare", "--initial-branch=main", &format]);
        repo
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn open(&self) -> Repository {
        Repository::open(self.path()).unwrap()
    }

    /// Runs git here and returns what it printed.
    pub(super) fn git<const N: usize>(&self, args: [&str; N]) -> String {
        git_in(self.path(), &args, b"")
    }

    pub(super) fn commit(&mut self, new: New) -> CommitId {
        self.commits += 1;
        let (branch, time) = (new.branch, 1_700_000_000 + self.commits);
        let mut stream = format!("commit refs/heads/{branch}\nauthor ").into_bytes();
        stream.extend(&new.author);
        stream.extend(
            format!(" {time} +0100\ncommitter C <c@example.org> {time} +0000\ndata 0\n").bytes(),
        );
        if self.has(branch) {
            stream.extend(format!("from refs/heads/{branch}^0\n").bytes());
        }
        for merged in new.merged {
            stream.extend(format!("merge refs/heads/{merged}^0\n").bytes());
        }
        stream.extend(new.changes);
        git_in(self.path(), &["fast-import", "--quiet", "--force"], &stream);
        CommitId::new(&self.git(["rev-parse", &format!("refs/heads/{branch}")])).unwrap()
    }

    /// Stores an object exactly as given and returns its id.
    pub(super) fn object(&self, kind: &str, bytes: &[u8]) -> String {
        git_in(self.path(), &["hash-object", "-t", kind, "-w", "--stdin"], bytes)
    }

    /// Starts `branch` where `at` is.
    pub(super) fn branch(&self, branch: &str, at: &str) {
        self.git(["branch", "--force", branch, at]);
    }

    pub(super) fn has(&self, branch: &str) -> bool {
        let names = self.git(["for-each-ref", "--format=%(refname)", "refs/heads"]);
        names.lines().any(|name| name == format!("refs/heads/{branch}"))
    }

    /// A clone with only the last commit.
    pub(super) fn shallow_clone(&self) -> (TempDir, PathBuf) {
        let folder = TempDir::new().unwrap();
        let (from, to) = (format!("file://{}", self.path().display()), folder.path().join("clone"));
        let to_text = to.display().to_string();
        git_in(folder.path(), &["clone", "--quiet", "--bare", "--depth=1", &from, &to_text], b"");
        (folder, to)
    }
}

/// Runs git in `folder`, untouched by the configuration of whoever runs the tests.
pub(super) fn git_in(folder: &Path, args: &[&str], input: &[u8]) -> String {
    let mut git = Command::new("git")
        .args(args)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .envs(["GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"].map(|name| (name, "Test")))
        .envs(["GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"].map(|name| (name, "t@example.org")))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    git.stdin.take().unwrap().write_all(input).unwrap();
    let output = git.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {args:?}: {said}");
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}
