//! All processes of a helper: the one that was started and its descendants, and their memory.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// Looks in a row that must agree before a helper's memory counts as settled.
const SAME_LOOKS: usize = 5;
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// One that never settles is measured as it is by then.
const SETTLE_LIMIT: Duration = Duration::from_secs(1);

/// What all processes of a helper take together.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Memory {
    /// A page that several processes have in memory counts for each of them.
    pub(super) rss_kib: u64,
    /// A page that N processes share counts 1/N for each.
    pub(super) pss_kib: u64,
    pub(super) processes: u64,
}

/// A process, held by its pidfd: its number may be another's by the time that it is gone.
pub(super) struct Process {
    fd: OwnedFd,
}

/// This process and its descendants.
pub(super) fn tree(root: u32) -> Vec<u32> {
    let mut all = vec![root];
    let mut next = 0;
    while let Some(&pid) = all.get(next) {
        all.extend(children(pid));
        next += 1;
    }
    all
}

/// One that is gone has none.
fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists = threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

/// Waits until the memory of all of them stays the same; `None` where it cannot be read.
///
/// Their proportional memory cannot be waited for: it changes with every process of the machine that comes or goes.
pub(super) fn settled_memory(root: u32) -> Option<Memory> {
    let end = Instant::now() + SETTLE_LIMIT;
    let mut last = total(root)?;
    let mut same = 0;
    while same < SAME_LOOKS && Instant::now() < end {
        std::thread::sleep(LOOK_EVERY);
        let now = total(root)?;
        same = if (now.rss_kib, now.processes) == (last.rss_kib, last.processes) { same + 1 } else { 0 };
        last = now;
    }
    Some(last)
}

fn total(root: u32) -> Option<Memory> {
    let mut sum = Memory { rss_kib: 0, pss_kib: 0, processes: 0 };
    for pid in tree(root) {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        sum.rss_kib += kib(&rollup, "Rss:")?;
        sum.pss_kib += kib(&rollup, "Pss:")?;
        sum.processes += 1;
    }
    Some(sum)
}

/// The value of a line such as `Pss:                 938 kB`.
fn kib(rollup: &str, name: &str) -> Option<u64> {
    rollup.lines().find_map(|line| line.strip_prefix(name))?.trim().strip_suffix(" kB")?.parse().ok()
}

impl Process {
    /// `None` where it is gone.
    pub(super) fn open(pid: u32) -> Option<Self> {
        let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
        Some(Self { fd: pidfd_open(pid, PidfdFlags::empty()).ok()? })
    }

    /// Whether it is gone by then.
    pub(super) fn is_gone_by(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX);
        poll(&mut [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)], timeout).is_ok_and(|ready| ready > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::{kib, total, tree};

    #[test]
    fn the_kernel_s_figures_are_read() {
        let text = "Rss:                1624 kB\nPss:                 938 kB\nPss_Dirty:           100 kB\n";
        assert_eq!([kib(text, "Rss:"), kib(text, "Pss:"), kib(text, "Swap:")], [Some(1624), Some(938), None]);
    }

    #[test]
    fn this_process_has_memory() {
        let own = std::process::id();
        assert_eq!(tree(own).first(), Some(&own));
        assert!(total(own).is_some_and(|memory| memory.rss_kib >= memory.pss_kib && memory.pss_kib > 0));
    }
}
