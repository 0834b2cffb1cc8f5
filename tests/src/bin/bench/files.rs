//! Lock files, in a directory of their own.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::path::PathBuf;

use anyhow::Context;
use mutex_tests::byte_zero::byte_zero;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use tempfile::TempDir;

use crate::store::{BUSY, Probe, Store};

/// The directory, and the file that is locked: to close it would drop the lock.
pub(crate) struct Files {
    dir: TempDir,
    _busy: File,
}

impl Files {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("mutex-bench-").tempdir().context("make a directory")?;
        let path = dir.path().join(BUSY);
        let busy = OpenOptions::new().write(true).create_new(true).open(&path);
        let busy = busy.with_context(|| format!("make {}", path.display()))?;
        let locked = fcntl(&busy, FcntlArg::F_SETLK(&byte_zero(libc::F_WRLCK)));
        locked.with_context(|| format!("lock {}", path.display()))?;
        Ok(Self { dir, _busy: busy })
    }

    fn path(&self, lock: &str) -> PathBuf {
        self.dir.path().join(lock)
    }
}

impl Store for Files {
    fn add(&self, lock: &str) -> anyhow::Result<()> {
        let path = self.path(lock);
        File::create_new(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(())
    }

    fn busy(&self) -> Option<&'static str> {
        Some(BUSY)
    }

    fn arguments(&self, lock: &str) -> Vec<OsString> {
        vec![self.path(lock).into()]
    }

    fn their_arguments(&self, lock: &str) -> Vec<OsString> {
        self.arguments(lock)
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        Vec::new()
    }

    fn probe(&self, lock: &str) -> anyhow::Result<Option<Probe>> {
        let path = self.path(lock);
        let file = File::open(&path).with_context(|| format!("open {}", path.display()))?;
        Ok(Some(Box::new(move || {
            let mut lock = byte_zero(libc::F_WRLCK);
            fcntl(&file, FcntlArg::F_GETLK(&mut lock)).with_context(|| format!("query {}", path.display()))?;
            Ok(i32::from(lock.l_type) == libc::F_UNLCK)
        })))
    }
}
