//! Standard error, best effort: a line that cannot be written in a moment is dropped.
//!
//! CTDB's log reads our stderr, or nobody does, or a full pipe's reader sleeps: none of these may stop a helper
//! that has a lock to let go. The description is shared with CTDB, so it must not be made non-blocking.

use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use nix::sys::stat::Mode;
use rustix::fs::FileType;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, waitpid};

use crate::descriptor::{Behind, behind};
use crate::sys;

/// Longest line: what a pipe takes whole or not at all (PIPE_BUF).
const LINE_MAX: usize = 4096;

/// Whether a person reads along.
pub(crate) fn is_terminal() -> bool {
    behind(io::stderr()).is_ok_and(|behind| behind.kind == FileType::CharacterDevice) && io::stderr().is_terminal()
}

/// Writes `text` as one line, with control characters escaped: the line about an end, which nothing is waiting for.
pub(crate) fn say(text: &str) {
    write_line(text, PATIENCE_AT_THE_END);
}

/// The same beside what goes on, with a lock that may have to be let go.
pub(crate) fn mention(text: &str) {
    write_line(text, PATIENCE);
}

fn write_line(text: &str, patience: Duration) {
    let mut line = escape(text);
    let mut end = line.len().min(LINE_MAX - 1);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line.truncate(end);
    line.push('\n');
    write_now(line.as_bytes(), patience);
}

/// `text` with everything that could forge a line or drive a terminal made visible.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_bidi_control(c) { escaped.extend(c.escape_default()) } else { escaped.push(c) }
    }
    escaped
}

/// Characters that reorder what a terminal shows: Unicode's Bidi_Control (UAX #9), and those that separate lines.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// For tracing's lines.
pub(crate) struct BestEffort;

impl Write for BestEffort {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write_now(bytes, PATIENCE);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One write that does not keep us waiting, whatever stderr is.
fn write_now(bytes: &[u8], patience: Duration) {
    let stderr = io::stderr();
    let fd = stderr.as_fd();
    let Ok(Behind { kind, .. }) = behind(fd) else { return };
    // Every error is a line dropped: there is nobody left to tell.
    if kind == FileType::Socket {
        let _ = send(fd.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL);
        return;
    }
    if kind == FileType::Fifo {
        match own_description(fd.as_raw_fd()) {
            Ok(own) => {
                let _ = nix::unistd::write(own, bytes);
                return;
            }
            // No reader.
            Err(Errno::ENXIO) => return,
            // Somebody else's pipe, which we may write to but not open.
            Err(_) => {}
        }
    }
    // Room on a terminal may be too little, and a file may lie on the very store that hangs.
    if write_from_child(bytes, patience).is_err() {
        let mut ready = [PollFd::new(fd, PollFlags::POLLOUT)];
        if poll(&mut ready, PollTimeout::ZERO).is_ok_and(|n| n > 0) {
            let _ = nix::unistd::write(fd, bytes);
        }
    }
}

/// A description of our own of the same pipe, which may be non-blocking.
fn own_description(fd: i32) -> nix::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{fd}");
    open(path.as_str(), OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC, Mode::empty())
}

/// How long a line is waited for while a lock may have to be let go.
const PATIENCE: Duration = Duration::from_millis(50);

/// How long the line about an end is: enough for the child to be scheduled on a busy machine, and with the wait for the worker
/// (0.7 s) and for its exit code (0.1 s) no more than the second that an end may take (P4).
const PATIENCE_AT_THE_END: Duration = Duration::from_millis(200);

/// The child that did not end in time: while it hangs, all further lines would hang too. 0: none.
static STUCK: AtomicI32 = AtomicI32::new(0);

/// Has a child write, which can be left behind.
///
/// # Errors
/// Where there can be no child.
fn write_from_child(bytes: &[u8], patience: Duration) -> nix::Result<()> {
    let stuck = Pid::from_raw(STUCK.load(Ordering::Relaxed));
    if stuck.is_some() && matches!(waitpid(stuck, WaitOptions::NOHANG), Ok(None)) {
        return Ok(());
    }
    let child = Pid::from_raw(sys::write_to_stderr_from_child(bytes)?.as_raw()).ok_or(Errno::ECHILD)?;
    match pidfd_open(child, PidfdFlags::empty()) {
        Ok(pidfd) => {
            let mut ended = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
            let patience = PollTimeout::try_from(patience).unwrap_or(PollTimeout::ZERO);
            if !poll(&mut ended, patience).is_ok_and(|n| n > 0) {
                let _ = pidfd_send_signal(&pidfd, Signal::KILL);
            }
        }
        // No descriptor left.
        Err(_) => std::thread::sleep(patience),
    }
    let gone = !matches!(waitpid(Some(child), WaitOptions::NOHANG), Ok(None));
    STUCK.store(if gone { 0 } else { child.as_raw_nonzero().get() }, Ordering::Relaxed);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn a_hostile_text_stays_one_line_and_drives_no_terminal() {
        assert_eq!(escape("a\nb\x1b[2J\u{9b}1m\u{202e}c"), "a\\nb\\u{1b}[2J\\u{9b}1m\\u{202e}c");
        assert_eq!(escape("a\u{61c}b"), "a\\u{61c}b");
        assert_eq!(escape("Straße /ctdb/lock"), "Straße /ctdb/lock");
    }
}
