//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use rederive_examples::Place;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Reads the first-parent history of a git repository into an event log, derives two tables from
it, files and authors, and checks the files against git.

Usage: git_history [REPO] [--database FILE|URL] [--revision REV] [--rebuild] [--portion N] [--bench]

  REPO               a folder of the repository; the current folder if not given
  --database FILE    the SQLite database; a file per repository in the cache folder of the
                     system if not given
  --database URL     a PostgreSQL database: postgres://USER@HOST:PORT/NAME, for one repository;
                     a password is better kept in PGPASSWORD or ~/.pgpass
  --revision REV     the branch, tag or commit to read up to; HEAD if not given
  --rebuild          derive both tables anew from the event log
  --portion N        read and commit about N events at a time
  --bench            derive into a temporary SQLite database, beside a hand-written loop that does the
                     same work, and print how fast both are
  -h, --help         print this and stop

Run again, it reads only what is new. It can be interrupted at any time.
The result is 0 if the files equal git's, 1 if not, and 2 if anything else went wrong.
";

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Help,
    Run(Args),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Args {
    pub(crate) repository: PathBuf,
    /// `None`: the one of the cache folder.
    pub(crate) database: Option<Place>,
    pub(crate) revision: String,
    pub(crate) work: Work,
    pub(crate) bench: bool,
}

/// How the tables are derived.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    /// From the beginning, whatever is there.
    pub(crate) rebuild: bool,
    /// About how many events at a time; `None` for the defaults.
    pub(crate) portion: Option<usize>,
}

/// Reads the arguments, without the program's name.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Request, lexopt::Error> {
    use lexopt::prelude::*;

    let mut parser = lexopt::Parser::from_args(args);
    let (mut repository, mut database, mut revision) = (None, None, None);
    let (mut bench, mut work) = (false, Work::default());
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Request::Help),
            Long("database") if database.is_none() => {
                database = Some(Place::from(parser.value()?));
            }
            Long("revision") if revision.is_none() => revision = Some(parser.value()?.string()?),
            Long("rebuild") => work.rebuild = true,
            Long("portion") if work.portion.is_none() => {
                work.portion = Some(parser.value()?.parse()?);
            }
            Long("bench") => bench = true,
            Value(path) if repository.is_none() => repository = Some(PathBuf::from(path)),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Request::Run(Args {
        repository: repository.unwrap_or_else(|| PathBuf::from(".")),
        database,
        revision: revision.unwrap_or_else(|| "HEAD".to_owned()),
        work,
        bench,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Request, String> {
        parse(args.iter().map(OsString::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn without_arguments_the_current_folder_is_read_up_to_head() {
        let Request::Run(args) = parsed(&[]).unwrap() else { panic!("not a run") };
        assert_eq!(args.repository, PathBuf::from("."));
        assert_eq!((args.database, args.revision.as_str()), (None, "HEAD"));
    }

    #[test]
    fn arguments_may_stand_in_any_order() {
        let expected = Request::Run(Args {
            repository: "repo".into(),
            database: Some(Place::File("x.db".into())),
            revision: "v1".to_owned(),
            work: Work::default(),
            bench: false,
        });
        for args in [
            &["repo", "--database", "x.db", "--revision", "v1"][..],
            &["--revision=v1", "--database=x.db", "repo"],
            &["--revision=v1", "--database=x.db", "--", "repo"],
        ] {
            assert_eq!(parsed(args).unwrap(), expected);
        }
    }

    #[test]
    fn a_rebuild_may_be_done_in_portions() {
        let Request::Run(args) = parsed(&["--rebuild", "--portion", "7"]).unwrap() else {
            panic!("not a run")
        };
        assert_eq!(args.work, Work { rebuild: true, portion: Some(7) });
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for args in [
            &["a", "b"][..],
            &["--data", "x"],
            &["--database"],
            &["--revision", "a", "--revision", "b"],
            &["-x"],
            &["--portion", "many"],
        ] {
            assert!(parsed(args).is_err(), "{args:?}");
        }
    }

    #[test]
    fn help_is_help_wherever_it_stands() {
        assert_eq!(parsed(&["repo", "--help"]), Ok(Request::Help));
        assert_eq!(parsed(&["-h"]), Ok(Request::Help));
    }
}
