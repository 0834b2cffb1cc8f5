//! A real CTDB cluster: ctdbd of the package `ctdb`, one a node, as ordinary processes on loopback, or on hosts of their own that can
//! be cut off from each other.
//!
//! | module | what is in it |
//! |---|---|
//! | [`node`] | one node: its directory, its processes, what can be done to them |
//! | [`log`] | the lines that the nodes log, with their times |
//! | [`status`] | what a node tells about the cluster |
//! | [`view`] | a path that leads somewhere else on each node; a system in a directory |
//! | [`watcher`] | who believes to have the lock, at every moment |
//!
//! What CTDB believes stands in its log and nowhere else (`ctdb status` follows it by up to a second), so the log is what
//! times are taken from.

pub mod log;
pub mod node;
pub mod status;
pub mod view;
pub mod watcher;

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;

use super::addresses::Block;
use super::guard::Guard;
use super::in_memory;
use super::network::{Namespace, Network};
use crate::fault::Fault;
use crate::process::programs;
use crate::wait::wait_for;
use log::{Line, Mark};
use node::Node;
use status::Status;
use view::{Common, Root};
use watcher::Watcher;

/// The port that every ctdbd listens on.
const CTDB_PORT: u16 = 4379;

/// What its files need at most: logs, and databases without anything in them.
const ROOM: u64 = 64 << 20;

/// The subnet of the link between nodes that have hosts of their own; etcd's is 0, that of keepalived's link 1.
const SUBNET: u8 = 2;

/// Their interface there.
const LINK: &str = "ctdb";

/// Nodes find each other in 5 s (`leader timeout`) and monitor each other every few more: 9 s on an idle machine.
const HEALTHY_LIMIT: Duration = Duration::from_secs(60);

/// A running cluster. Every process of it ends with this value.
pub struct Cluster {
    nodes: Vec<Node>,
    watcher: Option<Watcher>,
    link: Option<Network>,
    // In this order: the processes end, then the directory goes, then the addresses are free for others.
    _guard: Guard,
    _dir: TempDir,
    _addresses: Option<Block>,
}

/// What a cluster is started with.
#[derive(Default)]
pub struct Setup {
    /// How many nodes.
    pub size: usize,
    /// What stands behind `cluster lock =`.
    pub lock: String,
    /// What every ctdbd has in its environment.
    pub environment: Vec<(&'static str, OsString)>,
    /// A path that leads somewhere else on each node.
    pub common: Option<Common>,
    /// A system in a directory, whose ctdbd is started in place of this machine's.
    pub root: Option<Root>,
    /// How often each node is monitored, where that matters.
    pub monitor_interval: Option<Duration>,
    /// A host for each node, from which it reaches its store; they get a link between them that can be cut. None: all of
    /// them are on this machine's loopback.
    pub hosts: Vec<Namespace>,
}

/// A node that has taken the cluster lock.
pub struct Taken {
    /// Which node, counted from 0.
    pub node: usize,
    /// When it was told so by its helper.
    pub at: SystemTime,
}

impl Cluster {
    /// Starts a cluster and waits until it is healthy.
    pub fn start(setup: &Setup) -> anyhow::Result<Self> {
        programs::packaged("/usr/sbin/ctdbd", "ctdb")?;
        programs::packaged("/usr/bin/ctdb", "ctdb")?;
        let (link, block) = match setup.hosts.len() {
            0 => (None, Some(Block::reserve(setup.size, CTDB_PORT)?)),
            hosts => {
                ensure!(hosts == setup.size, "{hosts} hosts for {} nodes", setup.size);
                (Some(linked(&setup.hosts)?), None)
            }
        };
        let addresses: Vec<Ipv4Addr> = match (&link, &block) {
            (Some(link), _) => (0..setup.size).map(|number| link.address(number)).collect(),
            (None, Some(block)) => block.all().to_vec(),
            (None, None) => Vec::new(),
        };
        let dir = in_memory::directory("mutex-ctdb-", ROOM).context("make the cluster's directory")?;
        let guard = Guard::over(dir.path(), "CTDB_BASE")?;
        let nodes = (0..setup.size)
            .map(|number| Node::create(dir.path(), number, &addresses, setup))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let watcher = Watcher::start(&nodes)?;
        let cluster = Self { nodes, watcher: Some(watcher), link, _guard: guard, _dir: dir, _addresses: block };
        for node in &cluster.nodes {
            node.start()?;
        }
        cluster.wait_healthy()?;
        Ok(cluster)
    }

    /// The nodes.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The watcher, which has looked since before the first node was started.
    pub fn watcher(&self) -> anyhow::Result<&Watcher> {
        self.watcher.as_ref().context("the cluster is ending")
    }

    /// The node that every node which answers calls the leader; `None` while they differ or know none.
    #[must_use]
    pub fn leader(&self) -> Option<&Node> {
        let told: Vec<_> = self.statuses().into_iter().flatten().map(|status| status.leader).collect();
        let first = told.first().copied().flatten()?;
        told.iter().all(|&leader| leader == Some(first)).then(|| self.nodes.get(first)).flatten()
    }

