//! What the examples share.

use std::{ffi::OsString, path::PathBuf};

/// Where a database is, as `--database` names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file of SQLite's.
    File(PathBuf),
    /// The URL of a database of PostgreSQL's. It may hold a password.
    Server(String),
}

impl From<OsString> for Place {
    /// What begins as a URL of PostgreSQL's is one; all else is a file.
    fn from(named: OsString) -> Self {
        match named.into_string() {
            Ok(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                Place::Server(url)
            }
            Ok(file) => Place::File(file.into()),
            Err(file) => Place::File(file.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_of_a_server_is_told_from_a_file() {
        for url in ["postgres://me@host/bank", "postgresql:///bank?host=/run/postgresql"] {
            assert_eq!(Place::from(OsString::from(url)), Place::Server(url.to_owned()));
        }
        for file in ["bank.db", "./postgres://bank.db", "postgres"] {
            assert_eq!(Place::from(OsString::from(file)), Place::File(file.into()));
        }
    }
}
