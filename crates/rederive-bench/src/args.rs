//! The command line.

use std::{ffi::OsString, path::PathBuf};

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Measures Rederive beside the best hand-written code for the same job.

Usage: rederive-bench [--quick|--smoke] [--json FILE] [--svg FILE] [--store STORE] [NAME...]

  --quick          smaller numbers and fewer rounds: under two minutes, for a first look
  --smoke          tiny numbers, once each: whether it works, not how fast
  --json FILE      also write the results as JSON
  --svg FILE       also draw how the cost grows, if that is measured
  --store STORE    sqlite (if not given), postgres or memory
  NAME...          only the measures whose names begin so; all if none is given
  -h, --help       print this and stop

The files go to the folder for temporary files: set TMPDIR to measure another disk. For PostgreSQL, a
throwaway server is started there, unless REDERIVE_TEST_POSTGRES_URL names one (of a role that may
create databases, on a server that lets 300 clients in: with fewer, a floor has fewer, too).
";

/// Where the log and the derived state are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    Sqlite,
    Postgres,
    Memory,
}

impl Store {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Store::Sqlite => "sqlite",
            Store::Postgres => "postgres",
            Store::Memory => "memory",
        }
    }
}

/// How much is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    Full,
    Quick,
    Smoke,
}

impl Scale {
    /// What belongs to it.
    pub(crate) fn of<T>(self, full: T, quick: T, smoke: T) -> T {
        match self {
            Scale::Full => full,
            Scale::Quick => quick,
            Scale::Smoke => smoke,
        }
    }
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Request {
    Help,
    /// One side of a measure, which the process that asked for it writes to the input.
    Job,
    Run(Args),
}

#[derive(Debug)]
pub(crate) struct Args {
    pub(crate) scale: Scale,
    pub(crate) json: Option<PathBuf>,
    pub(crate) svg: Option<PathBuf>,
    pub(crate) store: Store,
    pub(crate) names: Vec<String>,
}

impl Args {
    /// Whether a measure of this name was asked for.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|begin| name.starts_with(begin))
    }
}

/// Reads the arguments, without the program's name.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Request, lexopt::Error> {
    use lexopt::prelude::*;

    let mut parser = lexopt::Parser::from_args(args);
    let mut args =
        Args { scale: Scale::Full, json: None, svg: None, store: Store::Sqlite, names: Vec::new() };
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Request::Help),
            Long("job") => return Ok(Request::Job),
            Long("quick") => args.scale = Scale::Quick,
            Long("smoke") => args.scale = Scale::Smoke,
            Long("json") => args.json = Some(parser.value()?.into()),
            Long("svg") => args.svg = Some(parser.value()?.into()),
            Long("store") => {
                args.store = match parser.value()?.string()?.as_str() {
                    "sqlite" => Store::Sqlite,
                    "postgres" => Store::Postgres,
                    "memory" => Store::Memory,
                    other => return Err(format!("no store is called {other:?}").into()),
                }
            }
            Value(name) => args.names.push(name.string()?),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Request::Run(args))
}
