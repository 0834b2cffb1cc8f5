//! The event script enabled on each node of a running cluster, and what its events have done.
//!
//! A script before it and one behind it note when a monitor event begins, and when all scripts of one have succeeded. A
//! thread looks for the script's probes.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::Scope;
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use mutex_tests::process::{Process, programs};
use mutex_tests::services::ctdb::node::Node;
use mutex_tests::wait::wait_for;
use rustix::process::{Pid, getpgid};

const SCRIPT: &str = "02.mutex.script";

/// What a probe's processes have on their command line.
const PROBE: &str = "--health";

/// What a probe has until it says that the store is silent: half of what it has by default.
const TIMEOUT_SECONDS: u32 = 2;

/// Probes that hang do so for seconds.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// CTDB monitors every second then, and the machine is busy.
const EVENT_LIMIT: Duration = Duration::from_secs(20);

/// What a node notes.
#[derive(Clone, Copy)]
pub(crate) enum Noted {
    Begun,
    Succeeded,
}

impl Noted {
    fn file(self, node: &Node) -> PathBuf {
        node.base().join(match self {
            Self::Begun => "begun",
            Self::Succeeded => "succeeded",
        })
    }

    /// When, each time that it was.
    pub(crate) fn times(self, node: &Node) -> anyhow::Result<Vec<SystemTime>> {
        let file = self.file(node);
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(|| format!("read {}", file.display())),
        };
        let whole = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        whole
            .map(|line| {
                let nanoseconds = line.parse().with_context(|| format!("{} holds {line:?}", file.display()))?;
                Ok(SystemTime::UNIX_EPOCH + Duration::from_nanos(nanoseconds))
            })
            .collect()
    }
}

/// Enables the script, and waits until each node has been monitored with it.
pub(crate) fn enable(nodes: &[Node]) -> anyhow::Result<()> {
    for node in nodes {
        let events = node.base().join("events/legacy");
        let options = format!(
            "CTDB_MUTEX_PROGRAM={}\nCTDB_MUTEX_TIMEOUT_SECONDS={TIMEOUT_SECONDS}\nCTDB_SCRIPT_VARDIR={}\n",
            programs::helper("ctdb-mutex")?.display(),
            node.base().join("var/scripts").display(),
        );
        fs::write(events.join(SCRIPT).with_extension("options"), options)?;
        for (name, noted) in [("00.begun.script", Noted::Begun), ("99.succeeded.script", Noted::Succeeded)] {
            let file = noted.file(node);
            let text = format!("#!/bin/sh\n[ \"$1\" = monitor ] || exit 0\ndate +%s%N >>{}\n", file.display());
            // CTDB runs it as soon as it can be run, so it is whole by then.
            fs::write(events.join(name), text)?;
            fs::set_permissions(events.join(name), fs::Permissions::from_mode(0o755))?;
        }
        // What a package has in /usr/share/ctdb.
        let packaged = node.base().join("share/events/legacy");
        fs::create_dir_all(&packaged)?;
        fs::copy(programs::event_script(SCRIPT)?, packaged.join(SCRIPT))?;
        node.ctdb(&["event", "script", "enable", "legacy", "02.mutex"])?;
    }
    for node in nodes {
        let before = Noted::Succeeded.times(node)?.len();
        let monitored = || Noted::Succeeded.times(node).ok().filter(|times| times.len() > before).map(drop);
        wait_for(&format!("a monitor event on node {}", node.number()), EVENT_LIMIT, monitored)?;
    }
    Ok(())
}

/// The probes of each node.
pub(crate) struct Probes<'a> {
    nodes: &'a [Node],
    seen: Mutex<Vec<Seen>>,
    over: AtomicBool,
}

/// What has been seen on a node.
#[derive(Clone, Default)]
struct Seen {
    groups: BTreeSet<i32>,
    /// The most that were alive at once.
    at_once: BTreeSet<i32>,
}

impl<'a> Probes<'a> {
    pub(crate) fn new(nodes: &'a [Node]) -> Self {
        Self { nodes, seen: Mutex::new(vec![Seen::default(); nodes.len()]), over: AtomicBool::new(false) }
    }

    /// Looks until `work` is over.
    pub(crate) fn watch_during<T>(&self, work: impl FnOnce() -> T) -> T {
        std::thread::scope(|scope: &Scope<'_, '_>| {
            scope.spawn(|| {
                while !self.over.load(Ordering::Relaxed) {
                    self.look();
                    std::thread::sleep(LOOK_EVERY);
                }
            });
            // Also where it fails; a panic ends the test's program.
            let done = work();
            self.over.store(true, Ordering::Relaxed);
            done
        })
    }

    fn look(&self) {
        for node in self.nodes {
            let groups: BTreeSet<i32> = alive(node).iter().filter_map(group).collect();
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let seen = &mut seen[node.number()];
            seen.groups.extend(&groups);
            if groups.len() > seen.at_once.len() {
                seen.at_once = groups;
            }
        }
    }

    /// Each node has had a probe, and never two at once. A probe is a process group.
    pub(crate) fn check_one_at_a_time(&self) -> anyhow::Result<()> {
        for (number, seen) in self.seen.lock().unwrap_or_else(PoisonError::into_inner).iter().enumerate() {
            ensure!(!seen.groups.is_empty(), "no probe was seen on node {number}");
            ensure!(seen.at_once.len() <= 1, "probes alive at once on node {number}: {:?}", seen.at_once);
        }
        Ok(())
    }
}

/// The processes of a node's probes.
pub(crate) fn alive(node: &Node) -> Vec<Process> {
    node.started_with(PROBE)
}

fn group(process: &Process) -> Option<i32> {
    Some(getpgid(Pid::from_raw(process.pid())).ok()?.as_raw_nonzero().get())
}
