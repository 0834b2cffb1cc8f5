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
const TEXT_MAX: usize = 64 * 1024;

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
        let (tag, payload): (u8, Vec<u8>) = match report {
            Report::Held(until) => (b'H', time_bytes(*until)),
            Report::Renewed(until) => (b'R', time_bytes(*until)),
            Report::Waiting => (b'W', Vec::new()),
            Report::Retrying(text) => (b'r', text_bytes(text)),
            Report::Contended => (b'C', Vec::new()),
            Report::Lost(text) => (b'L', text_bytes(text)),
            Report::Failed(text) => (b'F', text_bytes(text)),
            Report::Answer(text) => (b'A', text_bytes(text)),
            Report::NotHeld(text) => (b'N', text_bytes(text)),
            Report::Releasing => (b'x', Vec::new()),
        };
        let mut message = vec![tag];
        message.extend(payload);
        self.send(&message);
    }

    pub(crate) fn send_order(&self, order: Order) {
        self.send(match order {
            Order::ByteWritten => b"B",
            Order::ReleaseLater => b"L",
            Order::Release => b"X",
        });
    }

    pub(crate) fn receive_report(&self) -> Received<Report> {
        self.receive(|message| {
            let (&tag, payload) = message.split_first()?;
            let text = || String::from_utf8_lossy(payload).into_owned();
            Some(match tag {
                b'H' => Report::Held(time_from(payload)),
                b'R' => Report::Renewed(time_from(payload)),
                b'W' => Report::Waiting,
                b'r' => Report::Retrying(text()),
                b'C' => Report::Contended,
                b'L' => Report::Lost(text()),
                b'F' => Report::Failed(text()),
                b'A' => Report::Answer(text()),
                b'N' => Report::NotHeld(text()),
                b'x' => Report::Releasing,
                _ => return None,
            })
        })
    }

    pub(crate) fn receive_order(&self) -> Received<Order> {
        self.receive(|message| match message {
            b"B" => Some(Order::ByteWritten),
            b"L" => Some(Order::ReleaseLater),
            b"X" => Some(Order::Release),
            _ => None,
        })
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
    until.map_or(u64::MAX, BootTime::as_nanos).to_ne_bytes().to_vec()
}

fn time_from(payload: &[u8]) -> Option<BootTime> {
    // A malformed time is one that has passed: the safe side.
    let nanos = <[u8; 8]>::try_from(payload).map_or(0, u64::from_ne_bytes);
    (nanos != u64::MAX).then(|| BootTime::from_nanos(nanos))
}

fn text_bytes(text: &str) -> Vec<u8> {
    let end = text.len().min(TEXT_MAX);
    text.as_bytes().get(..end).unwrap_or_default().to_vec()
}

#[cfg(test)]
mod tests {
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
    fn a_text_that_is_too_long_is_cut_not_dropped() {
        let (a, b) = pair().unwrap();
        a.send_report(&Report::Lost("x".repeat(TEXT_MAX + 500)));
        assert_eq!(b.receive_report(), Received::Message(Report::Lost("x".repeat(TEXT_MAX))));
    }
}