    /// The leader of a healthy cluster: every node runs, finds nothing wrong with any node, is not in recovery, and follows
    /// the same leader.
    #[must_use]
    pub fn healthy_leader(&self) -> Option<&Node> {
        let statuses = self.statuses().into_iter().collect::<Option<Vec<_>>>()?;
        let leader = statuses.first()?.leader?;
        let healthy = Status { ok_nodes: self.nodes.len(), in_recovery: false, leader: Some(leader) };
        statuses.iter().all(|&status| status == healthy).then(|| self.nodes.get(leader)).flatten()
    }

    /// Waits until the cluster is healthy, and says who leads it.
    pub fn wait_healthy(&self) -> anyhow::Result<&Node> {
        match wait_for("a healthy cluster", HEALTHY_LIMIT, || self.healthy_leader()) {
            Ok((leader, _)) => Ok(leader),
            Err(error) => Err(error.context(self.describe())),
        }
    }

    /// What each node answers, `None` where it does not. Asked side by side, since each answer waits for the next
    /// broadcast of the leader.
    fn statuses(&self) -> Vec<Option<Status>> {
        std::thread::scope(|scope| {
            let asked: Vec<_> = self.nodes.iter().map(|node| scope.spawn(|| node.status().ok())).collect();
            asked.into_iter().map(|answer| answer.join().ok().flatten()).collect()
        })
    }

    /// The end of each node's log at this moment.
    pub fn mark(&self) -> anyhow::Result<Mark> {
        self.nodes.iter().map(|node| node.log().end()).collect()
    }

    /// What all nodes logged after `mark`, in the order of time.
    pub fn log_since(&self, mark: &Mark) -> anyhow::Result<Vec<Line>> {
        let mut lines = Vec::new();
        for (node, &from) in self.nodes.iter().zip(mark) {
            lines.extend(node.log().since(from)?.lines);
        }
        lines.sort_by_key(|line| line.at);
        Ok(lines)
    }

    /// Waits until a node has taken the lock after `mark`.
    pub fn wait_taken(&self, mark: &Mark, limit: Duration) -> anyhow::Result<Taken> {
        let taken = || {
            let lines = match self.log_since(mark) {
                Ok(lines) => lines,
                Err(error) => return Some(Err(error)),
            };
            let line = lines.iter().find(|line| line.is_taken())?;
            Some(Ok(Taken { node: line.node, at: line.at }))
        };
        match wait_for("a node to take the cluster lock", limit, taken) {
            Ok((taken, _)) => taken,
            Err(error) => bail!("{error}\n{}", self.transcript(mark)),
        }
    }

    /// Waits until every node that answers calls this one the leader.
    pub fn wait_agreed(&self, leader: usize, limit: Duration) -> anyhow::Result<()> {
        let agreed = || self.leader().filter(|node| node.number() == leader).map(|_| ());
        wait_for(&format!("all nodes to follow node {leader}"), limit, agreed)?;
        Ok(())
    }

    /// What this node and the others send to each other nobody gets, and nobody is told; each reaches its store. The nodes
    /// need hosts of their own.
    pub fn cut_off_from_peers(&self, number: usize) -> Fault<'_> {
        let link = || self.link.as_ref().context("the nodes of this cluster have no hosts of their own");
        Fault::new("cut off from its peers", move || link()?.cut_off(number), move || link()?.reconnect(number))
    }

    /// Starts the node again, after what is left of it has been ended.
    pub fn restart(&self, number: usize) -> anyhow::Result<()> {
        let node = self.nodes.get(number).context("no such node")?;
        node.kill()?;
        node.start()
    }

    /// Waits until the only processes of a helper are those of the leader's: nothing is left of tries and former leaders.
    pub fn wait_one_holder(&self, limit: Duration) -> anyhow::Result<()> {
        let holders = || -> Vec<usize> {
            self.nodes.iter().filter(|node| !node.helper_processes().is_empty()).map(Node::number).collect()
        };
        let alone = || {
            let [holder] = holders()[..] else { return None };
            self.leader().filter(|leader| leader.number() == holder).map(|_| ())
        };
        if let Err(error) = wait_for("helpers on the leader's node alone", limit, alone) {
            bail!("{error}; there are some on nodes {:?}", holders());
        }
        Ok(())
    }

    /// What the nodes logged since `mark`, for the message of a failure.
    #[must_use]
    pub fn transcript(&self, mark: &Mark) -> String {
        match self.log_since(mark) {
            Ok(lines) => lines.iter().map(|line| format!("  {line}\n")).collect(),
            Err(error) => format!("  (no log: {error:#})"),
        }
    }

    fn describe(&self) -> String {
        let about = |node: &Node| format!("node {} runs: {}\n{}", node.number(), node.is_running(), node.log().tail());
        self.nodes.iter().map(about).collect()
    }

    fn end(&mut self) -> anyhow::Result<()> {
        // The watcher first: a cluster that is being killed has nothing to tell.
        self.watcher = None;
        for node in &self.nodes {
            node.kill()?;
        }
        Ok(())
    }
}

/// A link between hosts.
fn linked(hosts: &[Namespace]) -> anyhow::Result<Network> {
    let link = Network::switch(SUBNET)?;
    for (number, host) in hosts.iter().enumerate() {
        host.ip("link set lo up\n")?;
        link.attach(host, number, LINK)?;
    }
    Ok(link)
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            // The guard tries once more.
            eprintln!("end the CTDB cluster: {error:#}");
        }
    }
}
