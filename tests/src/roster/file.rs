//! The rows of `ctdb_mutex_file_helper`, and the lock in a file as their store.
//!
//! Two places for it: an ordinary directory, and a FUSE file system that can hang (its locks kept by the kernel, so that
//! they show in /proc/locks too).

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::stat::{major, minor};
use tempfile::TempDir;

use super::{Program, Rival, Row, Store, Timing};
use crate::fault::Fault;
use crate::services::fuse::{HungFs, Locks};

/// Seconds between two proofs.
const RECHECK: u64 = 1;
/// Seconds that a proof may take.
const PING_TIMEOUT: u64 = 2;

pub(super) fn rows() -> Vec<Row> {
    // An ofd lock is refused on FUSE. On a disk that hangs the file suite tries it, but there the kernel's memory
    // answers a try, so that the contract's cases of a hung try would have nothing to hang in.
    let ofd = Row { hangable: None, ..row("file-ofd", "ofd") };
    vec![row("file-posix", "posix"), ofd, row("file-flock", "flock")]
}

pub(super) fn row(name: &'static str, lock_type: &str) -> Row {
    Row {
        name,
        program: Program::Helper("ctdb_mutex_file_helper"),
        options: vec!["--lock-type".to_owned(), lock_type.to_owned()],
        bug: None,
        takers: 200,
        timing: Timing {
            frozen: Duration::from_secs(RECHECK + PING_TIMEOUT),
            reported: Duration::from_secs(RECHECK + 1),
            stall: Duration::from_secs(PING_TIMEOUT - 1),
            lease: None,
        },
        store: || Ok(Box::new(LockFile::in_directory()?)),
        hangable: Some(|| Ok(Box::new(LockFile::on_fuse()?))),
        // Samba's takes a POSIX lock, with which an OFD lock conflicts and a flock does not.
        rival: (lock_type != "flock")
            .then_some(Rival { program: "/usr/libexec/ctdb/ctdb_mutex_fcntl_helper", package: "ctdb" }),
    }
}

/// What names a lock in a file, and its timing.
pub(super) fn arguments(path: PathBuf) -> Vec<OsString> {
    vec![path.into(), RECHECK.to_string().into(), PING_TIMEOUT.to_string().into()]
}

/// Where a lock file lies.
enum Place {
    Directory(TempDir),
    Fuse(HungFs),
}

impl Place {
    fn path(&self) -> &Path {
        match self {
            Self::Directory(dir) => dir.path(),
            Self::Fuse(fs) => fs.path(),
        }
    }
}

/// A lock file in a directory of its own.
struct LockFile {
    place: Place,
    /// How /proc/locks names the file: the numbers of its device and inode. Set once the file has been seen.
    id: OnceLock<String>,
}

impl LockFile {
    fn in_directory() -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("mutex-").tempdir().context("make a directory")?;
        Self::new(Place::Directory(dir))
    }

    fn on_fuse() -> anyhow::Result<Self> {
        let lock = Self::new(Place::Fuse(HungFs::mount(Locks::Local)?))?;
        fs::write(lock.path(), "").context("make the lock file")?;
        // Now, since a look could hang later.
        lock.id()?;
        Ok(lock)
    }

    fn new(place: Place) -> anyhow::Result<Self> {
        let lock = Self { place, id: OnceLock::new() };
        fs::create_dir(lock.dir()).context("make the lock file's directory")?;
        Ok(lock)
    }

    fn dir(&self) -> PathBuf {
        self.place.path().join("dir")
    }

    fn path(&self) -> PathBuf {
        self.dir().join("lock")
    }

    /// The file's id; `None` before the first taker has made the file.
    fn id(&self) -> anyhow::Result<Option<&String>> {
        if self.id.get().is_none() {
            let about = match fs::metadata(self.path()) {
                Ok(about) => about,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error).context("look at the lock file"),
            };
            let id = format!("{:02x}:{:02x}:{}", major(about.dev()), minor(about.dev()), about.ino());
            // Set by another thread meanwhile: the same.
            let _ = self.id.set(id);
        }
        Ok(self.id.get())
    }

    /// A fault that moves the file; its id is noted first.
    fn moved<'a>(
        &'a self,
        name: &'static str,
        inject: impl Fn() -> std::io::Result<()> + 'a,
        heal: impl Fn() -> std::io::Result<()> + 'a,
    ) -> Fault<'a> {
        let inject = move || {
            self.id()?;
            Ok(inject()?)
        };
        Fault::new(name, inject, move || Ok(heal()?))
    }
}

impl Store for LockFile {
    fn arguments(&self) -> Vec<OsString> {
        arguments(self.path())
    }

    fn rival_arguments(&self) -> Vec<OsString> {
        vec![self.path().into()]
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        Vec::new()
    }

    fn object(&self) -> String {
        self.path().display().to_string()
    }

    fn is_held(&self) -> anyhow::Result<bool> {
        let Some(id) = self.id()? else { return Ok(false) };
        let locks = fs::read_to_string("/proc/locks").context("read /proc/locks")?;
        Ok(locks.split_whitespace().any(|word| word == id))
    }

    fn frozen(&self) -> anyhow::Result<Fault<'_>> {
        match &self.place {
            Place::Fuse(fs) => Ok(fs.frozen()),
            Place::Directory(_) => bail!("an ordinary directory cannot be frozen"),
        }
    }

    fn takings(&self) -> Vec<Fault<'_>> {
        let away = self.place.path().join("elsewhere");
        let back = away.clone();
        vec![
            self.moved("file removed", || fs::remove_file(self.path()), || Ok(())),
            self.moved(
                "file replaced",
                || {
                    let other = self.place.path().join("other");
                    fs::write(&other, "")?;
                    fs::rename(other, self.path())
                },
                || Ok(()),
            ),
            self.moved(
                "directory renamed away",
                move || fs::rename(self.dir(), &away),
                move || fs::rename(&back, self.dir()),
            ),
        ]
    }
}
