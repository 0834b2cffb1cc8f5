//! The file stage: a file on a cluster file system with one mount a node.
//!
//! The file system is one of FUSE's whose faults come when they are told to ([`SharedFs`]); nodes are hosts for themselves
//! all the same, although only their mounts connect them.
//!
//! A file lock has no lease: what is promised is P2c. When nothing answers, EOF comes within RECHECK + PING-TIMEOUT of the
//! last good proof; so the session time of the file system, after which it gives a silent node's lock away, must not be less.
//! Here it is that and half a second. CephFS's and GlusterFS's are many times as long (docs/cluster-file-systems.md): the
//! short one puts the promise to the test.
//!
//! What has a table of its own:
//!
//! - the file system frees the lock of a client that it can still tell so (evicted, its process dead), or drops it by mistake, or
//!   the file is removed: EOF within RECHECK + 1 s;
//! - the worker is killed, and the kernel frees the lock before anybody can hear of that: EOF within 50 ms, and within
//!   RECHECK + PING-TIMEOUT where the file system has freed the lock and does not say so.

use std::time::Duration;

use anyhow::{Context, bail};
use mutex_tests::fault::Fault;
use mutex_tests::process::programs;
use mutex_tests::services::network::{Inside, Namespace};
use mutex_tests::services::shared_fs::{AtDeath, Held, SharedFs};

use super::kind::{WORKER_KILLED, own_table, promised};
use super::stage::{Blow, Call, Kind, Span, Stage, Subject, Terms, Times};

/// RECHECK.
const RECHECK: Duration = Duration::from_secs(1);
/// PING-TIMEOUT. Half of it is ridden out: P3 promises that of anything less than PING-TIMEOUT - 1 s.
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// How much longer the file system is patient than P2c needs: what a machine of two cores may take to wake a process up.
const ROOM: Duration = Duration::from_millis(500);
/// P2c: within RECHECK and this of a loss that the file system reports.
const REPORTED_WITHIN: Duration = Duration::from_secs(1);
/// P2c: after the kernel has freed a killed worker's lock.
const AFTER_WORKER: Duration = Duration::from_millis(50);

const STALLED: Kind = promised("file system stalled", Span::HalfLease);
const FROZEN: Kind = promised("file system frozen", Span::Lease);
const SERVER_STOPPED: Kind = promised("file server stopped", Span::Mixed);
const CUT_OFF: Kind = promised("mount cut off", Span::Mixed);
const CUT_OFF_LONG: Kind = promised("mount cut off until evicted", Span::Lease);
const HALF_CUT_OFF: Kind = promised("half of the mounts cut off", Span::Mixed);
const ONE_WAY: Kind = promised("answers to a mount lost", Span::Mixed);
const WRITES: Kind = promised("writes hang", Span::Mixed);
const READS: Kind = promised("reads hang", Span::Mixed);
const LOCKS: Kind = promised("lock calls hang", Span::Mixed);
const ATTRIBUTES: Kind = promised("attributes hang", Span::Mixed);
const FAILS: Kind = promised("requests fail with EIO", Span::Mixed);
const LEFT_BEHIND: Kind = promised("client killed, its session stays", Span::Mixed);
const CLIENT_KILLED: Kind = own_table("client killed, its locks freed", Span::Mixed);
const EVICTED: Kind = own_table("client evicted by an admin", Span::Moment);
const DROPPED: Kind = own_table("locks dropped in silence", Span::Moment);
const REMOVED: Kind = own_table("file removed", Span::Moment);

const KINDS: &[Kind] = &[
    STALLED,
    FROZEN,
    SERVER_STOPPED,
    CUT_OFF,
    CUT_OFF_LONG,
    HALF_CUT_OFF,
    ONE_WAY,
    WRITES,
    READS,
    LOCKS,
    ATTRIBUTES,
    FAILS,
    LEFT_BEHIND,
    CLIENT_KILLED,
    EVICTED,
    DROPPED,
    REMOVED,
];

/// The stage.
struct FileStage {
    fs: SharedFs,
    hosts: Vec<Namespace>,
}

/// Sets it up.
///
/// # Errors
/// Where there is no FUSE, or without root.
pub fn stage(nodes: usize) -> anyhow::Result<Box<dyn Stage>> {
    let session_time = RECHECK + PING_TIMEOUT + ROOM;
    let hosts = (0..nodes).map(|_| Namespace::new()).collect::<Result<_, _>>()?;
    Ok(Box::new(FileStage { fs: SharedFs::mount(nodes, session_time)?, hosts }))
}

impl FileStage {
    fn all(&self) -> Vec<usize> {
        (0..self.fs.nodes()).collect()
    }

    /// The node, or all of them: as the die falls.
    fn one_or_all(&self, blow: &Blow) -> Vec<usize> {
        if blow.dice & 1 == 0 { vec![blow.node] } else { self.all() }
    }

