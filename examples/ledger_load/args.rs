//! The command line.

use std::ffi::OsString;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Puts the example ledger under load and checks that every reply shows its own write.

Usage: ledger_load --url URL [--clients N] [--seconds N]

  --url URL      where the ledger listens, as it prints it; on this machine only
  --clients N    how many clients at once, each with a connection of its own; 64 if not given
  --seconds N    for how long; 30 if not given
  -h, --help     print this and stop

It opens accounts of its own, so it can be run on a ledger in use. The result is 0 if all replies
were right, 1 if not, and 2 if the load could not be started.
";

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Help,
    Load(Args),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Args {
    pub(crate) address: SocketAddr,
    pub(crate) clients: usize,
    pub(crate) time: Duration,
}

/// Reads the arguments, without the program's name.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Request, lexopt::Error> {
    use lexopt::prelude::*;

    let mut parser = lexopt::Parser::from_args(args);
    let (mut address, mut clients, mut seconds) = (None, 64, 30);
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Request::Help),
            Long("url") if address.is_none() => {
                address = Some(parser.value()?.parse_with(loopback)?);
            }
            Long("clients") => clients = parser.value()?.parse_with(number)?,
            Long("seconds") => seconds = parser.value()?.parse_with(number)?,
            other => return Err(other.unexpected()),
        }
    }
    let address = address.ok_or("the argument '--url URL' is missing")?;
    let time = Duration::from_secs(seconds.into());
    Ok(Request::Load(Args { address, clients: clients as usize, time }))
}

fn number(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| (1..=100_000).contains(number));
    number.ok_or_else(|| "it must be a number from 1 to 100000".to_owned())
}

/// The address of `http://HOST:PORT`, if it is on this machine: load is nothing to send to others.
fn loopback(url: &str) -> Result<SocketAddr, String> {
    let rest = url.strip_prefix("http://").ok_or("it must begin with http://")?;
    let host = rest.strip_suffix('/').unwrap_or(rest);
    let addresses = host.to_socket_addrs().map_err(|why| format!("{host:?}: {why}"))?;
    let mut local = addresses.filter(|address| address.ip().is_loopback());
    local.next().ok_or_else(|| "it must be on this machine (127.0.0.1, [::1])".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Request, String> {
        parse(args.iter().map(OsString::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn the_address_is_taken_from_the_url() {
        for url in ["http://127.0.0.1:8080", "http://127.0.0.1:8080/"] {
            let Ok(Request::Load(args)) = parsed(&["--url", url]) else { panic!("refused") };
            assert_eq!(args.address, SocketAddr::from(([127, 0, 0, 1], 8080)));
            assert_eq!((args.clients, args.time), (64, Duration::from_secs(30)));
        }
    }

    #[test]
    fn what_is_not_understood_or_not_on_this_machine_is_refused() {
        for args in [
            &[][..],
            &["--url", "127.0.0.1:8080"],
            &["--url", "http://192.0.2.1:80"],
            &["--url", "http://127.0.0.1"],
            &["--url", "http://127.0.0.1:80/ledger"],
            &["--url", "http://127.0.0.1:80", "--clients", "0"],
            &["--url", "http://127.0.0.1:80", "--seconds", "x"],
        ] {
            assert!(parsed(args).is_err(), "{args:?}");
        }
    }
}
