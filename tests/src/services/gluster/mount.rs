//! One node's mount, and the process behind it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use nix::mount::{MntFlags, umount2};

use super::{BRICKS, GLUSTERFS, PLACE_VARIABLE, VOLUME, hosts};
use crate::process::Process;
use crate::services::command::run;
use crate::services::network::Namespace;
use crate::wait::wait_for;

/// How long a mount may take to be there, and to be connected: a client that was refused comes again after 3 s.
const LIMIT: Duration = Duration::from_secs(30);

/// How long it may take to say to whom it is connected.
const LOOK_LIMIT: Duration = Duration::from_secs(3);

/// A mount. Ends with this value, hung or not.
pub(super) struct Mount {
    point: PathBuf,
    state: Mutex<State>,
}

/// What has been done to it.
#[derive(Default)]
struct State {
    client: Option<Client>,
    /// Those of mounts that have been taken out of the tree: they live on for whoever has a file open there.
    former: Vec<Client>,
    frozen: bool,
    cut_off: bool,
}

/// The process behind a mount. Ends with this value, and every request that waits for it fails.
struct Client {
    child: Child,
    process: Process,
}

impl Mount {
    /// One that is not there yet; makes the directory.
    pub(super) fn new(point: PathBuf) -> anyhow::Result<Self> {
        fs::create_dir(&point).with_context(|| format!("make the directory {}", point.display()))?;
        Ok(Self { point, state: Mutex::default() })
    }

    pub(super) fn point(&self) -> &Path {
        &self.point
    }

    /// Mounts the volume from this host, and waits until every brick is connected: before that a lock would not go to
    /// all of them.
    pub(super) fn mount(&self, host: &Namespace) -> anyhow::Result<()> {
        self.start(host)?;
        let (there, _) = wait_for(&format!("{} to be mounted", self.point.display()), LIMIT, || {
            if is_mounted(&self.point) { Some(true) } else { self.has_ended().then_some(false) }
        })?;
        ensure!(there, "glusterfs has ended; its last error: {}", self.said());
        self.wait_connected()
    }

    /// Waits until every brick is connected.
    pub(super) fn wait_connected(&self) -> anyhow::Result<()> {
        self.wait_connected_to(BRICKS)
    }

    /// Waits until so many are, no more and no fewer.
    pub(super) fn wait_connected_to(&self, bricks: usize) -> anyhow::Result<()> {
        let are = || self.connected().is_ok_and(|connected| connected == bricks).then_some(());
        wait_for(&format!("{bricks} bricks to be connected to {}", self.point.display()), LIMIT, are).map(drop)
    }

    /// How many bricks are.
    pub(super) fn connected(&self) -> anyhow::Result<usize> {
        let about = |brick| self.point.join(format!(".meta/graphs/active/{VOLUME}-client-{brick}/private"));
        let text = run(Command::new("/bin/cat").args((0..BRICKS).map(about)), LOOK_LIMIT)?;
        Ok(text.lines().filter(|line| line.trim() == "connected = 1").count())
    }

    /// Whether it can be expected to answer: nothing has been done to it and its process.
    pub(super) fn is_well(&self) -> bool {
        let state = self.state();
        state.client.is_some() && !state.frozen && !state.cut_off
    }

    /// Stops the process where it is.
    pub(super) fn freeze(&self) -> anyhow::Result<()> {
        let mut state = self.state();
        state.client()?.process.freeze()?;
        state.frozen = true;
        Ok(())
    }

    /// Lets it go on.
    pub(super) fn go_on(&self) -> anyhow::Result<()> {
        let mut state = self.state();
        state.client()?.process.go_on()?;
        state.frozen = false;
        Ok(())
    }

    /// Kills the process, and waits until it is gone. The mount stays, and fails every request.
    pub(super) fn kill(&self) -> anyhow::Result<()> {
        let mut state = self.state();
        ensure!(!state.client()?.process.is_gone(), "the process behind {} has ended by itself", self.point.display());
        state.end();
        Ok(())
    }

    /// Notes that nothing reaches it, or that it is reached again.
    pub(super) fn set_cut_off(&self, cut_off: bool) {
        self.state().cut_off = cut_off;
    }

    /// Takes it out of the tree. Its process lives on while somebody uses it.
    pub(super) fn detach(&self) -> anyhow::Result<()> {
        let mut state = self.state();
        umount2(&self.point, MntFlags::MNT_DETACH).with_context(|| format!("unmount {}", self.point.display()))?;
        let client = state.client.take();
        state.former.extend(client);
        Ok(())
    }

    /// Takes it out of the tree, after its process, if it is there.
    pub(super) fn clear(&self) {
        self.state().end();
        // The end of its process fails every request that waits. The forced unmount does the same should another process
        // have the device open.
        let _ = umount2(&self.point, MntFlags::MNT_FORCE | MntFlags::MNT_DETACH);
    }

    fn start(&self, host: &Namespace) -> anyhow::Result<()> {
        let mut state = self.state();
        ensure!(state.client.is_none(), "{} is mounted already", self.point.display());
        let said = File::create(self.point.with_extension("out")).context("make a file for a mount's output")?;
        let _inside = host.enter()?;
        let mut child = Command::new(GLUSTERFS)
            .arg("--no-daemon")
            .arg(format!("--log-file={}", self.log().display()))
            .arg(format!("--volfile-server={}", hosts::of_glusterd()))
            .arg(format!("--volfile-id={VOLUME}"))
            .arg(&self.point)
            .env(PLACE_VARIABLE, &self.point)
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said)
            .spawn()
            .context("start glusterfs")?;
        match i32::try_from(child.id()).map_err(Into::into).and_then(Process::open) {
            Ok(process) => state.client = Some(Client { child, process }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        }
        Ok(())
    }

    fn has_ended(&self) -> bool {
        self.state().client.as_ref().is_none_or(|client| client.process.is_gone())
    }

    fn log(&self) -> PathBuf {
        self.point.with_extension("log")
    }

    /// Its last error, for a message.
    fn said(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        log.lines().rfind(|line| line.contains("] E [")).unwrap_or_default().to_owned()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn client(&self) -> anyhow::Result<&Client> {
        self.client.as_ref().ok_or_else(|| anyhow!("no process is behind the mount"))
    }

    /// Kills the process, if there is one, and waits until it is gone.
    fn end(&mut self) {
        self.frozen = false;
        self.client = None;
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // A child that nobody has waited for: its number is its own.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether something is mounted just there, found without touching it.
fn is_mounted(point: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    mounts.lines().any(|line| line.split(' ').nth(4).is_some_and(|place| Path::new(place) == point))
}
