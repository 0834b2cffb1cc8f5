//! Directories in memory, for services that would wait for a disk that others use.

use nix::sys::statvfs::{FsFlags, statvfs};
use tempfile::TempDir;

/// Where they are.
pub(crate) const PLACE: &str = "/dev/shm";

/// A directory of one's own there, or among the temporary files where there is not so much room.
///
/// # Errors
/// Where none can be made.
pub fn directory(prefix: &str, room: u64) -> anyhow::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix);
    // Scripts are run there too.
    let fits = statvfs(PLACE).is_ok_and(|about| {
        about.blocks_available() * about.fragment_size() >= room && !about.flags().contains(FsFlags::ST_NOEXEC)
    });
    let dir = if fits { builder.tempdir_in(PLACE) } else { builder.tempdir() };
    Ok(dir?)
}
