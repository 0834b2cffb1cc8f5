//! The lock file's place: what has to be true of it before a lock there means anything.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use mutex_core::backend::Failure;
use nix::errno::Errno;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, StatxFlags, fstat, openat, statx};

use crate::lock::errno;
use crate::mount::{self, Mount};

/// The one file that everybody's lock is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    pub(crate) device: (u32, u32),
    pub(crate) inode: u64,
}

/// What stands at a path.
pub(crate) enum Found {
    Regular(FileId),
    Other,
    Nothing,
}

/// FILE, and what is required of its file system.
pub(crate) struct Place {
    path: PathBuf,
    /// Any of these; none: any.
    required: Vec<String>,
}

impl Place {
    pub(crate) fn new(path: PathBuf, required: Vec<String>) -> Self {
        Self { path, required }
    }

    /// The open directory of the file.
    fn directory(&self) -> Result<OwnedFd, Failure> {
        let parent = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        if self.path.file_name().is_none() || self.path.as_os_str().as_bytes().ends_with(b"/") {
            return Err(Failure::permanent("lock", "it is a directory", "name a file"));
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(CWD, parent, flags, Mode::empty()).map_err(|error| {
            let remedy = format!("{} must be a directory, with its file system mounted", parent.display());
            failure("open", error.into(), &remedy)
        })
    }

    /// The file system that the file is on, or would be.
    pub(crate) fn mount(&self) -> Result<Mount, Failure> {
        mount_of(&self.directory()?)
    }

    /// Opens the file for locking, making it where it is missing, once its place is as it has to be.
    pub(crate) fn open_to_lock(&self) -> Result<File, Failure> {
        let directory = self.directory()?;
        if !self.required.is_empty() {
            let Mount { kind, point } = mount_of(&directory)?;
            if !self.required.contains(&kind) {
                let cause = format!("it is on {kind} ({point}), not on {}", self.required.join(" or "));
                return Err(Failure::permanent("lock", cause, "mount the cluster file system first"));
            }
        }
        let mode = fstat(&directory).map_err(|error| failure("look at", error.into(), "see its directory"))?.st_mode;
        if mode & 0o1002 == 0o002 {
            let cause = "everybody may write to its directory, and replace it";
            return Err(Failure::permanent("lock", cause, "chmod o-w the directory, or set its sticky bit"));
        }
        // Before the open: to open a device may be to use it.
        if let Found::Other = self.look().map_err(|error| failure("look at", error, "see its directory"))? {
            return Err(not_regular());
        }
        // O_NONBLOCK, for a FIFO that takes the file's place meanwhile; it means nothing to a regular file.
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let name = self.path.file_name().unwrap_or_default();
        let file = openat(&directory, name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|error| failure("open", error.into(), "the helper needs to read and write it"))?;
        let stat = fstat(&file).map_err(|error| failure("look at", error.into(), "see its file system"))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(not_regular());
        }
        Ok(File::from(file))
    }

    /// Opens the file for a look. `None` where there is none; every other kind of file is refused.
    pub(crate) fn open_to_look(&self) -> Result<Option<File>, Failure> {
        match self.look().map_err(|error| failure("look at", error, "see its directory"))? {
            Found::Nothing => return Ok(None),
            Found::Other => return Err(not_regular()),
            Found::Regular(_) => {}
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        match openat(CWD, &self.path, flags, Mode::empty()) {
            Ok(file) => Ok(Some(File::from(file))),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(error) => Err(failure("open", error.into(), "the helper needs to read it")),
        }
    }

    /// What stands at the path, as the file system itself says: not from a cache.
    pub(crate) fn look(&self) -> io::Result<Found> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_FORCE_SYNC;
        match statx(CWD, &self.path, flags, StatxFlags::TYPE | StatxFlags::INO) {
            Ok(stat) if FileType::from_raw_mode(stat.stx_mode.into()) == FileType::RegularFile => {
                Ok(Found::Regular(FileId { device: (stat.stx_dev_major, stat.stx_dev_minor), inode: stat.stx_ino }))
            }
            Ok(_) => Ok(Found::Other),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(Found::Nothing),
            Err(error) => Err(error.into()),
        }
    }
}

/// The identity of an open file.
pub(crate) fn identity(file: &File) -> io::Result<FileId> {
    let stat = statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::INO)?;
    Ok(FileId { device: (stat.stx_dev_major, stat.stx_dev_minor), inode: stat.stx_ino })
}

fn mount_of(directory: &OwnedFd) -> Result<Mount, Failure> {
    mount::of(directory).map_err(|error| failure("find the file system of", error, "see /proc/self/mountinfo"))
}

fn not_regular() -> Failure {
    Failure::permanent("lock", "it is not a regular file", "name a regular file, or one that does not exist yet")
}

/// A failed call, sorted by whether waiting can cure it.
///
/// What an admin has to mend is permanent; what a cluster file system answers while it is not itself is not, and
/// whatever is not known here is taken for that: CTDB's probe fails a recovery at `3`, and lets `2` pass (FACTS E4).
pub(crate) fn failure(operation: &str, error: io::Error, remedy: &str) -> Failure {
    let permanent = matches!(
        errno(&error),
        Errno::ENOENT
            | Errno::ENOTDIR
            | Errno::EISDIR
            | Errno::ELOOP
            | Errno::EACCES
            | Errno::EPERM
            | Errno::EROFS
            | Errno::ENAMETOOLONG
            | Errno::EINVAL
            | Errno::ENXIO
            | Errno::ENOLCK
            | Errno::ENOSYS
            | Errno::EOPNOTSUPP
    );
    if permanent { Failure::permanent(operation, error, remedy) } else { Failure::transient(operation, error, remedy) }
}
