//! A file system that can be made to hang: the program `hung_fs`, mounted below a temporary directory.
//!
//! This process never touches the mount while it hangs: it would hang with it.

use std::path::Path;

use anyhow::Context;
use tempfile::TempDir;

use super::fuse_server::Server;
use crate::fault::Fault;

/// Who keeps the locks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Locks {
    /// The kernel of this machine.
    Local,
    /// The file system's server, as on a cluster file system.
    Remote,
    /// Nobody: a lock call answers ENOLCK.
    None,
}

/// A mounted file system. Ends with this value, hung or not.
pub struct HungFs {
    server: Server,
    dir: TempDir,
}

impl HungFs {
    /// Mounts one.
    pub fn mount(locks: Locks) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("hung-fs-").tempdir().context("make a mount point")?;
        let server = Server::start(dir.path(), vec![dir.path().to_owned()], locks, None)?;
        Ok(Self { server, dir })
    }

    /// The mount point.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Every request is read and not answered: the calling process cannot even be killed.
    pub fn frozen(&self) -> Fault<'_> {
        self.held_back("frozen", "everything")
    }

    /// As `frozen`, but for writes alone.
    pub fn writes_hang(&self) -> Fault<'_> {
        self.held_back("writes hang", "writes")
    }

    /// As `frozen`, but for lock calls alone. Only a file system that keeps the locks itself sees these.
    pub fn locks_hang(&self) -> Fault<'_> {
        self.held_back("locks hang", "locks")
    }

    /// As `frozen`, but for reads of content alone.
    pub fn reads_hang(&self) -> Fault<'_> {
        self.held_back("reads hang", "reads")
    }

    /// As `frozen`, but for questions for a file's attributes alone.
    pub fn attributes_hang(&self) -> Fault<'_> {
        self.held_back("attributes hang", "attributes")
    }

    /// Every answer is held back: what was asked for is done, and nobody is told.
    pub fn answers_held_back(&self) -> Fault<'_> {
        self.held_back("answers held back", "answers")
    }

    fn held_back(&self, name: &'static str, what: &'static str) -> Fault<'_> {
        let say = move |verb| self.server.command(&format!("{verb} {what}"));
        Fault::new(name, move || say("hold"), move || say("free"))
    }

    /// From now on the kernel may answer for the server for an hour.
    pub fn let_the_kernel_cache(&self) -> anyhow::Result<()> {
        self.server.command("cache")
    }

    /// Should this process die, the server unmounts that at its end too.
    pub(super) fn takes_along(&self, mount_point: &Path) -> anyhow::Result<()> {
        self.server.command(&format!("take along {}", mount_point.display()))
    }

    /// The server is stopped: requests are not even read, and the calling process can be killed.
    pub fn stopped(&self) -> Fault<'_> {
        Fault::new("server stopped", || self.server.stop(), || self.server.go_on())
    }

    /// The server drops every lock it keeps, as one that has evicted its client.
    pub fn locks_dropped(&self) -> Fault<'_> {
        Fault::new("locks dropped", || self.server.command("forget"), || Ok(()))
    }

    /// The server dies: every request fails from then on.
    pub fn killed(&self) -> Fault<'_> {
        Fault::new("server killed", || self.server.kill(), || Ok(()))
    }
}
