//! The memory of a process and all its descendants.

use std::fs;
use std::time::Duration;

use anyhow::Context;
use mutex_tests::process::Process;
use mutex_tests::wait::wait_for;

/// Looks in a row that must agree: no helper has a start-up step that takes as long as these do (50 ms). That of RADOS,
/// ours or theirs, grows by 60 KiB in the ten seconds after them.
const SAME_LOOKS: usize = 10;

/// The memory of a tree of processes.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    /// A page that N processes share counts 1/N for each.
    pub(crate) pss_kib: u64,
    resident_kib: u64,
    pub(crate) processes: usize,
}

/// Waits until the processes and their resident memory stay the same. Their share of it cannot be waited for: it
/// changes with every process of the machine that comes or goes.
pub(crate) fn settled(root: &Process) -> anyhow::Result<Memory> {
    let mut last = None;
    let mut same = 0;
    let steady = || {
        let now = total(root).ok()?;
        let state = Some((now.processes, now.resident_kib));
        same = if state == last { same + 1 } else { 0 };
        last = state;
        (same >= SAME_LOOKS).then_some(now)
    };
    let (memory, _) = wait_for("the helper's memory to settle", Duration::from_secs(5), steady)?;
    Ok(memory)
}

/// Whether a ctdbd runs on this machine: with it, Samba's helpers share libraries, which then count for less.
pub(crate) fn is_ctdbd_here() -> bool {
    let Ok(entries) = fs::read_dir("/proc") else { return false };
    let name = |entry: fs::DirEntry| fs::read_to_string(entry.path().join("comm")).ok();
    entries.flatten().filter_map(name).any(|name| name == "ctdbd\n")
}

fn total(root: &Process) -> anyhow::Result<Memory> {
    let path = format!("/proc/{}/smaps_rollup", root.pid());
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let mut sum = Memory { pss_kib: kib(&text, "Pss:")?, resident_kib: kib(&text, "Rss:")?, processes: 1 };
    for pid in root.children() {
        let below = total(&Process::open(pid)?)?;
        sum.pss_kib += below.pss_kib;
        sum.resident_kib += below.resident_kib;
        sum.processes += below.processes;
    }
    Ok(sum)
}

/// The value of a line such as `Pss:                 938 kB`.
fn kib(rollup: &str, name: &str) -> anyhow::Result<u64> {
    let value = rollup.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no line {name}"))?;
    value.trim().trim_end_matches(" kB").parse().with_context(|| format!("{name} {value:?}"))
}
