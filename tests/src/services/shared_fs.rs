//! A cluster file system that can be made to fail in every way: one server, which keeps the tree and the locks, and a mount
//! a node, each of which can be cut off, evicted or killed alone.
//!
//! It is no real one: it is small, its faults come when they are told to, and its session time is what the test wants.
//! The real ones are [`super::cephfs`], [`super::gluster`] and [`super::moosefs`], from whose measured behaviour these
//! faults are taken (docs/cluster-file-systems.md).
//!
//! Faults overlap: each can be injected again before it is healed, and is over with the last. What is said to a server that
//! is stopped happens when it goes on. This process never touches a mount: it would hang with it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use tempfile::TempDir;

use super::fuse::Locks;
use super::fuse_server::{DIRECTORY, Server};
use super::guard::Guard;
use crate::fault::Fault;

/// What of a node's requests is held back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Held {
    /// All of them: the server hangs. Sessions do not grow old: it hears nothing and knows that.
    Everything,
    /// All of them, and the session grows old: the node is cut off.
    Link,
    /// All answers. What was asked for is done, and the session does not grow old.
    Answers,
    /// Writes.
    Writes,
    /// Lock calls.
    Locks,
    /// Reads of content.
    Reads,
    /// Questions for a file's attributes.
    Attributes,
}

/// What becomes of the locks of a client that is killed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AtDeath {
    /// They are free at once: the server has seen the connection end, as GlusterFS's bricks do.
    Freed,
    /// They are free when the session time is over, as on CephFS.
    Kept,
}

/// A file system with a mount a node. Ends with this value, whatever hangs, and a moment after the end of this process.
pub struct SharedFs {
    server: Server,
    dir: TempDir,
    nodes: usize,
    _guard: Guard,
}

impl SharedFs {
    /// Mounts it once for each node. A client silent for `session_time` is evicted.
    pub fn mount(nodes: usize, session_time: Duration) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("shared-fs-").tempdir().context("make a directory for mounts")?;
        let guard = Guard::over(dir.path(), DIRECTORY)?;
        let places: Vec<_> = (0..nodes).map(|node| mount_point(dir.path(), node)).collect();
        for place in &places {
            std::fs::create_dir(place).context("make a mount point")?;
        }
        let server = Server::start(dir.path(), places, Locks::Remote, Some(session_time))?;
        // A directory of its own for the lock: where nothing is mounted, nobody can make a file of that name by mistake.
        std::fs::create_dir(mount_point(dir.path(), 0).join("locks")).context("make a directory on the file system")?;
        Ok(Self { server, dir, nodes, _guard: guard })
    }

    /// How many nodes have it mounted.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// The lock file, as a node sees it.
    #[must_use]
    pub fn lock_file(&self, node: usize) -> PathBuf {
        mount_point(self.dir.path(), node).join("locks/lock")
    }

    /// Something of these nodes' requests is read and not answered: processes in such a request cannot even be killed.
    pub fn held_back(&self, held: Held, nodes: Vec<usize>) -> Fault<'_> {
        let (name, what) = match held {
            Held::Everything => ("frozen", "everything"),
            Held::Link => ("mount cut off", "link"),
            Held::Answers => ("answers held back", "answers"),
            Held::Writes => ("writes hang", "writes"),
            Held::Locks => ("locks hang", "locks"),
            Held::Reads => ("reads hang", "reads"),
            Held::Attributes => ("attributes hang", "attributes"),
        };
        self.to_each(name, nodes, &format!("hold {what}"), &format!("free {what}"))
    }

    /// Every request of these nodes fails with EIO.
    pub fn fails(&self, nodes: Vec<usize>) -> Fault<'_> {
        self.to_each("requests fail", nodes, "fail", "work")
    }

    fn to_each(&self, name: &'static str, nodes: Vec<usize>, inject: &str, heal: &str) -> Fault<'_> {
        let say = move |words: &str, nodes: &[usize]| {
            nodes.iter().try_for_each(|node| self.server.command(&format!("{node} {words}")))
        };
        let (inject, heal, same) = (inject.to_owned(), heal.to_owned(), nodes.clone());
        Fault::new(name, move || say(&inject, &nodes), move || say(&heal, &same))
    }

    /// The server is stopped: requests are not even read.
    pub fn stopped(&self) -> Fault<'_> {
        Fault::new("server stopped", || self.server.stop(), || self.server.go_on())
    }

    /// A node's session is ended, as an admin does it: its locks are free, and what it has open fails with EIO.
    pub fn evicted(&self, node: usize) -> Fault<'_> {
        self.once("client evicted", format!("{node} evict"))
    }

    /// A node's locks are dropped, and neither that node nor anybody else is told.
    pub fn locks_dropped(&self, node: usize) -> Fault<'_> {
        self.once("locks dropped", format!("{node} forget"))
    }

    fn once(&self, name: &'static str, words: String) -> Fault<'_> {
        Fault::new(name, move || self.server.command(&words), || Ok(()))
    }

    /// A node's client dies: every request fails with ENOTCONN until the mount is made anew, which heals it.
    pub fn client_killed(&self, node: usize, locks: AtDeath) -> Fault<'_> {
        let (name, words) = match locks {
            AtDeath::Freed => ("client killed", "kill"),
            AtDeath::Kept => ("client killed, its session left behind", "leave behind"),
        };
        self.to_each(name, vec![node], words, "mount")
    }
}

fn mount_point(dir: &Path, node: usize) -> PathBuf {
    dir.join(format!("node{node}"))
}
