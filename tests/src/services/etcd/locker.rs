//! `etcdctl lock`, running: a taker as etcd's own clients are. It waits in line for as long as it takes.

use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::Context;
use rustix::process::Signal;

use super::keys::Key;
use super::{ETCDCTL, Etcd, member};
use crate::process::Process;
use crate::wait::wait_for;

/// It is in line a moment after its start.
const LINE_LIMIT: Duration = Duration::from_secs(5);

/// It gives its key back when it is asked to end, unless the store does not answer.
const END_LIMIT: Duration = Duration::from_secs(2);

/// The process and its place in the line. Gives the key back and ends with this value; its lease stays for the rest of
/// its ten seconds, as `etcdctl lock` leaves it.
pub struct Locker {
    child: Child,
    process: Process,
    key: Key,
}

impl Etcd {
    /// Starts `etcdctl lock` on this lock, on the observer's host, and waits until it is in line.
    pub fn etcdctl_lock(&self, lock: &str) -> anyhow::Result<Locker> {
        let before = self.holders(lock)?;
        let mut command = member::command(ETCDCTL);
        command.envs(self.environment()).args(["lock", lock]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let inside = self.network.as_ref().map(|network| network.admin().enter()).transpose()?;
        let child = command.spawn().context("start etcdctl lock")?;
        drop(inside);
        let mut started = Started(Some(child));
        let process = started.open()?;
        let is_new = |key: &Key| before.iter().all(|known| known.name != key.name);
        let own = || self.holders(lock).ok()?.into_iter().find(|key| key.value.is_empty() && is_new(key));
        let (key, _) = wait_for("etcdctl lock to be in line", LINE_LIMIT, own)?;
        let child = started.0.take().context("etcdctl lock has no process")?;
        Ok(Locker { child, process, key })
    }
}

/// Killed, unless it has become a [`Locker`].
struct Started(Option<Child>);

impl Started {
    fn open(&self) -> anyhow::Result<Process> {
        let child = self.0.as_ref().context("etcdctl lock has no process")?;
        Process::open(i32::try_from(child.id())?)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Locker {
    /// Its key.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }
}

impl Drop for Locker {
    fn drop(&mut self) {
        let _ = self.process.signal(Signal::TERM);
        let _ = self.process.wait_gone(END_LIMIT);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
