//! The repository: found, checked to be readable, and asked what a revision means.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::command::git;
use super::entry::CommitId;
use super::error::GitError;
use super::process::Call;

/// A repository with its whole history: shallow clones are refused by [`Repository::open`].
#[derive(Debug)]
pub(crate) struct Repository {
    git_dir: PathBuf,
}

impl Repository {
    /// Opens the repository which `path` is in: a work tree or any folder of it, a bare
    /// repository, or a `.git` folder. Always the whole repository is meant.
    pub(crate) fn open(path: &Path) -> Result<Self, GitError> {
        if !path.exists() {
            return Err(GitError::NoSuchPath { path: path.to_owned() });
        }
        let folder = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
        let git_dir = discover(folder)?;
        let git_dir = git_dir
            .canonicalize()
            .map_err(|source| GitError::Io { command: "rev-parse", source })?;
        let repository = Self { git_dir };
        let shallow = repository.git("rev-parse").args(["--is-shallow-repository"]).text()?;
        if shallow == "true" {
            return Err(GitError::Shallow { git_dir: repository.git_dir });
        }
        Ok(repository)
    }

    /// The folder with the repository's data, absolute and without symbolic links.
    pub(crate) fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// What people call the repository: the folder around `.git`, or the bare repository's own.
    pub(crate) fn name(&self) -> String {
        let own = self.git_dir.file_name().unwrap_or(OsStr::new(""));
        let folder =
            if own == ".git" { self.git_dir.parent().and_then(Path::file_name) } else { None };
        let name = folder.unwrap_or(own).to_string_lossy();
        name.strip_suffix(".git").unwrap_or(&name).to_owned()
    }

    /// The commit which `revision` names: a branch, a tag, an id, `HEAD~3`, …
    pub(crate) fn resolve(&self, revision: &str) -> Result<CommitId, GitError> {
        let bad = |said: String| GitError::BadRevision { revision: revision.to_owned(), said };
        // No revision begins with a hyphen; git would take it for an option.
        if revision.is_empty() || revision.starts_with('-') {
            return Err(bad("not a revision".to_owned()));
        }
        let commit = format!("{revision}^{{commit}}");
        match self.git("rev-parse").args(["--verify", &commit]).text() {
            Ok(id) => CommitId::new(&id).ok_or_else(|| bad(format!("git answered `{id}`"))),
            Err(GitError::Failed { .. }) if revision == "HEAD" && self.head_is_unborn() => {
                Err(self.unborn_head()?)
            }
            // All that git says of an unknown name is this.
            Err(GitError::Failed { said, .. }) if said.contains("Needed a single revision") => {
                Err(bad("git knows no such revision".to_owned()))
            }
            Err(GitError::Failed { said, .. }) => Err(bad(format!("git says: {said}"))),
            Err(other) => Err(other),
        }
    }

    /// A git command in this repository.
    pub(super) fn git(&self, command: &'static str) -> Call {
        let mut git = git();
        git.arg("--git-dir").arg(&self.git_dir);
        Call::new(git, command)
    }

    fn head_is_unborn(&self) -> bool {
        // Fails for an unborn branch; succeeds, whatever it points to, for a broken one.
        self.git("rev-parse").args(["--verify", "--quiet", "HEAD"]).text().is_err()
    }

    fn unborn_head(&self) -> Result<GitError, GitError> {
        let git_dir = self.git_dir.clone();
        let any = self.git("for-each-ref").args(["--count=1"]).text()?;
        if any.is_empty() {
            return Ok(GitError::Empty { git_dir });
        }
        let head = self.git("symbolic-ref").args(["HEAD"]).text()?;
        let branch = head.strip_prefix("refs/heads/").unwrap_or(&head).to_owned();
        Ok(GitError::UnbornHead { git_dir, branch })
    }
}

fn discover(folder: &Path) -> Result<PathBuf, GitError> {
    let mut command = git();
    command.arg("-C").arg(folder);
    match Call::new(command, "rev-parse").args(["--absolute-git-dir"]).bytes() {
        Ok(line) => Ok(PathBuf::from(os_string(line))),
        Err(GitError::Failed { said, .. }) if said.contains("not a git repository") => {
            Err(GitError::NotARepository { path: folder.to_owned() })
        }
        Err(other) => Err(other),
    }
}

#[cfg(unix)]
fn os_string(bytes: Vec<u8>) -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(bytes)
}

#[cfg(not(unix))]
fn os_string(bytes: Vec<u8>) -> OsString {
    String::from_utf8_lossy(&bytes).into_owned().into()
}
