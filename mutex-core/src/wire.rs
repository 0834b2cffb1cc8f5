//! What supervisor and worker say to each other: one datagram a message on a `SOCK_SEQPACKET` socket pair.
//!
//! Datagrams keep message borders, so neither side ever waits for the rest of a message, and the end of the socket
//! is the other side's death. Both ends are one binary on one machine: no version, no byte order.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, MsgFlags, SockFlag, SockType};

use crate::clock::BootTime;

/// Longest text sent along; a longer one is cut. More than a path of PATH_MAX with every character escaped, beside
/// what `report` lets through; well under what a socket takes in one datagram (wmem_default, 200 KiB).
pub(crate) const TEXT_MAX: usize = 64 * 1024;

/// What the worker reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// The lock is ours until then; `None`: for as long as the worker lives.
    Held(Option<BootTime>),
    /// It is still ours, until then.
    Renewed(Option<BootTime>),
    /// Another holds it; the worker goes on trying, as `--wait-seconds` asks for.
    Waiting,
    /// A try failed with this; the worker goes on trying.
    Retrying(String),
    /// Another holds it; the worker is done.
    Contended,
    /// The lock was ours and is not any more.
    Lost(String),
    /// Waiting cannot cure this; the worker is done.
    Failed(String),
    /// The answer to `--status` or `--health`, or to `--break` where it was done.
    Answer(String),
    /// The answer to `--break` where there was nothing to break.
    NotHeld(String),
    /// The order to release has been read: the worker lives, and ends by itself.
    Releasing,
}

/// What the supervisor asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// CTDB has been told that the lock is held.
    ByteWritten,
    /// The pipe is closed: release when the grace is over, and end.
    ReleaseLater,
    /// The pipe is closed: release, and end.
    Release,
}

impl Report {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let (tag, payload): (u8, Vec<u8>) = match self {
            Self::Held(until) => (b'H', time_bytes(*until)),
            Self::Renewed(until) => (b'R', time_bytes(*until)),
            Self::Waiting => (b'W', Vec::new()),
            Self::Retrying(text) => (b'r', text_bytes(text)),
            Self::Contended => (b'C', Vec::new()),
            Self::Lost(text) => (b'L', text_bytes(text)),
            Self::Failed(text) => (b'F', text_bytes(text)),
            Self::Answer(text) => (b'A', text_bytes(text)),
            Self::NotHeld(text) => (b'N', text_bytes(text)),
            Self::Releasing => (b'x', Vec::new()),
        };
        let mut message = vec![tag];
        message.extend(payload);
        message
    }

    /// `None` for what is no report.
    pub(crate) fn from_bytes(message: &[u8]) -> Option<Self> {
        let (&tag, payload) = message.split_first()?;
        let text = || String::from_utf8_lossy(payload).into_owned();
        Some(match tag {
            b'H' => Self::Held(time_from(payload)),
            b'R' => Self::Renewed(time_from(payload)),
            b'W' if payload.is_empty() => Self::Waiting,
            b'r' => Self::Retrying(text()),
            b'C' if payload.is_empty() => Self::Contended,
            b'L' => Self::Lost(text()),
            b'F' => Self::Failed(text()),
            b'A' => Self::Answer(text()),
            b'N' => Self::NotHeld(text()),
            b'x' if payload.is_empty() => Self::Releasing,
            _ => return None,
        })
    }
}

impl Order {
    pub(crate) fn to_bytes(self) -> &'static [u8] {
        match self {
            Self::ByteWritten => b"B",
            Self::ReleaseLater => b"L",
            Self::Release => b"X",
        }
    }

    /// `None` for what is no order.
    pub(crate) fn from_bytes(message: &[u8]) -> Option<Self> {
        match message {
            b"B" => Some(Self::ByteWritten),
            b"L" => Some(Self::ReleaseLater),
            b"X" => Some(Self::Release),
            _ => None,
        }
    }
}

/// One end of the socket pair.
pub(crate) struct End(OwnedFd);

/// What a look into the socket found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received<T> {
    Message(T),
    /// Nothing now.
    Empty,
    /// The other side is gone.
    Closed,
}

/// A new pair of ends: non-blocking, so that neither side can ever hang the other.
pub(crate) fn pair() -> io::Result<(End, End)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let (a, b) = socket::socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
    Ok((End(a), End(b)))
}

impl AsFd for End {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl End {
    pub(crate) fn send_report(&self, report: &Report) {
        self.send(&report.to_bytes());
    }

