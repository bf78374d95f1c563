//! Ports that stay one's own while nobody listens on them.

use std::fmt;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::ops::RangeInclusive;

/// Below the ports that Linux (from 32,768), macOS and Windows (from 49,152) give to outgoing connections: one of those
/// may take the port of a server that is down, even the connection that its own client attempts.
const NUMBERS: RangeInclusive<u16> = 10_000..=32_767;

/// How many ports are tried until one is free.
const ATTEMPTS_MAX: u32 = 1_000;

/// A TCP port of 127.0.0.1 on which nobody listened, and which no other `Port`, of this process or of another, has until
/// it is dropped: a server that is killed finds it free when it is started again.
#[derive(Debug)]
pub struct Port {
    number: u16,
    // The claim: whoever wants the TCP port takes the UDP port of the same number first, and the system gives it once.
    _claim: UdpSocket,
}

impl Port {
    /// Claims a free one.
    pub fn claim() -> Self {
        (0..ATTEMPTS_MAX).find_map(|_| Self::try_claim(fastrand::u16(NUMBERS))).expect("a free port")
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }

    fn try_claim(number: u16) -> Option<Self> {
        let claim = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
        TcpListener::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
        Some(Self { number, _claim: claim })
    }
}

impl fmt::Display for Port {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "127.0.0.1:{}", self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_claimed_once_until_it_is_given_back() {
        let port = Port::claim();
        assert!(Port::try_claim(port.number).is_none(), "claimed, though nobody listens");
        drop(TcpListener::bind(port.to_string()).expect("free for its owner's server"));
        let number = port.number;
        drop(port);
        assert!(Port::try_claim(number).is_some(), "given back");
    }

    #[test]
    fn a_port_somebody_listens_on_is_not_claimed() {
        let port = Port::claim();
        let listener = TcpListener::bind(port.to_string()).expect("free for its owner's server");
        let number = port.number;
        drop(port);
        assert!(Port::try_claim(number).is_none());
        drop(listener);
    }
}
