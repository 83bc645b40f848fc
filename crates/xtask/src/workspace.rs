//! Where the workspace is, and how its tools are called from any folder.

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Output};

/// The folder of the workspace's `Cargo.toml`.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}

/// The cargo that runs this command, in the root of the workspace.
///
/// The environment is passed on, and `CARGO_TARGET_DIR` with it.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    cargo.current_dir(root());
    cargo
}

/// Git in `folder`, whatever repository the environment points at.
///
/// A git hook sets these variables; left alone, a commit meant for a scratch repository would
/// land in the user's own.
pub(crate) fn git(folder: &Path) -> Command {
    let mut git = Command::new("git");
    git.current_dir(folder);
    without_git_environment(&mut git);
    git
}

/// Lets `command` find its repository by folder alone.
pub(crate) fn without_git_environment(command: &mut Command) {
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"] {
        command.env_remove(variable);
    }
}

/// Runs `command` with its output on the terminal; anything but exit code 0 is an error.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|why| not_started(command, &why))?;
    if status.success() { Ok(()) } else { Err(format!("`{}`: {status}", shown(command))) }
}

/// Runs `command` and returns what it printed; anything but exit code 0 is an error that shows it.
pub(crate) fn capture(command: &mut Command) -> Result<String, String> {
    let Output { status, stdout, stderr } =
        command.output().map_err(|why| not_started(command, &why))?;
    let stdout = String::from_utf8_lossy(&stdout);
    if status.success() {
        return Ok(stdout.into_owned());
    }
    let stderr = String::from_utf8_lossy(&stderr);
    Err(format!("`{}`: {status}\n{stdout}{stderr}", shown(command)))
}

/// Whether a program of this name is found in `PATH`.
pub(crate) fn is_installed(program: &str) -> bool {
    let file = format!("{program}{}", env::consts::EXE_SUFFIX);
    env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(&file).is_file()))
}

pub(crate) fn not_started(command: &Command, why: &std::io::Error) -> String {
    format!("`{}` could not be started: {why}", shown(command))
}

/// The command line as a person would write it, the program without its folder.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(command.get_program());
    let words = std::iter::once(name).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
