//! The lock file's place: what has to be true of it before a lock there means anything.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use mutex_core::backend::Failure;
use nix::errno::Errno;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, StatxFlags, fstat, openat, statx};

use crate::known;
use crate::lock::{LockType, errno};
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
    lock_type: LockType,
}

impl Place {
    pub(crate) fn new(path: PathBuf, required: Vec<String>, lock_type: LockType) -> Self {
        Self { path, required, lock_type }
    }

    /// The open directory of the file, which is on a file system of a required kind.
    fn directory(&self) -> Result<OwnedFd, Failure> {
        let path = self.path.as_os_str().as_bytes();
        if !self.path.is_absolute() {
            return Err(Failure::permanent(
                "lock",
                "its path does not begin with /",
                "give an absolute path, ctdbd has a directory of its own",
            ));
        }
        // `Path` overlooks a dot at the end.
        if matches!(path.rsplit(|&byte| byte == b'/').next(), None | Some(b"" | b"." | b"..")) {
            return Err(Failure::permanent("lock", "it is a directory", "name a file"));
        }
        let parent = self.path.parent().unwrap_or(Path::new("/"));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, parent, flags, Mode::empty()).map_err(|error| {
            let remedy = format!("{} must be a directory, with its file system mounted", parent.display());
            failure("open", error.into(), &remedy)
        })?;
        self.check_mount(&directory)?;
        Ok(directory)
    }

    /// Refuses what is on another kind of file system than required, and a lock that would be left behind there.
    fn check_mount(&self, place: impl AsFd) -> Result<(), Failure> {
        if self.required.is_empty() && self.lock_type != LockType::Ofd {
            return Ok(());
        }
        let mount = mount_of(place)?;
        let Mount { kind, point, .. } = &mount;
        if !self.required.is_empty() && !self.required.iter().any(|name| mount.is_called(name)) {
            let cause = format!("it is on {kind} ({point}), not on {}", self.required.join(" or "));
            return Err(Failure::permanent("lock", cause, "mount the cluster file system first"));
        }
        if !known::frees_the_dead(&mount, self.lock_type) {
            let cause = format!("on {kind} ({point}) an ofd lock can outlive a holder that was killed");
            return Err(Failure::permanent("lock", cause, "use --lock-type posix"));
        }
        Ok(())
    }

    /// Opens the file for locking, making it where it is missing, once its place is as it has to be.
    pub(crate) fn open_to_lock(&self) -> Result<File, Failure> {
        let directory = self.directory()?;
        let mode = fstat(&directory).map_err(|error| of_the_open("look at", error, "see its path"))?.st_mode;
        if mode & 0o1002 == 0o002 {
            let cause = "everybody may write to its directory, and replace it";
            return Err(Failure::permanent("lock", cause, "chmod o-w the directory, or set its sticky bit"));
        }
        // Before the open: to open a device may be to use it.
        if let Found::Other = self.look().map_err(|error| failure("look at", error, "see its path"))? {
            return Err(not_regular());
        }
        // O_NONBLOCK, for a FIFO that takes the file's place meanwhile; it means nothing to a regular file.
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let name = self.path.file_name().unwrap_or_default();
        let file = openat(&directory, name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|error| of_the_open("open", error, "the helper needs to read and write it"))?;
        let stat = fstat(&file).map_err(|error| of_the_open("look at", error, "see its file system"))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(not_regular());
        }
        // A file can be a mount point of its own.
        self.check_mount(&file)?;
        Ok(File::from(file))
    }

    /// Opens the file for a look, with its mount, or that of its directory where there is no file. Every other kind
    /// of file is refused.
    pub(crate) fn open_to_look(&self) -> Result<(Option<File>, Mount), Failure> {
        let directory = self.directory()?;
        match self.look().map_err(|error| failure("look at", error, "see its path"))? {
            Found::Nothing => return Ok((None, mount_of(&directory)?)),
            Found::Other => return Err(not_regular()),
            Found::Regular(_) => {}
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        match openat(CWD, &self.path, flags, Mode::empty()) {
            Ok(file) => {
                self.check_mount(&file)?;
                let mount = mount_of(&file)?;
                Ok((Some(File::from(file)), mount))
            }
            Err(rustix::io::Errno::NOENT) => Ok((None, mount_of(&directory)?)),
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

fn mount_of(place: impl AsFd) -> Result<Mount, Failure> {
    mount::of(place).map_err(|error| Failure::permanent("find the file system of", error, "is /proc mounted?"))
}

/// A failed call on what is open, or in a directory that is: it was there a moment ago, so it is not missing. ceph-fuse
/// says so of it when it has just been evicted.
fn of_the_open(operation: &str, error: rustix::io::Errno, remedy: &str) -> Failure {
    match error {
        rustix::io::Errno::NOENT => Failure::transient(operation, error, remedy),
        _ => failure(operation, error.into(), remedy),
    }
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
