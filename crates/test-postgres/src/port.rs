//! [`Port`]: a port that no other cluster of ours takes, also while its server is down; and the URL of
//! a database on one.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::{Ipv4Addr, TcpListener, UdpSocket},
};

/// Below what systems hand out for outgoing connections: one of those could take the port of a
/// server that is about to be started again.
const RANGE: std::ops::Range<u16> = 15_000..32_000;

/// A port on 127.0.0.1.
pub(crate) struct Port {
    number: u16,
    /// The UDP port of the same number, which serves nobody: whoever holds it has the number.
    _reservation: UdpSocket,
}

impl Port {
    pub(crate) fn reserve() -> Result<Self, String> {
        let random = RandomState::new();
        let pick = |attempt: u32| {
            let span = u64::from(RANGE.end - RANGE.start);
            RANGE.start + u16::try_from(random.hash_one(attempt) % span).unwrap_or(0)
        };
        (0..200)
            .find_map(|attempt| Self::try_reserve(pick(attempt)))
            .ok_or_else(|| format!("no free port among {RANGE:?}"))
    }

    fn try_reserve(number: u16) -> Option<Self> {
        let reservation = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
        TcpListener::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
        Some(Self { number, _reservation: reservation })
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }
}

/// The URL of a database for the superuser, who needs no password, by way of this port.
pub(crate) fn url(port: u16, database: &str) -> String {
    format!("postgres://postgres@127.0.0.1:{port}/{database}")
}

#[cfg(test)]
mod tests {
    use super::Port;

    #[test]
    fn a_port_that_is_reserved_is_nobody_elses() {
        let one = Port::reserve().ok().map(|port| (port.number(), port));
        let taken = one.as_ref().map(|(number, _)| Port::try_reserve(*number).is_none());
        assert_eq!(taken, Some(true));
        let number = one.map(|(number, _)| number);
        assert!(number.and_then(Port::try_reserve).is_some());
    }
}
