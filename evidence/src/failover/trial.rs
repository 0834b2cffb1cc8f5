//! One fault on one cluster: a leader, the fault, what CTDB's logs say then, and the cluster healthy again.

use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use mutex_tests::fault::{Fault, Injected};
use mutex_tests::process::Process;
use mutex_tests::services::ctdb::Cluster;
use mutex_tests::services::ctdb::log::Mark;
use mutex_tests::services::ctdb::node::{Found, Node};
use mutex_tests::wait::wait_for;
use rustix::process::Signal;

use super::belief::Run;
use super::note;
use super::row::Row;
use super::store::Store;

/// For how long a new leader is waited for. CTDB gives a silent peer up after 25 s, and tries for the lock every 5 s.
pub(super) const WATCHED: Duration = Duration::from_secs(60);

/// What a cluster needs to be healthy again, tries of former faults that still wait for their store included; after that
/// it is started anew.
const SETTLED: Duration = Duration::from_secs(40);

/// The leader broadcasts so often, and CTDB's tries follow from the last one that was heard.
const BROADCAST_EVERY: Duration = Duration::from_secs(1);

/// How often CTDB looks whether its peers are silent, and how often they are when it gives them up: by default, and where
/// that is to be soon.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);
const DEFAULT_LIMIT: u32 = 5;
const SHORT_INTERVAL: Duration = Duration::from_secs(1);
const SHORT_LIMIT: u32 = 3;

/// A cluster, and which of the store's hosts are its nodes'.
pub(super) struct Scene<'a> {
    pub(super) store: &'a Store,
    pub(super) cluster: &'a Cluster,
    pub(super) first_host: usize,
}

/// A cluster that is ready for a fault.
pub(super) struct Ready<'a> {
    scene: &'a Scene<'a>,
    leader: &'a Node,
    mark: Mark,
}

/// What is to be killed, found before the fault.
enum Victim {
    None,
    One(Process),
    Daemons(Found),
    Node(Found),
    ShutDown,
}

impl<'a> Scene<'a> {
    /// Waits for a leader that alone believes, and then for its moment in the second between two of its broadcasts.
    pub(super) fn ready(&'a self, phase: f64) -> anyhow::Result<Ready<'a>> {
        let leader = self.settle()?;
        std::thread::sleep(BROADCAST_EVERY.mul_f64(phase));
        Ok(Ready { scene: self, leader, mark: self.cluster.mark()? })
    }

    /// Waits until all is well, however that is to be had.
    fn settle(&self) -> anyhow::Result<&'a Node> {
        if let Ok((leader, _)) = wait_for("a healthy cluster", SETTLED, || self.alone()) {
            return Ok(leader);
        }
        // A node may be banned for minutes.
        self.start_anew()?;
        let (leader, _) = wait_for("a healthy cluster, started anew", SETTLED, || self.alone())?;
        Ok(leader)
    }

    /// Ends all of the cluster and starts it: the next fault is not to suffer from the last one. After the loss of its store
    /// Samba's helper on RADOS may believe on, without the lock, while the cluster is healthy.
    pub(super) fn start_anew(&self) -> anyhow::Result<()> {
        self.cluster.nodes().iter().try_for_each(Node::kill)?;
        self.cluster.nodes().iter().try_for_each(Node::start)
    }

    /// The nodes look for silent peers more often. Those that are started later do not.
    fn keepalives(&self) -> Fault<'_> {
        let set = |interval: Duration, limit: u32| {
            let [interval, limit] = [interval.as_secs(), limit.into()].map(|value: u64| value.to_string());
            for node in self.cluster.nodes().iter().filter(|node| node.is_running()) {
                node.ctdb(&["setvar", "KeepaliveInterval", &interval])?;
                node.ctdb(&["setvar", "KeepaliveLimit", &limit])?;
            }
            Ok(())
        };
        Fault::new(
            "frequent keepalives",
            move || {
                set(SHORT_INTERVAL, SHORT_LIMIT)?;
                // The look that is due is still by the old interval.
                std::thread::sleep(DEFAULT_INTERVAL);
                Ok(())
            },
            move || set(DEFAULT_INTERVAL, DEFAULT_LIMIT),
        )
    }

    /// The leader of a healthy cluster, if nobody else believes.
    fn alone(&self) -> Option<&'a Node> {
        let leader = self.cluster.healthy_leader()?;
        let beliefs = self.cluster.watcher().ok()?.beliefs();
        let believing: Vec<usize> =
            beliefs.iter().filter(|belief| belief.to.is_none()).map(|belief| belief.node).collect();
        (believing == [leader.number()]).then_some(leader)
    }
}

