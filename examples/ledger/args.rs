//! The command line.

use std::ffi::OsString;
use std::time::Duration;

use rederive_examples::Place;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
A double-entry ledger as a web service. Postings are events in a log; accounts and entries are
derived from them, and every reply shows its own write.

Usage: ledger --database FILE|URL [--listen ADDR] [--lease SECONDS]

  --database FILE    the SQLite database; created if it does not exist
  --database URL     a PostgreSQL database: postgres://USER@HOST:PORT/NAME;
                     a password is better kept in PGPASSWORD or ~/.pgpass
  --listen ADDR      host and port to listen on; 127.0.0.1:8080 if not given,
                     port 0 takes a free one
  --lease SECONDS    how long another ledger on the same database waits for
                     this one when it is killed; 10 if not given
  -h, --help         print this and stop

It prints `listening on http://HOST:PORT` once it takes requests, and stops on SIGTERM and SIGINT
after the requests under way are answered. The result is 0 then, and 2 if it could not start.
";

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Help,
    Serve(Args),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Args {
    pub(crate) database: Place,
    pub(crate) listen: String,
    pub(crate) lease: Duration,
}

/// Reads the arguments, without the program's name.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Request, lexopt::Error> {
    use lexopt::prelude::*;

    let mut parser = lexopt::Parser::from_args(args);
    let (mut database, mut listen, mut lease) = (None, None, None);
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Request::Help),
            Long("database") if database.is_none() => {
                database = Some(Place::from(parser.value()?));
            }
            Long("listen") if listen.is_none() => listen = Some(parser.value()?.string()?),
            Long("lease") if lease.is_none() => lease = Some(parser.value()?.parse()?),
            other => return Err(other.unexpected()),
        }
    }
    let database = database.ok_or("the argument '--database FILE|URL' is missing")?;
    let lease =
        Duration::try_from_secs_f64(lease.unwrap_or(10.0)).map_err(|why| why.to_string())?;
    Ok(Request::Serve(Args {
        database,
        listen: listen.unwrap_or_else(|| "127.0.0.1:8080".to_owned()),
        lease,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Request, String> {
        parse(args.iter().map(OsString::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn arguments_may_stand_in_any_order() {
        let lease = Duration::from_millis(500);
        let expected = Request::Serve(Args {
            database: Place::File("x.db".into()),
            listen: "[::1]:0".into(),
            lease,
        });
        for args in [
            &["--database", "x.db", "--lease", "0.5", "--listen", "[::1]:0"][..],
            &["--listen=[::1]:0", "--lease=.5", "--database=x.db"],
        ] {
            assert_eq!(parsed(args).as_ref(), Ok(&expected));
        }
    }

    #[test]
    fn only_this_machine_is_served_unless_told_otherwise() {
        let Ok(Request::Serve(args)) = parsed(&["--database", "x.db"]) else { panic!("refused") };
        assert_eq!((args.listen.as_str(), args.lease.as_secs()), ("127.0.0.1:8080", 10));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for args in [
            &[][..],
            &["--listen", "127.0.0.1:0"],
            &["--database"],
            &["--database", "x", "--database", "y"],
            &["x.db"],
            &["--database", "x", "--port", "1"],
            &["--database", "x", "--lease", "-1"],
            &["--database", "x", "--lease", "long"],
        ] {
            assert!(parsed(args).is_err(), "{args:?}");
        }
    }

    #[test]
    fn help_is_help_wherever_it_stands() {
        assert_eq!(parsed(&["--database", "x", "--help"]), Ok(Request::Help));
        assert_eq!(parsed(&["-h"]), Ok(Request::Help));
    }
}
