//! Smoke run of the example `git_history`: this repository's history, verified against git.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::examples;
use super::scratch::Scratch;
use crate::workspace::{capture, git, root, without_git_environment};

pub(crate) fn check() -> Result<(), String> {
    let program = examples::build_one("git_history")?;
    let scratch = Scratch::new("git-history")?;
    let repository = repository(&scratch)?;
    let mut command = Command::new(program);
    command.arg(&repository).arg("--database").arg(scratch.path().join("history.db"));
    without_git_environment(&mut command);

    // Twice with one database: the second run has nothing new to read and must verify as well.
    for run in ["first run", "second run"] {
        let printed = capture(&mut command)?;
        match printed.lines().last() {
            Some(line) if line.starts_with("verified:") => println!("{run}: {line}"),
            _ => return Err(format!("no line `verified:` at the end of the {run}:\n{printed}")),
        }
    }
    Ok(())
}

/// This repository, or a small one where this is not a complete clone.
///
/// Continuous integration clones without history and an archive has none at all; the example
/// refuses both by design.
fn repository(scratch: &Scratch) -> Result<PathBuf, String> {
    let is_shallow = capture(git(root()).args(["rev-parse", "--is-shallow-repository"]));
    if is_shallow.is_ok_and(|answer| answer.trim() == "false") {
        return Ok(root().to_owned());
    }
    println!("(not a complete clone: a small repository takes its place)");
    let folder = scratch.path().join("repository");
    small_repository(&folder)?;
    Ok(folder)
}

/// Three commits that add, change and remove files.
fn small_repository(folder: &Path) -> Result<(), String> {
    let write = |file: &str, text: &str| {
        fs::write(folder.join(file), text).map_err(|why| format!("cannot write {file}: {why}"))
    };
    fs::create_dir_all(folder.join("notes"))
        .map_err(|why| format!("cannot create {}: {why}", folder.display()))?;
    scratch_git(folder, &["init", "--quiet"])?;

    write("README", "A small history.\n")?;
    write("notes/one", "1\n")?;
    commit_all(folder, "Begin")?;

    write("notes/one", "one\n")?;
    write("notes/two", "2\n")?;
    commit_all(folder, "Change a file and add another")?;

    scratch_git(folder, &["rm", "--quiet", "notes/one"])?;
    commit_all(folder, "Remove a file")
}

fn commit_all(folder: &Path, message: &str) -> Result<(), String> {
    scratch_git(folder, &["add", "--all"])?;
    scratch_git(folder, &["commit", "--quiet", "--message", message])
}

/// Git with an author of its own and none of the user's settings (signing, hooks, templates).
fn scratch_git(folder: &Path, words: &[&str]) -> Result<(), String> {
    let mut command = git(folder);
    command
        .args(["-c", "user.name=Smoke Run", "-c", "user.email=smoke@example.org"])
        .args(words)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null");
    capture(&mut command).map(drop)
}
