//! Processes, as /proc shows them, each held by its pidfd: a signal never reaches another that got the number later.
//!
//! Only `stat` is read of a process: its command line and its environment cannot be read of one that hangs in `execve`.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::Context;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A process.
pub(super) struct Process {
    pid: u32,
    fd: OwnedFd,
}

impl Process {
    /// The one with this number, which has not been waited for yet.
    pub(super) fn open(pid: u32) -> anyhow::Result<Self> {
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw).with_context(|| format!("{pid} is no process"))?;
        let fd = pidfd_open(raw, PidfdFlags::empty()).with_context(|| format!("cannot watch process {pid}"))?;
        Ok(Self { pid, fd })
    }

    /// Its number.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends it a signal; nothing where it is gone.
    pub(super) fn signal(&self, signal: Signal) {
        let _ = pidfd_send_signal(&self.fd, signal);
    }

    /// Whether every thread of it has ended.
    pub(super) fn is_gone(&self) -> bool {
        let mut fds = [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    /// Whether it is stopped, or will be before it does anything more.
    pub(super) fn is_stopped(&self) -> bool {
        // One that waits in a file system that hangs stops when it would go on.
        Stat::of(self.pid).is_none_or(|stat| matches!(stat.state, 'T' | 't' | 'D' | 'Z' | 'X'))
    }
}

impl AsFd for Process {
    /// Readable once the process is gone.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A helper's processes, as far as they have been seen: whom the first one started, and whoever is in its group or session.
pub(super) struct Family {
    first: u32,
    members: Vec<Process>,
}

impl Family {
    /// That of a process which leads its group.
    pub(super) fn of(first: u32) -> anyhow::Result<Self> {
        let mut family = Self { first, members: vec![Process::open(first)?] };
        family.look();
        Ok(family)
    }

    /// The number of the process that CTDB would have started.
    pub(super) fn first(&self) -> u32 {
        self.first
    }

    /// Looks for more of them.
    pub(super) fn look(&mut self) {
        let all = Stat::all();
        loop {
            let is_new = |stat: &&Stat| {
                let known = |pid: u32| self.members.iter().any(|member| member.pid == pid);
                let kin = stat.group == self.first || stat.session == self.first || known(stat.parent);
                kin && !stat.is_gone() && !known(stat.pid)
            };
            let found: Vec<Process> =
                all.iter().filter(is_new).filter_map(|stat| Process::open(stat.pid).ok()).collect();
            if found.is_empty() {
                return;
            }
            self.members.extend(found);
        }
    }

    /// All of them, the first one too.
    pub(super) fn members(&self) -> &[Process] {
        &self.members
    }

    /// Those that the first one started, and that are not gone.
    pub(super) fn children(&self) -> impl Iterator<Item = &Process> {
        self.members.iter().filter(|member| member.pid != self.first && !member.is_gone())
    }

    /// Those that are not gone.
    pub(super) fn left(&self) -> Vec<&Process> {
        self.members.iter().filter(|member| !member.is_gone()).collect()
    }
}

/// What proc(5) says of a process.
struct Stat {
    pid: u32,
    state: char,
    parent: u32,
    group: u32,
    session: u32,
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        Self::parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(pid: u32, text: &str) -> Option<Self> {
        // The name in front may hold anything, brackets too.
        let mut words = text.rsplit_once(") ")?.1.split_ascii_whitespace();
        let state = words.next()?.chars().next()?;
        let mut number = || words.next()?.parse().ok();
        Some(Self { pid, state, parent: number()?, group: number()?, session: number()? })
    }

    fn all() -> Vec<Self> {
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        entries.flatten().filter_map(|entry| Self::of(entry.file_name().to_str()?.parse().ok()?)).collect()
    }

    /// Ended, and nobody has waited for it.
    fn is_gone(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

/// The child of a process, once it has one.
pub(super) fn child_of(parent: u32) -> Option<u32> {
    Stat::all().into_iter().find(|stat| stat.parent == parent).map(|stat| stat.pid)
}

#[cfg(test)]
mod tests {
    use super::Stat;

    #[test]
    fn a_name_with_brackets_and_blanks_is_skipped() {
        let stat = Stat::parse(7, "7 (a) b (c) d) T 5 6 4 0 -1");
        assert!(stat.is_some_and(|stat| (stat.state, stat.parent, stat.group, stat.session) == ('T', 5, 6, 4)));
        assert!(Stat::parse(7, "7 (a").is_none());
    }
}
