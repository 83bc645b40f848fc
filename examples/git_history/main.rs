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
mod floor;
#[cfg(test)]
mod fold;
mod git;
mod reducers;
mod report;
mod tables;
mod verify;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use args::{Args, Request};
use failure::Failure;
use git::Repository;
use rederive::diesel::{SqliteDatabase, SqliteError};
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
    let Some(path) = args.database.clone().or_else(|| database_path::default_for(&repository))
    else {
        return Err(Failure::new(
            "there is no home folder to keep the database in",
            "Name a file with `--database FILE`.",
        ));
    };
    print(&format!("database {}\n", path.display()))?;
    let database = open(&path)?;
    actix_rt::System::new().block_on(derive::derive(&repository, &to, &database, &args.work))?;

    let mut verification = Verification::against(repository.tree(&to)?)?;
    let (files, authors) = database
        .read(|connection| {
            tables::for_each_file(connection, |path, entry| verification.row(path, entry))?;
            Ok((tables::most_changed_files(connection)?, tables::most_active_authors(connection)?))
        })
        .map_err(unusable)?;
    let verdict = verification.finish();
    print(&format!(
        "\n{}\n{}\n{verdict}",
        report::most_changed_files(&files),
        report::most_active_authors(&authors),
    ))?;
    Ok(verdict.is_equal())
}

/// Opens the database, with the two tables in it.
fn open(path: &Path) -> Result<SqliteDatabase, Failure> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| {
            let what = format!("the folder {} cannot be made: {error}", folder.display());
            Failure::new(what, "Name another file with `--database FILE`.")
        })?;
    }
    let database = SqliteDatabase::open(path).map_err(unusable)?;
    database.write(tables::create).map_err(unusable)?;
    Ok(database)
}

fn unusable(error: SqliteError) -> Failure {
    Failure::new(error, "Name another file with `--database FILE`, or mend this one.")
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