    pub(crate) fn send_order(&self, order: Order) {
        self.send(order.to_bytes());
    }

    pub(crate) fn receive_report(&self) -> Received<Report> {
        self.receive(Report::from_bytes)
    }

    pub(crate) fn receive_order(&self) -> Received<Order> {
        self.receive(Order::from_bytes)
    }

    /// A message that cannot be sent has no reader, or one that has been stopped for long and is past its
    /// deadline: what follows from either does not depend on the message.
    fn send(&self, message: &[u8]) {
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        while matches!(socket::send(self.0.as_raw_fd(), message, flags), Err(Errno::EINTR | Errno::ECONNRESET)) {}
    }

    fn receive<T>(&self, read: impl Fn(&[u8]) -> Option<T>) -> Received<T> {
        loop {
            // The length first: most messages are nine bytes long.
            let whole = MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC | MsgFlags::MSG_DONTWAIT;
            let received = socket::recv(self.0.as_raw_fd(), &mut [0], whole).and_then(|length| {
                let mut message = vec![0; length];
                socket::recv(self.0.as_raw_fd(), &mut message, MsgFlags::MSG_DONTWAIT).map(|_| message)
            });
            match received {
                Ok(message) if message.is_empty() => return Received::Closed,
                Ok(message) => {
                    if let Some(message) = read(&message) {
                        return Received::Message(message);
                    }
                }
                Err(Errno::EAGAIN) => return Received::Empty,
                // Linux reports a peer that died with unread messages once, before what it sent: read on.
                Err(Errno::EINTR | Errno::ECONNRESET) => {}
                Err(_) => return Received::Closed,
            }
        }
    }
}

fn time_bytes(until: Option<BootTime>) -> Vec<u8> {
    // The last number means none, and no time may be taken for that.
    until.map_or(u64::MAX, |until| until.as_nanos().min(u64::MAX - 1)).to_ne_bytes().to_vec()
}

fn time_from(payload: &[u8]) -> Option<BootTime> {
    // A malformed time is one that has passed: the safe side.
    let nanos = <[u8; 8]>::try_from(payload).map_or(0, u64::from_ne_bytes);
    (nanos != u64::MAX).then(|| BootTime::from_nanos(nanos))
}

fn text_bytes(text: &str) -> Vec<u8> {
    let mut end = text.len().min(TEXT_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.as_bytes().get(..end).unwrap_or_default().to_vec()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_report_arrives_as_it_was_sent() {
        let (a, b) = pair().unwrap();
        let reports = [
            Report::Held(Some(BootTime::from_nanos(7))),
            Report::Renewed(None),
            Report::Waiting,
            Report::Retrying("refused".into()),
            Report::Contended,
            Report::Lost("removed".into()),
            Report::Failed("no such directory".into()),
            Report::Answer("{}".into()),
            Report::NotHeld("{}".into()),
            Report::Releasing,
        ];
        for report in &reports {
            a.send_report(report);
        }
        for report in reports {
            assert_eq!(b.receive_report(), Received::Message(report));
        }
        assert_eq!(b.receive_report(), Received::Empty);
    }

    #[test]
    fn messages_sent_before_a_death_are_read_before_the_end() {
        let (a, b) = pair().unwrap();
        a.send_order(Order::ByteWritten);
        a.send_order(Order::Release);
        drop(a);
        assert_eq!(b.receive_order(), Received::Message(Order::ByteWritten));
        assert_eq!(b.receive_order(), Received::Message(Order::Release));
        assert_eq!(b.receive_order(), Received::Closed);
    }

    #[test]
    fn a_deadline_however_far_is_not_none() {
        let far = BootTime::from_nanos(0) + Duration::MAX;
        let Some(Report::Held(until)) = Report::from_bytes(&Report::Held(Some(far)).to_bytes()) else { panic!() };
        assert!(until.is_some());
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        let text = format!("x{}", "\u{fc}".repeat(TEXT_MAX));
        let Some(Report::Lost(cut)) = Report::from_bytes(&Report::Lost(text.clone()).to_bytes()) else { panic!() };
        assert!(text.starts_with(&cut) && cut.len() >= TEXT_MAX - 1, "{} bytes", cut.len());
    }

    #[test]
    fn a_text_that_is_too_long_is_cut_not_dropped() {
        let (a, b) = pair().unwrap();
        a.send_report(&Report::Lost("x".repeat(TEXT_MAX + 500)));
        assert_eq!(b.receive_report(), Received::Message(Report::Lost("x".repeat(TEXT_MAX))));
    }
}
