//! The history of a git repository as two derived tables, checked against git.
//!
//! A newcomer's way through the program is the way of the data:
//! [`git`] (what the repository says) → [`event`] (one event per changed path) → [`derive`]
//! (the tables) → [`verify`] (equal to `git ls-tree`?) → [`report`].

mod args;
mod database_path;
mod derive;
mod event;
mod failure;
mod fold;
mod git;
mod progress;
mod report;
mod verify;

use std::io::Write as _;
use std::process::ExitCode;

use args::{Args, Request};
use failure::Failure;
use git::Repository;

fn main() -> ExitCode {
    let outcome = match args::parse(std::env::args_os().skip(1)) {
        Ok(Request::Help) => print(args::HELP).map(|()| true),
        Ok(Request::Run(args)) => run(&args),
        Err(error) => Err(Failure::new(error, "`--help` lists the arguments.")),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(failure) => {
            // If not even stderr can be written to, the exit code must do.
            let _ = writeln!(std::io::stderr(), "{failure}");
            ExitCode::from(2)
        }
    }
}

/// Whether the derived files are those of git.
fn run(args: &Args) -> Result<bool, Failure> {
    let repository = Repository::open(&args.repository)?;
    let to = repository.resolve(&args.revision)?;
    let Some(database) = args.database.clone().or_else(|| database_path::default_for(&repository))
    else {
        return Err(Failure::new(
            "there is no home folder to keep the database in",
            "Name a file with `--database FILE`.",
        ));
    };
    print(&format!("repository {}, up to commit {to}\n", repository.git_dir().display()))?;
    print(&format!("database {} (not written yet)\n", database.display()))?;

    let fold = derive::derive(&repository, &to)?;
    let verdict = derive::verify(&fold, &repository, &to)?;
    print(&format!(
        "\n{}\n{}\n{verdict}",
        report::most_changed_files(&derive::most_changed_files(&fold)),
        report::most_active_authors(&derive::most_active_authors(&fold)),
    ))?;
    Ok(verdict.is_equal())
}

/// To stdout. A reader that has gone away, as `head` does, is no failure.
fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::new(
            format!("the report cannot be written: {error}"),
            "Point stdout somewhere else and run again.",
        )),
        _ => Ok(()),
    }
}
