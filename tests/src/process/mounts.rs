//! A mount namespace for a thread of one's own, and what is mounted in it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use crate::services::in_memory;

const NONE: Option<&str> = None;

/// Does this in a thread of its own: the thread that makes a namespace stays in it, so it is one that ends.
///
/// # Errors
/// Those of the work; a thread that panicked.
pub fn in_thread<T: Send>(work: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
    std::thread::scope(|scope| scope.spawn(work).join()).map_err(|_| anyhow!("a thread panicked"))?
}

/// A mount namespace for this thread: what is unmounted outside is unmounted here, and nothing that is mounted here is seen
/// outside.
///
/// # Errors
/// Without the rights of root.
pub fn leave_others() -> anyhow::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("make a mount namespace (needs root)")?;
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_SLAVE, NONE).context("keep mounts inside")
}

/// What this test and others have mounted is not to live on in this copy of the mounts when they unmount it: where `/` is
/// private nothing tells the copy. All but one, if that is named.
///
/// # Errors
/// Where nothing tells what is mounted.
pub fn forget_others(except: Option<&Path>) -> anyhow::Result<()> {
    let mounts = fs::read_to_string("/proc/thread-self/mounts").context("read the mounts")?;
    let dirs = [std::env::temp_dir(), PathBuf::from(in_memory::PLACE)];
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(Path::new);
    for point in points.filter(|&point| dirs.iter().any(|dir| point != dir && point.starts_with(dir))) {
        if Some(point) != except {
            // Failure means that it went with one above it.
            let _ = umount2(point, MntFlags::MNT_DETACH);
        }
    }
    Ok(())
}

/// Shows a file, or a directory and all that is mounted below it, at another place too.
///
/// # Errors
/// Where one of the two is not there.
pub fn bind(source: &Path, there: &Path) -> anyhow::Result<()> {
    let bound = mount(Some(source), there, NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE);
    bound.with_context(|| format!("bind {} to {}", source.display(), there.display()))
}
