//! One node's mount, and the process behind it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use nix::mount::{MntFlags, umount2};
use rustix::process::Signal;

use super::KIND;
use crate::process::Process;
use crate::services::network::Namespace;
use crate::wait::wait_for;

/// It takes a tenth of a second; on a busy machine longer.
const MOUNT_LIMIT: Duration = Duration::from_secs(30);

/// A process that has been killed is gone at once, unless it waits for another that is about to be.
const END_LIMIT: Duration = Duration::from_secs(5);

/// A place where the file system is mounted, or not. Unmounted with this value, whatever the servers do.
pub(super) struct Mount {
    point: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    mounted: Option<Client>,
    /// Those whose mounts have been taken out of the tree: they go on while somebody has a file open there.
    detached: Vec<Client>,
}

/// A `ceph-fuse`. Killed with this value.
struct Client {
    child: Child,
    process: Process,
}

impl Mount {
    /// A place where nothing is mounted yet.
    pub(super) fn new(point: &Path) -> anyhow::Result<Self> {
        fs::create_dir(point).context("make a mount point")?;
        // As the kernel names it.
        let point = point.canonicalize().context("find a mount point")?;
        Ok(Self { point, state: Mutex::default() })
    }

    pub(super) fn point(&self) -> &Path {
        &self.point
    }

    /// The number of the process behind it.
    pub(super) fn pid(&self) -> Option<i32> {
        self.state().mounted.as_ref().map(|client| client.process.pid())
    }

    /// Starts the process on that host. Nothing is mounted yet when this returns.
    pub(super) fn start(&self, command: &mut Command, host: &Namespace) -> anyhow::Result<()> {
        let mut state = self.state();
        ensure!(state.mounted.is_none(), "{} is mounted already", self.point.display());
        let out = File::options().create(true).append(true).open(self.output());
        let out = out.context("make a file for a mount's output")?;
        command.arg(&self.point).stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let _inside = host.enter()?;
        let child = command.spawn().context("start ceph-fuse")?;
        state.mounted = Some(Client::new(child)?);
        Ok(())
    }

    /// Waits until it is mounted. The file system itself is not asked for anything.
    pub(super) fn wait_mounted(&self) -> anyhow::Result<()> {
        let mounted_or_ended = || {
            let ended = self.state().mounted.as_ref().is_none_or(|client| client.process.is_gone());
            (ended || is_mounted(&self.point).unwrap_or(false)).then_some(ended)
        };
        let what = format!("{} to be mounted", self.point.display());
        let (ended, _) = wait_for(&what, MOUNT_LIMIT, mounted_or_ended)?;
        let said = || fs::read_to_string(self.output()).unwrap_or_default();
        ensure!(!ended, "ceph-fuse has ended (it needs root, /dev/fuse and the package fuse3): {}", said().trim());
        Ok(())
    }

    /// Stops the process where it is.
    pub(super) fn freeze(&self) -> anyhow::Result<()> {
        self.with_client(|client| client.process.freeze())
    }

    /// Lets it go on.
    pub(super) fn go_on(&self) -> anyhow::Result<()> {
        self.with_client(|client| client.process.go_on())
    }

    /// Kills the process and leaves the mount: every call there fails.
    pub(super) fn kill(&self) -> anyhow::Result<()> {
        self.with_client(|client| {
            ensure!(!client.process.is_gone(), "ceph-fuse at {} has ended by itself", self.point.display());
            client.kill();
            Ok(())
        })
    }

    /// Takes the mount out of the tree. It goes on for who has a file open there.
    pub(super) fn detach(&self) -> anyhow::Result<()> {
        let mut state = self.state();
        umount2(&self.point, MntFlags::MNT_DETACH).with_context(|| format!("umount {}", self.point.display()))?;
        let client = state.mounted.take();
        state.detached.extend(client);
        Ok(())
    }

    /// Ends whatever there is at this place, in use or not, and whatever was.
    pub(super) fn clear(&self) {
        let State { mounted, detached } = std::mem::take(&mut *self.state());
        if let Some(client) = &mounted {
            client.kill();
        }
        // By force: it fails every request that waits, should somebody else have the device open, and so nothing can hang
        // in the path walk of the unmount itself. Fails where nothing is mounted.
        while umount2(&self.point, MntFlags::MNT_FORCE | MntFlags::MNT_DETACH).is_ok() {}
        drop(mounted);
        drop(detached);
    }

    fn with_client(&self, deed: impl Fn(&Client) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let state = self.state();
        deed(state.mounted.as_ref().with_context(|| format!("{} is not mounted", self.point.display()))?)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn output(&self) -> PathBuf {
        self.point.with_extension("out")
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Client {
    fn new(mut child: Child) -> anyhow::Result<Self> {
        match i32::try_from(child.id()).map_err(Into::into).and_then(Process::open) {
            Ok(process) => Ok(Self { child, process }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// Kills it, with the `mount -o remount` that it starts now and then, which has its device open.
    fn kill(&self) {
        if self.process.is_gone() {
            return;
        }
        // So that no other child comes: a fork does not get past a signal that waits.
        let _ = self.process.signal(Signal::STOP);
        let children: Vec<_> = self.process.children().into_iter().filter_map(|pid| Process::open(pid).ok()).collect();
        for process in children.iter().chain([&self.process]) {
            let _ = process.signal(Signal::KILL);
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.kill();
        // One that cannot be killed is left to the guard rather than waited for.
        if self.process.wait_gone(END_LIMIT).is_ok() {
            let _ = self.child.wait();
        }
    }
}

/// Whether the file system is mounted there, as the kernel tells: `36 35 0:40 / /mount/point rw - fuse.ceph-fuse …`.
fn is_mounted(point: &Path) -> anyhow::Result<bool> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("read /proc/self/mountinfo")?;
    let is_it = |line: &str| {
        let mut fields = line.split(' ');
        let there = fields.nth(4).is_some_and(|field| Path::new(field) == point);
        there && fields.skip_while(|&field| field != "-").nth(1) == Some(KIND)
    };
    Ok(mounts.lines().any(is_it))
}
