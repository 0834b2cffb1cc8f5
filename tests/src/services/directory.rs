//! Where the files of a service lie that writes to its disk before it answers: in memory where there is room, since a
//! disk that others use can make it wait for seconds.

use nix::sys::statvfs::statvfs;
use tempfile::TempDir;

const IN_MEMORY: &str = "/dev/shm";

/// What must be free there: each member of an etcd makes two files of 64 MiB for its log before it needs them.
const ROOM: u64 = 1 << 30;

/// Makes one whose name begins so.
pub(super) fn in_memory(prefix: &str) -> anyhow::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix);
    let in_memory = statvfs(IN_MEMORY).is_ok_and(|about| about.blocks_available() * about.fragment_size() >= ROOM);
    let dir = if in_memory { builder.tempdir_in(IN_MEMORY) } else { builder.tempdir() };
    Ok(dir?)
}
