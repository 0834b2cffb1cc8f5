//! A mount point, and the connection behind it.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use fuser::{BackgroundSession, Config, MountOption, Session};
use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, umount2};
use nix::sys::stat::Mode;

use crate::client::Client;
use crate::store::Store;

/// Requests of one mount that can hang at once; each sits in one thread. More than a test's processes ever make.
const THREADS: usize = 16;

/// A mount.
pub(crate) struct Mount {
    place: PathBuf,
    store: Arc<Store>,
    number: usize,
    /// How often it was killed without being mounted anew.
    deaths: u32,
    connection: Option<Connection>,
}

struct Connection {
    /// Dropped first: it unmounts what it finds at the place, if it can.
    _session: BackgroundSession,
    gone: Arc<AtomicBool>,
    /// Keeps the mount in its place when its connection is aborted, so that nobody sees the directory below.
    _pin: OwnedFd,
}

impl Mount {
    /// Mounts the store as the client of this number.
    pub(crate) fn new(place: &Path, store: &Arc<Store>, number: usize) -> anyhow::Result<Self> {
        let mut mount = Self { place: place.to_owned(), store: Arc::clone(store), number, deaths: 0, connection: None };
        mount.connect()?;
        Ok(mount)
    }

    fn connect(&mut self) -> anyhow::Result<()> {
        let gone = Arc::new(AtomicBool::new(false));
        let client = Client { store: Arc::clone(&self.store), mount: self.number, gone: Arc::clone(&gone) };
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("hung_fs".into()), MountOption::DefaultPermissions];
        config.n_threads = Some(THREADS);
        let session = Session::new(client, &self.place, &config)
            .and_then(Session::spawn)
            .with_context(|| format!("mount {} (package fuse3, device /dev/fuse)", self.place.display()))?;
        // No request is made for this: the connection may be one whose requests are held back.
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let pin = open(&self.place, flags, Mode::empty()).context("open a mount point")?;
        self.connection = Some(Connection { _session: session, gone, _pin: pin });
        Ok(())
    }

    /// Ends the connection: every request fails with ENOTCONN from now on, also those that wait.
    pub(crate) fn abort(&mut self) {
        if let Some(connection) = &self.connection {
            self.store.gates[self.number].end(&connection.gone);
            // By force, so that the kernel ends the connection; busy as it is, the mount stays.
            let _ = umount2(&self.place, MntFlags::MNT_FORCE);
        }
    }

    /// Its client dies, once more.
    pub(crate) fn die(&mut self) {
        self.deaths += 1;
        self.abort();
    }

    /// Takes a death back: after the last it is mounted anew.
    pub(crate) fn live(&mut self) -> anyhow::Result<()> {
        let was_dead = self.deaths > 0;
        self.deaths = self.deaths.saturating_sub(1);
        if !was_dead || self.deaths > 0 {
            return Ok(());
        }
        self.unmount();
        self.connect()
    }

    /// Ends all of it, also for those who have files open there.
    pub(crate) fn unmount(&mut self) {
        let _ = umount2(&self.place, MntFlags::MNT_DETACH);
        self.connection = None;
    }

    /// Where it is.
    pub(crate) fn place(&self) -> &Path {
        &self.place
    }
}
