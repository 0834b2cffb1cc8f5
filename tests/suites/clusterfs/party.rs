//! A helper in a scenario, and when its pipe told what.

use std::time::{Duration, Instant};

use anyhow::ensure;
use mutex_tests::process::helper::Helper;

/// A holder or a taker.
pub(crate) struct Party {
    pub(crate) helper: Helper,
    /// When the status byte came.
    pub(crate) byte: Option<Instant>,
    /// When the pipe ended after it.
    pub(crate) end: Option<Instant>,
}

impl Party {
    /// One that has not answered yet.
    pub(crate) fn new(helper: Helper) -> Self {
        Self { helper, byte: None, end: None }
    }

    /// Waits for its `0`.
    pub(crate) fn wait_held(&mut self, limit: Duration) -> anyhow::Result<()> {
        self.helper.expect('0', limit)?;
        self.byte = Some(Instant::now());
        Ok(())
    }

    /// Notes what has come since the last look. A byte that is not `0` is an error.
    pub(crate) fn look(&mut self) -> anyhow::Result<()> {
        let pipe = self.helper.pipe()?;
        if self.end.is_some() || pipe.is_silent() {
            return Ok(());
        }
        if self.byte.is_some() {
            self.end = Some(pipe.end(Duration::ZERO)?);
        } else {
            let status = self.helper.status(Duration::ZERO)?;
            ensure!(status == '0', "a taker that waits was answered {status}: {:?}", self.helper.stderr()?);
            self.byte = Some(Instant::now());
        }
        Ok(())
    }
}