    /// Half of the nodes, rounded down, with this one.
    fn half(&self, blow: &Blow) -> Vec<usize> {
        let nodes = self.fs.nodes();
        let first = blow.node;
        // Which of its neighbours go along is drawn.
        let step = if blow.dice & 1 == 0 { 1 } else { nodes - 1 };
        (0..nodes / 2).map(|place| (first + place * step) % nodes).collect()
    }
}

/// What is promised on it.
#[must_use]
pub fn terms() -> Terms {
    let times = Times {
        lease: RECHECK + PING_TIMEOUT,
        renew: RECHECK,
        // Of a loss that is reported. A call that hangs has PING-TIMEOUT, and that is in the lease.
        call: REPORTED_WITHIN,
        margin: Duration::ZERO,
        free: RECHECK + PING_TIMEOUT + ROOM,
    };
    Terms {
        times,
        kinds: KINDS,
        excuse: |common| (*common == WORKER_KILLED).then_some(AFTER_WORKER),
        // The kernel unlocks for the dead worker and waits for an answer, and until that has come nobody can see that the
        // worker is dead: then it is as where the file system hangs.
        excuse_beside: |common, other| {
            (*common == WORKER_KILLED && *other == ONE_WAY).then_some(RECHECK + PING_TIMEOUT)
        },
    }
}

impl Stage for FileStage {
    fn backend(&self) -> &'static str {
        "file"
    }

    fn terms(&self) -> Terms {
        terms()
    }

    fn nodes(&self) -> usize {
        self.fs.nodes()
    }

    fn members(&self) -> usize {
        1
    }

    fn enter(&self, node: usize) -> anyhow::Result<Inside> {
        self.hosts.get(node).with_context(|| format!("there is no node {node}"))?.enter()
    }

    fn call(&self, subject: Subject, node: usize) -> anyhow::Result<Option<Call>> {
        let program = match subject {
            Subject::Ours => programs::helper("ctdb_mutex_file_helper")?,
            Subject::Distribution => programs::packaged("/usr/libexec/ctdb/ctdb_mutex_fcntl_helper", "ctdb")?,
            Subject::Unsafe => return Ok(None),
        };
        let times = [RECHECK, PING_TIMEOUT].map(|time| time.as_secs().to_string().into());
        let mut arguments = vec![self.fs.lock_file(node).into()];
        arguments.extend(times);
        Ok(Some(Call { program, arguments, environment: Vec::new() }))
    }

    fn fault(&self, blow: &Blow) -> anyhow::Result<Fault<'_>> {
        let (fs, node) = (&self.fs, blow.node);
        Ok(match blow.kind {
            STALLED | FROZEN => fs.held_back(Held::Everything, self.all()),
            SERVER_STOPPED => fs.stopped(),
            CUT_OFF | CUT_OFF_LONG => fs.held_back(Held::Link, vec![node]),
            HALF_CUT_OFF => fs.held_back(Held::Link, self.half(blow)),
            ONE_WAY => fs.held_back(Held::Answers, vec![node]),
            WRITES => fs.held_back(Held::Writes, self.one_or_all(blow)),
            READS => fs.held_back(Held::Reads, self.one_or_all(blow)),
            LOCKS => fs.held_back(Held::Locks, self.one_or_all(blow)),
            ATTRIBUTES => fs.held_back(Held::Attributes, self.one_or_all(blow)),
            FAILS => fs.fails(self.one_or_all(blow)),
            LEFT_BEHIND => fs.client_killed(node, AtDeath::Kept),
            CLIENT_KILLED => fs.client_killed(node, AtDeath::Freed),
            EVICTED => fs.evicted(node),
            DROPPED => fs.locks_dropped(node),
            REMOVED => fs.file_removed(),
            other => bail!("no kind of this stage: {}", other.name),
        })
    }

    fn whom(&self, blow: &Blow) -> String {
        let list = |nodes: Vec<usize>| nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match blow.kind {
            HALF_CUT_OFF => format!("nodes {}", list(self.half(blow))),
            WRITES | READS | LOCKS | ATTRIBUTES | FAILS if self.hits(blow).is_none() => "all nodes".to_owned(),
            _ => self.hits(blow).map_or_else(String::new, |node| format!("node {node}")),
        }
    }

    fn hits(&self, blow: &Blow) -> Option<usize> {
        match blow.kind {
            CUT_OFF | CUT_OFF_LONG | ONE_WAY | LEFT_BEHIND | CLIENT_KILLED | EVICTED | DROPPED => Some(blow.node),
            WRITES | READS | LOCKS | ATTRIBUTES | FAILS if self.one_or_all(blow).len() == 1 => Some(blow.node),
            _ => None,
        }
    }

    fn is_healthy(&self) -> bool {
        self.fs.answers().is_ok()
    }
}
