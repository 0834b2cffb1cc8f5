//! A lock file, looked at from outside.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use anyhow::Context;
use mutex_tests::byte_zero::byte_zero;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

/// An open lock file. Closing it would drop this process's lock on it, if it has one.
pub(crate) struct LockFile {
    path: PathBuf,
    file: File,
}

impl LockFile {
    /// Makes a file with a free lock.
    pub(crate) fn new(path: &Path) -> anyhow::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path);
        let file = file.with_context(|| format!("make {}", path.display()))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Makes a file and locks it: for both helpers the same holder, and no process that could disturb them.
    pub(crate) fn locked(path: &Path) -> anyhow::Result<Self> {
        let lock = Self::new(path)?;
        fcntl(&lock.file, FcntlArg::F_SETLK(&byte_zero(libc::F_WRLCK)))
            .with_context(|| format!("lock {}", path.display()))?;
        Ok(lock)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether another process could take the lock now.
    pub(crate) fn is_free(&self) -> anyhow::Result<bool> {
        let mut lock = byte_zero(libc::F_WRLCK);
        fcntl(&self.file, FcntlArg::F_GETLK(&mut lock)).with_context(|| format!("query {}", self.path.display()))?;
        Ok(i32::from(lock.l_type) == libc::F_UNLCK)
    }
}
