//! [`Expected`]: where a stream must stand for an append to go through.

use std::fmt;

/// Where a stream must stand for an append to go through.
///
/// The version of a stream is the number of its last event, counted from one; zero for a stream
/// without events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Expected {
    /// Anywhere.
    Any,
    /// The stream has no events yet.
    NoStream,
    /// The stream's last event has this number.
    Version(u64),
}

impl Expected {
    pub(crate) fn admits(self, actual: u64) -> bool {
        match self {
            Expected::Any => true,
            Expected::NoStream => actual == 0,
            Expected::Version(version) => actual == version,
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expected::Any => f.write_str("any version"),
            Expected::NoStream => f.write_str("version 0"),
            Expected::Version(version) => write!(f, "version {version}"),
        }
    }
}
