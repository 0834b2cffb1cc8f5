//! A helper that answers a question and ends: `--status`, `--health`, `--help`.

use std::time::Duration;

use anyhow::Context;

use super::launch::Launch;

/// What it said.
pub struct Answer {
    /// Its exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
}

impl Launch {
    /// Runs it to its end, which must come within `limit`. Standard output is a file: nobody reads a pipe meanwhile.
    pub fn answer(self, limit: Duration) -> anyhow::Result<Answer> {
        let stdout = tempfile::NamedTempFile::new().context("make a file for an answer")?;
        let mut asked = self.stdout(stdout.reopen()?.into()).start()?;
        let code = asked.exit_code(limit)?;
        Ok(Answer { code, stdout: std::fs::read(stdout.path())?, stderr: asked.stderr()? })
    }
}