impl Ready<'_> {
    /// Does it to the leader, says what came of it, and makes all well again. What goes wrong with that costs no run: it is told,
    /// and the cluster is started anew.
    pub(super) fn measure(&self, row: Row) -> anyhow::Result<Run> {
        let keepalives = self.scene.keepalives();
        let often = if row == Row::PowerLostNoticed { Some(keepalives.inject()?) } else { None };
        let victim = self.victim(row)?;
        let faults = self.faults(row)?;
        let cut_off = SystemTime::now();
        let injected: Vec<Injected<'_>> = faults.iter().map(Fault::inject).collect::<anyhow::Result<_>>()?;
        // Who is about to be killed has not failed before.
        let at = if matches!(victim, Victim::None) { cut_off } else { SystemTime::now() };
        self.end(&victim)?;
        let run = self.watch(at, at + WATCHED)?;
        if let Err(error) = self.make_well(row, injected, often) {
            note(&format!("{}: all is not well again: {error:#}", row.id()));
            if let Err(error) = self.scene.start_anew() {
                note(&format!("{}: nor can it be started anew: {error:#}", row.id()));
            }
        }
        Ok(run)
    }

    fn make_well(&self, row: Row, faults: Vec<Injected<'_>>, often: Option<Injected<'_>>) -> anyhow::Result<()> {
        // All of them, and then what failed.
        let healed: Vec<_> = faults.into_iter().chain(often).map(Injected::heal).collect();
        if matches!(row, Row::CutOffFromStore | Row::CutOff) {
            self.start_host_again()?;
            self.scene.start_anew()?;
        }
        self.restart()?;
        healed.into_iter().collect()
    }

    /// Watches until there is a new leader and the old one knows, or until that moment.
    pub(super) fn watch(&self, fault: SystemTime, until: SystemTime) -> anyhow::Result<Run> {
        let watcher = self.scene.cluster.watcher()?;
        let limit = until.duration_since(SystemTime::now()).unwrap_or_default();
        let outcome = || {
            let run = Run::of(&watcher.beliefs(), fault, SystemTime::now());
            (run.leader_after.is_some() && run.believed.is_some()).then_some(run)
        };
        match wait_for("a new leader", limit, outcome) {
            Ok((run, _)) => Ok(run),
            Err(_) => Ok(Run::of(&watcher.beliefs(), fault, until)),
        }
    }

    /// What the nodes logged meanwhile.
    pub(super) fn transcript(&self) -> String {
        self.scene.cluster.transcript(&self.mark)
    }

    fn faults(&self, row: Row) -> anyhow::Result<Vec<Fault<'_>>> {
        let Scene { store, cluster, first_host } = self.scene;
        let node = self.leader.number();
        let from_store = || store.cut_off(first_host + node);
        let from_peers = || cluster.cut_off_from_peers(node);
        Ok(match row {
            Row::CutOffFromStore => vec![from_store()?],
            Row::CutOffFromPeers => vec![from_peers()],
            Row::CutOff => vec![from_store()?, from_peers()],
            // Its end is heard by nobody.
            Row::PowerLost | Row::PowerLostNoticed => {
                let ended = store.host_ended(first_host + node);
                [from_store()?, from_peers()].into_iter().chain(ended).collect()
            }
            Row::HelperKilled
            | Row::WorkerKilled
            | Row::CtdbdKilled
            | Row::NodeKilled
            | Row::ShutDown
            | Row::StoreFrozen => Vec::new(),
        })
    }

    fn victim(&self, row: Row) -> anyhow::Result<Victim> {
        Ok(match row {
            Row::HelperKilled => Victim::One(self.leader.helper()?),
            Row::WorkerKilled => Victim::One(self.leader.worker()?),
            Row::CtdbdKilled => Victim::Daemons(self.leader.found()),
            Row::NodeKilled | Row::PowerLost | Row::PowerLostNoticed => Victim::Node(self.leader.found()),
            Row::ShutDown => Victim::ShutDown,
            Row::CutOffFromStore | Row::CutOffFromPeers | Row::CutOff => Victim::None,
            Row::StoreFrozen => bail!("the store is frozen for all its clusters at once"),
        })
    }

    fn end(&self, victim: &Victim) -> anyhow::Result<()> {
        match victim {
            Victim::None => Ok(()),
            Victim::One(process) => process.signal(Signal::KILL),
            // And then whatever has been started since it was looked for.
            Victim::Daemons(found) => {
                found.kill_daemons();
                self.leader.kill_daemons()
            }
            Victim::Node(found) => {
                found.kill();
                self.leader.kill()
            }
            Victim::ShutDown => self.leader.shut_down(),
        }
    }

    /// A host that a cluster file system has sent away has to be started again, or its mount stays dead.
    fn start_host_again(&self) -> anyhow::Result<()> {
        if let Some(ended) = self.scene.store.host_ended(self.scene.first_host + self.leader.number()) {
            let ended = ended.inject()?;
            self.leader.kill()?;
            ended.heal()?;
        }
        Ok(())
    }

    /// Starts what has ended.
    pub(super) fn restart(&self) -> anyhow::Result<()> {
        let node = self.leader.number();
        if !self.leader.is_running() {
            self.scene.cluster.restart(node).with_context(|| format!("start node {node} again"))?;
        }
        Ok(())
    }
}
