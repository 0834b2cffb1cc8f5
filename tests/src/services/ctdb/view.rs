//! A path that leads somewhere else on each node.
//!
//! CTDB refuses nodes whose `cluster lock` differ, and on one machine each node has its cluster file system mounted at a
//! place of its own. So a node's ctdbd can be started in a mount namespace of its own, in which that mount is found at the
//! path that all nodes name. All that ctdbd starts is in it too; it goes with the last process inside.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, anyhow};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{chdir, chroot};

use crate::services::in_memory;

/// The path, and the directory that it leads to on each node.
pub struct Common {
    /// A directory that nothing else is done with.
    pub path: PathBuf,
    /// One a node.
    pub leads_to: Vec<PathBuf>,
}

/// A directory with a system in it, for what is to run as if that were the machine's.
#[derive(Clone)]
pub struct Root(pub PathBuf);

/// What every system has from its kernel.
const FROM_KERNEL: [&str; 3] = ["proc", "sys", "dev"];

impl Root {
    /// Runs a command there; its own /dev/shm and temporary files are the machine's. What is mounted for it goes with it.
    ///
    /// # Errors
    /// Where the command cannot be started.
    pub fn output(&self, command: &mut Command) -> anyhow::Result<Output> {
        in_thread(|| self.enter().and_then(|()| Ok(command.output()?)))
    }

    fn enter(&self) -> anyhow::Result<()> {
        leave_others()?;
        forget_others(None)?;
        for name in FROM_KERNEL {
            bind(&Path::new("/").join(name), &self.0.join(name))?;
        }
        // A cluster's directory has the same name inside. Below /dev/shm it has that already.
        let temporary = std::env::temp_dir();
        let inside = self.0.join(temporary.strip_prefix("/").context("a temporary directory without a root")?);
        fs::create_dir_all(&inside)?;
        bind(&temporary, &inside)?;
        // Of this thread alone: what has a mount namespace of its own has a root of its own.
        chroot(&self.0).with_context(|| format!("make {} the root", self.0.display()))?;
        Ok(chdir("/")?)
    }
}

/// What one node has there.
pub(super) struct View {
    path: PathBuf,
    leads_to: PathBuf,
}

impl Common {
    pub(super) fn view(&self, node: usize) -> anyhow::Result<View> {
        let leads_to =
            self.leads_to.get(node).with_context(|| format!("node {node} has nothing at the common path"))?;
        Ok(View { path: self.path.clone(), leads_to: leads_to.clone() })
    }
}

impl View {
    /// Runs a command there and waits for its end. What it leads to is looked up now: a mount that was made anew is found.
    pub(super) fn output(&self, command: &mut Command) -> anyhow::Result<Output> {
        in_thread(|| self.enter().and_then(|()| Ok(command.output()?)))
    }

    /// Puts this thread there.
    fn enter(&self) -> anyhow::Result<()> {
        leave_others()?;
        let bound = mount(Some(&self.leads_to), &self.path, None::<&str>, MsFlags::MS_BIND, None::<&str>);
        bound.with_context(|| format!("bind {} to {}", self.leads_to.display(), self.path.display()))?;
        forget_others(Some(&self.path))
    }
}

/// The thread that makes a namespace stays in it, so it is one that ends.
fn in_thread(work: impl FnOnce() -> anyhow::Result<Output> + Send) -> anyhow::Result<Output> {
    std::thread::scope(|scope| scope.spawn(work).join()).map_err(|_| anyhow!("a thread panicked"))?
}

/// A mount namespace for this thread: what is unmounted outside is unmounted here, and nothing that is mounted here is seen
/// outside.
fn leave_others() -> anyhow::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("make a mount namespace (needs root)")?;
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none).context("keep mounts inside")
}

fn bind(from: &Path, to: &Path) -> anyhow::Result<()> {
    let none = None::<&str>;
    let bound = mount(Some(from), to, none, MsFlags::MS_BIND | MsFlags::MS_REC, none);
    bound.with_context(|| format!("bind {} to {}", from.display(), to.display()))
}

/// What this test and others have mounted is not to live on in this copy of the mounts when they unmount it: where `/` is
/// private nothing tells the copy.
fn forget_others(except: Option<&Path>) -> anyhow::Result<()> {
    let mounts = fs::read_to_string("/proc/thread-self/mounts").context("read the mounts")?;
    let temporary = std::env::temp_dir();
    let is_below = |point: &Path, dir: &Path| point != dir && point.starts_with(dir);
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(Path::new);
    for point in points.filter(|&point| is_below(point, &temporary) || is_below(point, Path::new(in_memory::PLACE))) {
        if Some(point) != except {
            // Failure means that it went with one above it.
            let _ = umount2(point, MntFlags::MNT_DETACH);
        }
    }
    Ok(())
}
