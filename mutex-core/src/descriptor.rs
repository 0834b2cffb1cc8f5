//! What is behind a descriptor, as the kernel remembers it.
//!
//! A question that reaches the file system may hang with it, and so may `isatty`, whose ioctl FUSE passes on; the log may
//! well lie on the store that it reports on.

use std::os::fd::AsFd;

use rustix::fs::{AtFlags, FileType, StatxFlags, statx};

/// What a descriptor leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Behind {
    pub(crate) kind: FileType,
    /// Its identity: the device's numbers and the inode's.
    id: (u32, u32, u64),
}

/// # Errors
/// Where the descriptor is closed.
pub(crate) fn behind(descriptor: impl AsFd) -> rustix::io::Result<Behind> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let stat = statx(descriptor, "", flags, StatxFlags::TYPE | StatxFlags::INO)?;
    Ok(Behind {
        kind: FileType::from_raw_mode(stat.stx_mode.into()),
        id: (stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino),
    })
}
