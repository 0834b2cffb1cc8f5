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
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use tempfile::TempDir;

use super::command::start;
use super::fuse::Locks;
use super::fuse_server::{DIRECTORY, Server};
use super::guard::Guard;
use crate::fault::Fault;

/// In a directory of its own: where nothing is mounted, nobody can make a file of that name by mistake.
const LOCK_FILE: &str = "locks/lock";

/// How long a healthy mount may take to answer.
const LIMIT: Duration = Duration::from_secs(1);

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
        mount_point(self.dir.path(), node).join(LOCK_FILE)
    }

    /// Whether each node's mount answers, asked by processes that can wait for it in vain.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        let ask =
            |node: usize| start(Command::new("/usr/bin/stat").arg(mount_point(self.dir.path(), node)), LIMIT).ok();
        let asked: Vec<_> = (0..self.nodes).map(ask).collect();
        asked.into_iter().all(|asked| asked.is_some_and(|asked| asked.succeeded().is_ok()))
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

    /// The lock file's name is taken away: the next who wants the lock makes a new file.
    pub fn file_removed(&self) -> Fault<'_> {
        self.once("file removed", format!("remove {LOCK_FILE}"))
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

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::AsFd;
    use std::sync::mpsc::{Receiver, TryRecvError, channel};
    use std::sync::{Mutex, MutexGuard, PoisonError};
    use std::time::Instant;

    use nix::errno::Errno;
    use nix::fcntl::{FcntlArg, fcntl};
    use nix::libc;

    use super::*;
    use crate::wait::wait_for;

    const SESSION_TIME: Duration = Duration::from_millis(600);
    /// For what comes at once.
    const SOON: Duration = Duration::from_secs(5);

    /// A file system for one test at a time: who starts a process while this one has files open on a mount that hangs, hangs
    /// with it.
    fn mount(nodes: usize) -> anyhow::Result<(MutexGuard<'static, ()>, SharedFs)> {
        static ONE: Mutex<()> = Mutex::new(());
        let alone = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        Ok((alone, SharedFs::mount(nodes, SESSION_TIME)?))
    }

    fn open(fs: &SharedFs, node: usize) -> anyhow::Result<File> {
        let mut options = File::options();
        Ok(options.read(true).write(true).create(true).truncate(false).open(fs.lock_file(node))?)
    }

    fn set(file: &File, kind: i32) -> Result<(), Errno> {
        let lock = libc::flock {
            l_type: kind as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: 0,
            l_len: 1,
            l_pid: 0,
        };
        fcntl(file.as_fd(), FcntlArg::F_SETLK(&lock)).map(drop)
    }

    fn take(file: &File) -> Result<(), Errno> {
        set(file, libc::F_WRLCK)
    }

    /// Reads in a thread of its own, which may hang.
    fn read(file: &File) -> anyhow::Result<Receiver<Option<i32>>> {
        let (mut file, (sender, receiver)) = (file.try_clone()?, channel());
        std::thread::spawn(move || {
            let outcome = file.read(&mut [0]).err().and_then(|error| error.raw_os_error());
            sender.send(outcome)
        });
        Ok(receiver)
    }

    /// A lock that node 0 holds, and the file as node 1 has it.
    fn held(fs: &SharedFs) -> anyhow::Result<(File, File)> {
        let (one, other) = (open(fs, 0)?, open(fs, 1)?);
        take(&one)?;
        assert_eq!(take(&other), Err(Errno::EAGAIN));
        Ok((one, other))
    }

    #[test]
    fn mounts_have_one_tree_and_exclude_each_other_until_a_close() -> anyhow::Result<()> {
        let (_alone, fs) = mount(3)?;
        assert!(fs.is_healthy());
        std::fs::write(fs.lock_file(2), "x")?;
        assert_eq!(std::fs::read(fs.lock_file(1))?, b"x");
        let (one, other) = held(&fs)?;
        drop(one);
        take(&other)?;
        Ok(())
    }

    #[test]
    fn a_mount_cut_off_has_its_lock_for_the_session_time_and_learns_of_the_loss() -> anyhow::Result<()> {
        let (_alone, fs) = mount(2)?;
        let start = Instant::now();
        let (one, other) = held(&fs)?;
        let cut = fs.held_back(Held::Link, vec![0]);
        let again = fs.held_back(Held::Link, vec![0]);
        let (cut, again) = (cut.inject()?, again.inject()?);
        let waits = read(&one)?;
        wait_for("the lock to be free", SOON, || take(&other).ok())?;
        assert!(start.elapsed() >= SESSION_TIME, "{:?}", start.elapsed());
        again.heal()?;
        assert_eq!(waits.try_recv(), Err(TryRecvError::Empty), "one of two faults was healed");
        cut.heal()?;
        assert_eq!(waits.recv_timeout(SOON)?, Some(libc::EIO));
        assert_eq!(take(&open(&fs, 0)?), Err(Errno::EAGAIN), "a new session");
        assert_eq!(take(&one), Err(Errno::EIO));
        Ok(())
    }

    #[test]
    fn a_server_that_hangs_or_is_stopped_evicts_nobody() -> anyhow::Result<()> {
        let (_alone, fs) = mount(2)?;
        let (one, other) = held(&fs)?;
        for fault in [fs.held_back(Held::Everything, vec![0, 1]), fs.stopped()] {
            let fault = fault.inject()?;
            let waits = read(&other)?;
            assert!(waits.recv_timeout(SESSION_TIME * 2).is_err(), "something was answered");
            fault.heal()?;
            assert_eq!(waits.recv_timeout(SOON)?, None);
            assert_eq!(take(&other), Err(Errno::EAGAIN));
        }
        assert_eq!(read(&one)?.recv_timeout(SOON)?, None);
        Ok(())
    }

    #[test]
    fn a_lost_answer_is_one_to_a_request_that_was_done() -> anyhow::Result<()> {
        let (_alone, fs) = mount(2)?;
        let (one, other) = held(&fs)?;
        let lost = fs.held_back(Held::Answers, vec![0]);
        let lost = lost.inject()?;
        let (sender, receiver) = channel();
        std::thread::spawn(move || sender.send(set(&one, libc::F_UNLCK)));
        wait_for("the lock to be free", SOON, || take(&other).ok())?;
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        lost.heal()?;
        assert_eq!(receiver.recv_timeout(SOON)?, Ok(()));
        Ok(())
    }

    #[test]
    fn who_is_evicted_is_told_and_who_only_loses_the_lock_is_not() -> anyhow::Result<()> {
        let (_alone, fs) = mount(2)?;
        let (one, other) = held(&fs)?;
        fs.locks_dropped(0).inject()?.heal()?;
        take(&other)?;
        assert_eq!(take(&one), Err(Errno::EAGAIN));
        fs.evicted(1).inject()?.heal()?;
        take(&one)?;
        assert_eq!(take(&other), Err(Errno::EIO));
        Ok(())
    }

    #[test]
    fn a_killed_clients_lock_is_free_at_once_or_with_its_session_and_it_can_come_back() -> anyhow::Result<()> {
        let (_alone, fs) = mount(2)?;
        for (locks, at_least) in [(AtDeath::Freed, Duration::ZERO), (AtDeath::Kept, SESSION_TIME)] {
            let start = Instant::now();
            let (one, other) = held(&fs)?;
            let killed = fs.client_killed(0, locks);
            let (killed, again) = (killed.inject()?, killed.inject()?);
            assert_eq!(take(&one), Err(Errno::ENOTCONN));
            assert_eq!(open(&fs, 0).err().map(|error| format!("{error:#}").contains("os error 107")), Some(true));
            wait_for("the lock to be free", SOON, || take(&other).ok())?;
            assert!(start.elapsed() >= at_least, "{:?}", start.elapsed());
            again.heal()?;
            assert!(open(&fs, 0).is_err(), "one of two faults was healed");
            killed.heal()?;
            assert_eq!(take(&open(&fs, 0)?), Err(Errno::EAGAIN));
        }
        Ok(())
    }

    #[test]
    fn requests_fail_and_the_file_goes_when_told_to() -> anyhow::Result<()> {
        let (_alone, fs) = mount(2)?;
        let (one, other) = held(&fs)?;
        let failing = fs.fails(vec![0]);
        let failing = failing.inject()?;
        assert_eq!(take(&one), Err(Errno::EIO));
        drop(one);
        take(&other)?;
        failing.heal()?;
        fs.file_removed().inject()?.heal()?;
        assert!(!fs.lock_file(1).exists());
        assert!(fs.is_healthy());
        Ok(())
    }
}
