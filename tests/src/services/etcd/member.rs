//! One process of a cluster.

use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, ensure};

use super::{ETCD, PLACE_VARIABLE};
use crate::process::Process;
use crate::services::network::Namespace;

/// A member, running or not. Ends with this value.
pub(super) struct Member {
    number: usize,
    endpoint: String,
    arguments: Vec<OsString>,
    /// Below the cluster's directory; its output is beside it.
    place: PathBuf,
    state: Mutex<State>,
}

/// What has been done to it.
#[derive(Default)]
struct State {
    running: Option<(Child, Process)>,
    frozen: bool,
}

impl Member {
    /// One that does not run yet.
    pub(super) fn new(number: usize, endpoint: String, arguments: Vec<OsString>, place: PathBuf) -> Self {
        Self { number, endpoint, arguments, place, state: Mutex::default() }
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Where its output is.
    pub(super) fn output(&self) -> PathBuf {
        self.place.with_extension("out")
    }

    /// Whether it runs, and is not frozen.
    pub(super) fn is_well(&self) -> bool {
        let state = self.state();
        state.running.is_some() && !state.frozen
    }

    /// Starts it, on its own host if it has one.
    pub(super) fn start(&self, host: Option<&Namespace>) -> anyhow::Result<()> {
        let out = File::options().create(true).append(true).open(self.output());
        let out = out.context("make a file for a member's output")?;
        let mut state = self.state();
        ensure!(state.running.is_none(), "member {} of etcd runs already", self.number);
        let _inside = host.map(Namespace::enter).transpose()?;
        let mut child = command(ETCD)
            .args(&self.arguments)
            .env(PLACE_VARIABLE, &self.place)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .context("start etcd")?;
        match i32::try_from(child.id()).map_err(Into::into).and_then(Process::open) {
            Ok(process) => state.running = Some((child, process)),
            Err(error) => {
                end(&mut child);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Stops it where it is.
    pub(super) fn freeze(&self) -> anyhow::Result<()> {
        let mut state = self.state();
        state.process(self.number)?.freeze()?;
        state.frozen = true;
        Ok(())
    }

    /// Lets it go on.
    pub(super) fn go_on(&self) -> anyhow::Result<()> {
        let mut state = self.state();
        state.process(self.number)?.go_on()?;
        state.frozen = false;
        Ok(())
    }

    /// Kills it, and waits until it is gone.
    pub(super) fn kill(&self) {
        let mut state = self.state();
        state.frozen = false;
        if let Some((mut child, _)) = state.running.take() {
            end(&mut child);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn process(&self, number: usize) -> anyhow::Result<&Process> {
        let (_, process) = self.running.as_ref().with_context(|| format!("member {number} of etcd does not run"))?;
        Ok(process)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A command of etcd's, without what the surroundings tell etcd's commands.
pub(super) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    let foreign = |name: &OsString| {
        let name = name.to_string_lossy();
        // A proxy would be asked for the members' hosts.
        name.starts_with("ETCD") || name.to_ascii_lowercase().ends_with("_proxy")
    };
    for name in std::env::vars_os().map(|(name, _)| name).filter(foreign) {
        command.env_remove(name);
    }
    command
}

/// A child that nobody has waited for: its number is its own.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}
