//! One process of an instance.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::process::Signal;

use super::PLACE_VARIABLE;
use crate::process::Process;
use crate::services::network::Namespace;

/// How long one that was killed may take to be gone, and how long its child may go on: the master's writes what it has been
/// given.
const END_LIMIT: Duration = Duration::from_secs(5);

/// So many tell why it ended.
const LAST_LINES: usize = 4;

/// A master, chunkserver or mount, running or not. Ends with this value.
pub(super) struct Daemon {
    program: &'static str,
    arguments: Vec<OsString>,
    /// Below the instance's directory; its output is beside it.
    place: PathBuf,
    running: Mutex<Option<Running>>,
}

/// One that was started. Killed with this value.
pub(super) struct Running {
    child: Child,
    process: Process,
}

impl Daemon {
    /// One that does not run yet.
    pub(super) fn new(program: &'static str, arguments: Vec<OsString>, place: PathBuf) -> Self {
        Self { program, arguments, place, running: Mutex::default() }
    }

    /// Starts it on this host.
    pub(super) fn start(&self, host: &Namespace) -> anyhow::Result<()> {
        let out = File::options().create(true).append(true).open(self.output());
        let out = out.context("make a file for a daemon's output")?;
        let mut running = self.running();
        ensure!(running.is_none(), "{} runs already", self.program);
        let _inside = host.enter()?;
        let mut child = Command::new(self.program)
            .args(&self.arguments)
            .env(PLACE_VARIABLE, &self.place)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("start {}", self.program))?;
        match i32::try_from(child.id()).map_err(Into::into).and_then(Process::open) {
            Ok(process) => *running = Some(Running { child, process }),
            Err(error) => {
                // A child that nobody has waited for: its number is its own.
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Stops it where it is.
    pub(super) fn freeze(&self) -> anyhow::Result<()> {
        self.with(Process::freeze)
    }

    /// Lets it go on.
    pub(super) fn go_on(&self) -> anyhow::Result<()> {
        self.with(Process::go_on)
    }

    /// Kills it, and waits until it is gone, and what it had started too. An error where it does not run: that would be
    /// no fault.
    pub(super) fn kill(&self) -> anyhow::Result<()> {
        ensure!(self.is_alive(), "{} does not run; {}", self.program, self.said());
        self.end();
        Ok(())
    }

    /// The same, if it runs.
    pub(super) fn end(&self) {
        self.running().take();
    }

    /// Kills it, and waits for nothing.
    pub(super) fn begin_to_kill(&self) {
        if let Some(running) = self.running().as_ref() {
            running.process.end();
        }
    }

    /// Asks it to end, and waits until it has.
    pub(super) fn stop(&self, limit: Duration) -> anyhow::Result<()> {
        let mut running = self.running();
        let process = &running.as_ref().with_context(|| format!("{} does not run", self.program))?.process;
        process.signal(Signal::TERM)?;
        process.wait_gone(limit)?;
        running.take();
        Ok(())
    }

    /// Whether it has been started and has not ended by itself.
    pub(super) fn is_alive(&self) -> bool {
        self.running().as_ref().is_some_and(|running| !running.process.is_gone())
    }

    /// Gives away the process that runs, if any, so that another can be started in its place.
    pub(super) fn take(&self) -> Option<Running> {
        self.running().take()
    }

    /// Its last words, for a message.
    pub(super) fn said(&self) -> String {
        let text = fs::read_to_string(self.output()).unwrap_or_default();
        let mut last: Vec<&str> = text.lines().rev().filter(|line| !line.is_empty()).take(LAST_LINES).collect();
        last.reverse();
        format!("{}: {}; ", self.place.display(), last.join(" / "))
    }

    /// Where its output is.
    pub(super) fn output(&self) -> PathBuf {
        self.place.with_extension("out")
    }

    fn with(&self, deed: fn(&Process) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let running = self.running();
        deed(&running.as_ref().with_context(|| format!("{} does not run", self.program))?.process)
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let children: Vec<_> = self.process.children().into_iter().filter_map(|pid| Process::open(pid).ok()).collect();
        self.process.end();
        // One that waits for itself, see `mount`, would be waited for in vain.
        if self.process.wait_gone(END_LIMIT).is_ok() {
            let _ = self.child.wait();
        }
        for child in children {
            // It ends with its parent, but not before its work is done.
            if child.wait_gone(END_LIMIT).is_err() {
                child.end();
            }
        }
    }
}
