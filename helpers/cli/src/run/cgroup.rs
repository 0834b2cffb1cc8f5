//! A cgroup for the command, where cgroup v2 can be written to: whoever leaves the process group does not leave that.
//!
//! Only used to kill, so no controller is touched. Where there is none (no v2, no permission, Linux before 5.14), the
//! process group and the keeper's adopted children have to do.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

/// A cgroup of our own.
pub(super) struct Cgroup(PathBuf);

impl Cgroup {
    /// Makes one below the one that this process is in.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn make() -> anyhow::Result<Self> {
        let made = Self(own_directory()?.join(format!("ctdb-mutex-run-{}", std::process::id())));
        // Left by one of this number, killed with its keeper.
        made.remove();
        fs::create_dir(&made.0).with_context(|| format!("cannot make {}", made.0.display()))?;
        if !made.0.join("cgroup.kill").exists() {
            made.remove();
            anyhow::bail!("no cgroup.kill (Linux 5.14)");
        }
        Ok(made)
    }

    /// Who writes `0` here is in it.
    pub(super) fn door(&self) -> anyhow::Result<File> {
        Ok(File::options().write(true).open(self.0.join("cgroup.procs"))?)
    }

    /// Kills whoever is in it, and in those below it.
    pub(super) fn kill(&self) {
        let _ = fs::write(self.0.join("cgroup.kill"), "1");
    }

    /// Removes it, and those below it, if nobody is in them.
    pub(super) fn remove(&self) {
        remove(&self.0);
    }
}

/// Another `run`'s is left below where its processes were killed with all others.
fn remove(directory: &Path) {
    for below in fs::read_dir(directory).into_iter().flatten().flatten() {
        if below.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&below.path());
        }
    }
    let _ = fs::remove_dir(directory);
}

/// The directory of the cgroup that this process is in.
fn own_directory() -> anyhow::Result<PathBuf> {
    let cgroups = fs::read_to_string("/proc/self/cgroup").context("cannot read /proc/self/cgroup")?;
    let own = cgroups.lines().find_map(|line| line.strip_prefix("0::")).context("no cgroup v2")?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("cannot read /proc/self/mountinfo")?;
    let (root, mount_point) = mounts.lines().find_map(cgroup2).context("cgroup v2 is not mounted")?;
    let below = Path::new(own).strip_prefix(root).context("our cgroup is outside what is mounted")?;
    let directory = Path::new(mount_point).join(below);
    ensure!(directory.is_dir(), "{} is not there", directory.display());
    Ok(directory)
}

/// Root and mount point of a line of mountinfo, if it is of cgroup v2.
fn cgroup2(line: &str) -> Option<(&str, &str)> {
    let (before, after) = line.split_once(" - ")?;
    let mut fields = before.split(' ').skip(3);
    after.starts_with("cgroup2 ").then_some((fields.next()?, fields.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_of_cgroup_v2_is_found_among_others() {
        let v1 = "40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd";
        let v2 = "41 31 0:38 /x /sys/fs/cgroup/unified rw,relatime shared:4 - cgroup2 cgroup2 rw";
        assert_eq!(cgroup2(v1), None);
        assert_eq!(cgroup2(v2), Some(("/x", "/sys/fs/cgroup/unified")));
    }
}
