//! CTDB's pipe: our standard output, of which the supervisor is the sole owner.

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, write};

use rustix::fs::FileType;

use crate::descriptor::behind;
use crate::status::Status;

/// The end of CTDB's pipe that is ours. Its close is the message "lost" or "done".
pub(crate) struct Pipe {
    /// Opened beforehand, so that closing can never fail for want of a descriptor.
    null: File,
    /// `2>&1`: stderr keeps the pipe open too, and must go with it.
    shared_with_stderr: bool,
}

/// What came of writing the byte.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Done,
    /// The pipe is full: of somebody else's bytes, since ours is the only one we write.
    Full,
    /// Nobody can read it any more.
    NoReader,
}

impl Pipe {
    /// # Errors
    /// Where `/dev/null` cannot be opened.
    pub(crate) fn new() -> io::Result<Self> {
        let null = File::options().read(true).write(true).open("/dev/null")?;
        let (out, err) = (behind(io::stdout())?, behind(io::stderr())?);
        let is_pipe = matches!(out.kind, FileType::Fifo | FileType::Socket);
        // A parent that leaves the reader's end on our stdin would keep us from ever seeing it closed.
        dup2_stdin(&null)?;
        Ok(Self { null, shared_with_stderr: is_pipe && out == err })
    }

    /// What to poll: without any event asked for, an error or hang-up means that the reader is gone.
    pub(crate) fn fd(&self) -> BorrowedFd<'static> {
        // Open from main() to the end: `close` replaces what is behind it.
        rustix::stdio::stdout()
    }

    /// Whether stderr leads into CTDB's pipe: a log line there would be taken for the byte.
    pub(crate) fn is_shared_with_stderr(&self) -> bool {
        self.shared_with_stderr
    }

    /// Whether the reader is gone already.
    pub(crate) fn has_no_reader(&self) -> bool {
        let mut fds = [PollFd::new(self.fd(), PollFlags::empty())];
        poll(&mut fds, PollTimeout::ZERO).is_ok_and(|n| n > 0)
    }

    /// Writes the byte without ever waiting for room.
    pub(crate) fn write(&self, status: Status) -> Written {
        let mut fds = [PollFd::new(self.fd(), PollFlags::POLLOUT)];
        if !poll(&mut fds, PollTimeout::ZERO).is_ok_and(|n| n > 0) {
            return Written::Full;
        }
        loop {
            return match write(self.fd(), &[status.byte()]) {
                Ok(_) => Written::Done,
                Err(nix::errno::Errno::EINTR) => continue,
                Err(nix::errno::Errno::EAGAIN) => Written::Full,
                Err(_) => Written::NoReader,
            };
        }
    }

    /// Writes an answer for a person or a script; one who does not read it does not need it.
    pub(crate) fn print(&self, text: &str) {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            match write(self.fd(), rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(nix::errno::Errno::EINTR) => {}
                Err(_) => return,
            }
        }
    }

    /// Closes it for good: CTDB sees its end.
    pub(crate) fn close(&self) {
        // Only a bad descriptor number could make these fail, and none here is.
        let _ = dup2_stdout(&self.null);
        if self.shared_with_stderr {
            let _ = dup2_stderr(&self.null);
        }
    }

    /// In the worker: lets go of everything that was CTDB's, at once. `-v` keeps stderr, for the log.
    pub(crate) fn forget(self, keep_stderr: bool) {
        self.close();
        if !keep_stderr {
            let _ = dup2_stderr(&self.null);
        }
    }
}
