//! Directories in memory, for services that would wait for a disk that others use.

use nix::sys::statvfs::statvfs;
use tempfile::TempDir;

/// Where they are.
pub(super) const PLACE: &str = "/dev/shm";

/// A directory of one's own there, or among the temporary files where there is not so much room.
pub(super) fn directory(prefix: &str, room: u64) -> anyhow::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix);
    let fits = statvfs(PLACE).is_ok_and(|about| about.blocks_available() * about.fragment_size() >= room);
    let dir = if fits { builder.tempdir_in(PLACE) } else { builder.tempdir() };
    Ok(dir?)
}
