//! A question asked on a mount that may hang: by a process that nobody has to wait for.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use mutex_tests::process::Process;

/// Its end is the answer.
pub(crate) struct Errand {
    child: Child,
    process: Process,
}

impl Errand {
    /// Sends a program out.
    pub(crate) fn start(program: &Path, arguments: &[&Path]) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().with_context(|| format!("start {}", program.display()))?;
        let process = Process::open(i32::try_from(child.id())?)?;
        Ok(Self { child, process })
    }

    pub(crate) fn is_over(&self) -> bool {
        self.process.is_gone()
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        let _ = self.child.kill();
        // One that still hangs ends with the file system.
        if self.process.wait_gone(Duration::from_millis(500)).is_ok() {
            let _ = self.child.wait();
        }
    }
}
