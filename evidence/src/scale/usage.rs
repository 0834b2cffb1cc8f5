//! What a process takes of this machine.

use std::fs;
use std::time::Duration;

use anyhow::Context;
use mutex_tests::process::Process;
use mutex_tests::process::helper::Helper;
use nix::time::ClockId;
use nix::unistd::Pid;

/// What one or several processes take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Memory, in KiB, of which a page that N processes share counts 1/N for each.
    pub(super) pss: u64,
    /// Resident memory, in KiB.
    pub(super) resident: u64,
    /// Of that what is of no file, so what it has allocated: in KiB.
    pub(super) anonymous: u64,
    /// Open descriptors.
    pub(super) descriptors: usize,
    pub(super) threads: usize,
}

impl Usage {
    pub(super) fn of(pid: i32) -> anyhow::Result<Self> {
        let path = format!("/proc/{pid}/smaps_rollup");
        let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        let threads = fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
        Ok(Self {
            pss: kib(&text, "Pss:")?,
            resident: kib(&text, "Rss:")?,
            anonymous: kib(&text, "Anonymous:")?,
            descriptors: descriptors(pid),
            threads,
        })
    }
}

impl std::ops::Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            pss: self.pss + other.pss,
            resident: self.resident + other.resident,
            anonymous: self.anonymous + other.anonymous,
            descriptors: self.descriptors + other.descriptors,
            threads: self.threads + other.threads,
        }
    }
}

impl std::iter::Sum for Usage {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| sum + one)
    }
}

/// The two processes of a holder.
pub(super) struct Pair {
    supervisor: Process,
    worker: Process,
}

impl Pair {
    pub(super) fn of(holder: &Helper) -> anyhow::Result<Self> {
        Ok(Self { supervisor: Process::open(holder.supervisor().pid())?, worker: holder.worker()? })
    }

    /// Of the supervisor, and of the worker.
    pub(super) fn usage(&self) -> anyhow::Result<[Usage; 2]> {
        Ok([Usage::of(self.supervisor.pid())?, Usage::of(self.worker.pid())?])
    }

    /// The CPU time of both since their start: by their clocks, to the nanosecond, where /proc/PID/stat counts hundredths
    /// of a second.
    pub(super) fn cpu(&self) -> anyhow::Result<Duration> {
        Ok(cpu(self.supervisor.pid())? + cpu(self.worker.pid())?)
    }
}

fn cpu(pid: i32) -> anyhow::Result<Duration> {
    let now = || Ok::<_, nix::Error>(ClockId::pid_cpu_clock_id(Pid::from_raw(pid))?.now()?.into());
    now().with_context(|| format!("read the CPU clock of process {pid}"))
}

/// How many descriptors it has open; none where it is gone.
pub(super) fn descriptors(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// The value of a line such as `Pss:                 938 kB`.
fn kib(rollup: &str, name: &str) -> anyhow::Result<u64> {
    let value = rollup.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no line {name}"))?;
    value.trim().trim_end_matches(" kB").parse().with_context(|| format!("{name} {value:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollup_is_read() {
        let text = "Rss:                1820 kB\nPss:                 938 kB\nPss_Dirty:            10 kB\n";
        assert_eq!(kib(text, "Pss:").unwrap(), 938);
        assert!(kib(text, "Anonymous:").is_err());
    }

    #[test]
    fn a_process_of_our_own_takes_something() {
        let own = i32::try_from(std::process::id()).unwrap();
        let usage = Usage::of(own).unwrap();
        assert!(usage.pss > 0 && usage.resident >= usage.anonymous && usage.descriptors > 2 && usage.threads > 0);
        let before = cpu(own).unwrap();
        assert!(before > Duration::ZERO && cpu(own).unwrap() > before);
    }
}
