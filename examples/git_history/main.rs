//! The history of a git repository as two derived tables, checked against git.
//!
//! A newcomer's way through the program is the way of the data:
//! [`git`] (what the repository says) → [`event`] (one event per changed path) → [`derive`]
//! (the tables) → [`verify`] (equal to `git ls-tree`?) → [`report`]. [`database`] is SQLite or PostgreSQL.

mod args;
mod database;
mod database_path;
mod derive;
mod event;
mod failure;
mod floor;
#[cfg(test)]
mod fold;
mod git;
mod reducers;
mod report;
mod tables;
mod verify;

use std::io::Write as _;
use std::process::ExitCode;

use args::{Args, Request};
use database::Database;
use failure::Failure;
use git::Repository;
use rederive_examples::Place;
use verify::Verification;

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
    print(&format!("repository {}, up to commit {to}\n", repository.git_dir().display()))?;
    if args.bench {
        print(&floor::compare(&repository, &to)?)?;
        return Ok(true);
    }
    let place = match &args.database {
        Some(place) => place.clone(),
        None => Place::File(database_path::default_for(&repository).ok_or_else(|| {
            Failure::new(
                "there is no home folder to keep the database in",
                "Name a file with `--database FILE`.",
            )
        })?),
    };
    let database = Database::open(&place)?;
    print(&format!("database {}\n", database.name(&place)))?;
    database.derive(&repository, &to, &args.work)?;

    let mut verification = Verification::against(repository.tree(&to)?)?;
    let (files, authors) = database.read(|tables| {
        tables.for_each_file(&mut |path, entry| verification.row(path, entry))?;
        Ok((tables.most_changed_files()?, tables.most_active_authors()?))
    })?;
    let verdict = verification.finish();
    print(&format!(
        "\n{}\n{}\n{verdict}",
        report::most_changed_files(&files),
        report::most_active_authors(&authors),
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
