//! A disk that can be made to hang: an ext4 file system on a loop device, whose image lies on the FUSE file system of
//! [`HungFs`]. For locks that the kernel keeps and that FUSE itself is no place for.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use nix::mount::{MntFlags, umount2};
use tempfile::TempDir;

use super::command::run;
use super::fuse::{HungFs, Locks};
use crate::fault::Fault;
use crate::process::programs;

/// Room for a file system with a journal; nothing of it is written that is not used.
const IMAGE_BYTES: u64 = 64 << 20;

/// A command here takes some milliseconds.
const COMMAND_LIMIT: Duration = Duration::from_secs(30);

/// A mounted disk. Ends with this value, hung or not.
pub struct HungDisk {
    /// First to be dropped: its `Drop` must not find the disk gone.
    mounted: Mounted,
    server: HungFs,
}

impl HungDisk {
    /// Makes and mounts one.
    pub fn mount() -> anyhow::Result<Self> {
        let server = HungFs::mount(Locks::Local)?;
        let image = server.path().join("image");
        File::create(&image)?.set_len(IMAGE_BYTES).context("make the image")?;
        run(
            Command::new(programs::packaged("/usr/sbin/mkfs.ext4", "e2fsprogs")?).arg("-q").arg(&image),
            COMMAND_LIMIT,
        )?;
        let dir = tempfile::Builder::new().prefix("hung-disk-").tempdir().context("make a mount point")?;
        server.takes_along(dir.path())?;
        // Past the page cache: else that would answer for the disk.
        let losetup = programs::packaged("/usr/sbin/losetup", "mount")?;
        let device =
            run(Command::new(&losetup).args(["--direct-io=on", "--find", "--show"]).arg(&image), COMMAND_LIMIT)?;
        let mount = run(Command::new("/bin/mount").arg(device.trim()).arg(dir.path()), COMMAND_LIMIT);
        let mounted = Mounted(dir);
        // A device in use goes with its last user.
        run(Command::new(&losetup).args(["--detach", device.trim()]), COMMAND_LIMIT)?;
        mount?;
        Ok(Self { mounted, server })
    }

    /// The mount point.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.mounted.0.path()
    }

    /// Nothing is read from the disk or written to it.
    pub fn frozen(&self) -> Fault<'_> {
        self.server.frozen()
    }
}

struct Mounted(TempDir);

impl Drop for Mounted {
    fn drop(&mut self) {
        // Does not wait for the disk.
        let _ = umount2(self.0.path(), MntFlags::MNT_DETACH);
    }
}
