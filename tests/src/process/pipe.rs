//! The pipe between CTDB and a helper, from CTDB's end.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use nix::fcntl::OFlag;
use nix::unistd::{pipe2, read};

use super::{is_readable, waits_readable};

/// The reading end; close-on-exec, as CTDB's is.
pub struct Pipe {
    reader: OwnedFd,
}

/// What came out of the pipe.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Byte(u8),
    End,
    Nothing,
}

impl Pipe {
    /// A pipe, and the end for the helper.
    pub fn new() -> anyhow::Result<(Self, OwnedFd)> {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
        Ok((Self { reader }, writer))
    }

    /// Another descriptor for the reading end, for a process that is to keep it open.
    pub fn another_reader(&self) -> anyhow::Result<OwnedFd> {
        self.reader.try_clone().context("duplicate the reading end")
    }

    /// Waits for the one byte.
    pub fn status(&self, limit: Duration) -> anyhow::Result<char> {
        match self.next(limit)? {
            Said::Byte(byte) => Ok(char::from(byte)),
            Said::End => bail!("the pipe ended before a byte came (CTDB: status 3)"),
            Said::Nothing => bail!("no byte within {limit:?}"),
        }
    }

    /// Waits for the end of the pipe; a further byte is a broken promise (P1). Says when it came.
    pub fn end(&self, limit: Duration) -> anyhow::Result<Instant> {
        match self.next(limit)? {
            Said::End => Ok(Instant::now()),
            Said::Byte(byte) => bail!("one byte too many on the pipe: {:?}", char::from(byte)),
            Said::Nothing => bail!("the pipe did not end within {limit:?}"),
        }
    }

    /// Waits for the end as CTDB does, which ignores bytes after the first.
    pub fn end_after_anything(&self, limit: Duration) -> anyhow::Result<Instant> {
        let deadline = Instant::now() + limit;
        loop {
            match self.next(deadline.saturating_duration_since(Instant::now()))? {
                Said::End => return Ok(Instant::now()),
                Said::Byte(_) => {}
                Said::Nothing => bail!("the pipe did not end within {limit:?}"),
            }
        }
    }

    /// Nothing comes for this long, neither a byte nor the end.
    pub fn stays_silent(&self, time: Duration) -> anyhow::Result<()> {
        let said = self.next(time)?;
        ensure!(said == Said::Nothing, "the pipe should have been silent for {time:?}, but: {said:?}");
        Ok(())
    }

    /// Whether the pipe is open and silent at this moment.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        !is_readable(self.reader.as_fd())
    }

    fn next(&self, limit: Duration) -> anyhow::Result<Said> {
        if !waits_readable(self.reader.as_fd(), limit)? {
            return Ok(Said::Nothing);
        }
        let mut byte = [0];
        match read(&self.reader, &mut byte).context("read the pipe")? {
            0 => Ok(Said::End),
            _ => Ok(Said::Byte(byte[0])),
        }
    }
}
