//! One process of a Ceph cluster.

use std::fs::File;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, ensure};

use super::clock::Clock;
use super::files;
use crate::process::Process;
use crate::services::network::Namespace;

/// A monitor, manager, OSD or MDS, running or not. Ends with this value.
pub(in crate::services) struct Daemon {
    program: &'static str,
    id: String,
    conf: PathBuf,
    /// `None`: the machine's.
    clock: Option<Clock>,
    /// Where it runs, and its address there, if that is not where everybody is.
    host: Option<(Namespace, Ipv4Addr)>,
    running: Mutex<Option<(Child, Process)>>,
    frozen: AtomicBool,
}

impl Daemon {
    /// One that does not run yet.
    pub(super) fn new(program: &'static str, id: impl ToString, conf: &Path) -> Self {
        Self {
            program,
            id: id.to_string(),
            conf: conf.to_owned(),
            clock: None,
            host: None,
            running: Mutex::new(None),
            frozen: AtomicBool::new(false),
        }
    }

    /// The same with a wall clock of its own.
    pub(super) fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// The same on a host of its own, where it has this address.
    pub(super) fn on(mut self, host: Namespace, address: Ipv4Addr) -> Self {
        self.host = Some((host, address));
        self
    }

    /// Its own wall clock, if it has one.
    pub(super) fn clock(&self) -> Option<&Clock> {
        self.clock.as_ref()
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(in crate::services) fn runs(&self) -> bool {
        self.running().is_some()
    }

    /// Whether it runs, and is not frozen.
    pub(super) fn is_well(&self) -> bool {
        self.runs() && !self.frozen.load(Ordering::Relaxed)
    }

    /// Starts it.
    pub(in crate::services) fn start(&self) -> anyhow::Result<()> {
        let out = files::output_of(&self.conf, self.program, &self.id);
        let out = File::options().create(true).append(true).open(out).context("make a file for a daemon's output")?;
        let mut running = self.running();
        ensure!(running.is_none(), "{} {} runs already", self.program, self.id);
        let mut command = files::command(self.program, &self.conf);
        if let Some(clock) = &self.clock {
            clock.give(&mut command);
        }
        if let Some((_, address)) = &self.host {
            command.arg(format!("--public-addr={address}"));
        }
        let _inside = self.host.as_ref().map(|(host, _)| host.enter()).transpose()?;
        let mut child = command
            .args(["--id", &self.id, "--foreground"])
            .stdout(out.try_clone()?)
            .stderr(out)
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("start {}", self.program))?;
        match i32::try_from(child.id()).map_err(Into::into).and_then(Process::open) {
            Ok(process) => *running = Some((child, process)),
            Err(error) => {
                end(&mut child);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Stops it where it is.
    pub(in crate::services) fn freeze(&self) -> anyhow::Result<()> {
        self.frozen.store(true, Ordering::Relaxed);
        self.with(Process::freeze)
    }

    /// Lets it go on.
    pub(in crate::services) fn go_on(&self) -> anyhow::Result<()> {
        self.frozen.store(false, Ordering::Relaxed);
        self.with(Process::go_on)
    }

    /// Kills it, and waits until it is gone. An error where it does not run: that would be no fault.
    pub(in crate::services) fn kill(&self) -> anyhow::Result<()> {
        self.with(|process| {
            ensure!(!process.is_gone(), "process {} has ended by itself", process.pid());
            Ok(())
        })?;
        self.end();
        Ok(())
    }

    /// The same, if it runs.
    fn end(&self) {
        self.frozen.store(false, Ordering::Relaxed);
        if let Some((mut child, _)) = self.running().take() {
            end(&mut child);
            if self.clock.is_some() {
                Clock::clean_up_after(child.id());
            }
        }
    }

    fn with(&self, deed: fn(&Process) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let running = self.running();
        let (_, process) = running.as_ref().with_context(|| format!("{} {} does not run", self.program, self.id))?;
        deed(process)
    }

    fn running(&self) -> MutexGuard<'_, Option<(Child, Process)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
    }
}

/// A child that nobody has waited for: its number is its own.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}
