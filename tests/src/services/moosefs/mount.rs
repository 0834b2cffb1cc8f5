//! One node's mount.
//!
//! Its process looks at its own mount point before it says that it is ready. Killed while it waits for its own answer, it
//! would never be gone: the kernel takes no thread out of a request, and that thread keeps the server's device open. Only an
//! unmount by force ends that.

use std::ffi::OsString;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use nix::mount::{MntFlags, umount2};

use super::daemon::{Daemon, Running};
use super::{MOUNT, Setup, files};
use crate::services::network::Namespace;
use crate::wait::wait_for;

/// A mount comes within a tenth of a second; on a busy machine later.
const MOUNT_LIMIT: Duration = Duration::from_secs(30);

/// What its process says when it has got its own answer.
const READY: &str = "my st_dev:";

/// A mount and the process behind it. Ends with this value, hung or not.
pub(super) struct Mount {
    point: PathBuf,
    daemon: Daemon,
    /// Those of earlier mounts at this place that may still be in use.
    earlier: Mutex<Vec<Running>>,
    /// How often there was a process here that was ready.
    ready: AtomicUsize,
}

impl Mount {
    /// One that is not there yet.
    pub(super) fn new(dir: &Path, node: usize, master: Ipv4Addr, setup: Setup) -> anyhow::Result<Self> {
        let point = files::mount_point(dir, node);
        fs::create_dir(&point).context("make a mount point")?;
        // By default it takes the machine for itself.
        let options = ["mfsnice=0", setup.mount_options].join(",");
        let (master, port) = (master.to_string(), files::MASTER_PORT.to_string());
        let arguments = ["-f", "-H", &master, "-P", &port, "-c", "/dev/null", "-o", options.trim_end_matches(',')];
        let mut arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        arguments.insert(1, point.clone().into());
        let daemon = Daemon::new(MOUNT, arguments, point.clone());
        Ok(Self { point, daemon, earlier: Mutex::default(), ready: AtomicUsize::new(0) })
    }

    pub(super) fn point(&self) -> &Path {
        &self.point
    }

    pub(super) fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// Mounts it, and does not wait for that.
    pub(super) fn start(&self, host: &Namespace) -> anyhow::Result<()> {
        self.ready.store(self.times_ready(), Ordering::Relaxed);
        self.daemon.start(host)
    }

    /// Waits until it is in the tree and answers.
    pub(super) fn wait_there(&self) -> anyhow::Result<()> {
        let ready = || self.is_there() && self.times_ready() > self.ready.load(Ordering::Relaxed);
        let there = || (ready() || !self.daemon.is_alive()).then_some(());
        wait_for("a mount of MooseFS", MOUNT_LIMIT, there).with_context(|| self.daemon.said())?;
        ensure!(self.daemon.is_alive(), "{MOUNT} has ended; {}", self.daemon.said());
        Ok(())
    }

    fn times_ready(&self) -> usize {
        fs::read_to_string(self.daemon.output()).unwrap_or_default().matches(READY).count()
    }

    /// Kills what is behind it: every call fails from then on.
    pub(super) fn kill(&self) -> anyhow::Result<()> {
        self.daemon.kill()
    }

    /// Takes it out of the tree. Who uses it goes on to do so.
    pub(super) fn detach(&self) -> anyhow::Result<()> {
        umount2(&self.point, MntFlags::MNT_DETACH).with_context(|| format!("unmount {}", self.point.display()))
    }

    /// Mounts it again, whatever has become of the one before.
    pub(super) fn renew(&self, host: &Namespace) -> anyhow::Result<()> {
        if self.is_there() {
            self.detach()?;
        }
        self.earlier.lock().unwrap_or_else(PoisonError::into_inner).extend(self.daemon.take());
        self.start(host)?;
        self.wait_there()
    }

    /// Asks the kernel, not the file system.
    fn is_there(&self) -> bool {
        let all = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        all.lines().filter_map(|line| line.split(' ').nth(4)).any(|point| Path::new(point) == self.point)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // First: the kernel answers for a process that is gone or by force; one that is stopped is neither.
        self.daemon.begin_to_kill();
        while self.is_there() && umount2(&self.point, MntFlags::MNT_FORCE | MntFlags::MNT_DETACH).is_ok() {}
        self.daemon.end();
        self.earlier.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
