//! Standard error, best effort: a line that cannot be written at once is dropped.
//!
//! CTDB's log reads our stderr, or nobody does, or a full pipe's reader sleeps: none of these may stop a helper
//! that has a lock to let go. The description is shared with CTDB, so it must not be made non-blocking.

use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use nix::sys::stat::{Mode, SFlag, fstat};

/// Longest line: what a pipe takes whole or not at all (PIPE_BUF).
const LINE_MAX: usize = 4096;

/// Whether a person reads along.
pub(crate) fn is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Writes `text` as one line, with control characters escaped.
pub(crate) fn say(text: &str) {
    let mut line = escape(text);
    let mut end = line.len().min(LINE_MAX - 1);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line.truncate(end);
    line.push('\n');
    write_now(line.as_bytes());
}

/// `text` with everything that could forge a line or drive a terminal made visible.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_bidi_control(c) { escaped.extend(c.escape_default()) } else { escaped.push(c) }
    }
    escaped
}

/// Characters that reorder what a terminal shows (Unicode TR 36).
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// For tracing's lines.
pub(crate) struct BestEffort;

impl Write for BestEffort {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write_now(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One write that does not wait, whatever stderr is.
fn write_now(bytes: &[u8]) {
    let stderr = io::stderr();
    let fd = stderr.as_fd();
    let Ok(stat) = fstat(fd) else { return };
    let kind = SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits());
    // Every error is a line dropped: there is nobody left to tell.
    if kind == SFlag::S_IFSOCK {
        let _ = send(fd.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL);
    } else if kind == SFlag::S_IFIFO {
        // A description of our own of the same pipe, which may be non-blocking.
        let _ = own_description(fd.as_raw_fd()).map(|own| nix::unistd::write(own, bytes));
    } else {
        let mut ready = [PollFd::new(fd, PollFlags::POLLOUT)];
        if poll(&mut ready, PollTimeout::ZERO).is_ok_and(|n| n > 0) {
            let _ = nix::unistd::write(fd, bytes);
        }
    }
}

fn own_description(fd: i32) -> nix::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{fd}");
    open(path.as_str(), OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn a_hostile_text_stays_one_line_and_drives_no_terminal() {
        assert_eq!(escape("a\nb\x1b[2J\u{9b}1m\u{202e}c"), "a\\nb\\u{1b}[2J\\u{9b}1m\\u{202e}c");
        assert_eq!(escape("Straße /ctdb/lock"), "Straße /ctdb/lock");
    }
}
