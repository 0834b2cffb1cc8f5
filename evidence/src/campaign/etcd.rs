//! The stage of etcd: three members and the nodes, each on a host of its own.
//!
//! With etcd 3.4 a leader that was frozen may have leases revoked that its successor has renewed (DESIGN's FACTS B3): the
//! key is gone then while its holder is right to believe, as if an admin had deleted it. etcd 3.4.31 and 3.5.13 do it no
//! more.

use std::ffi::OsString;
use std::time::Duration;

use anyhow::bail;
use mutex_tests::fault::Fault;
use mutex_tests::process::programs;
use mutex_tests::services::etcd::keys::Key;
use mutex_tests::services::etcd::{Etcd, MEMBERS, Setup};
use mutex_tests::services::network::Inside;
use mutex_tests::services::sites::Site;

use super::kind::{own_table, promised};
use super::member::{Member, one};
use super::stage::{Blow, Call, Kind, NothingToHit, Span, Stage, Subject, Terms, Times};
use super::subject::ending_with_parent;

/// The fast setting of the man page.
const LEASE: Duration = Duration::from_secs(3);

/// The supervisor's margin; etcd's clocks need none.
const MARGIN: Duration = Duration::from_millis(200);

/// What etcd adds to a lease before the key of a holder that is gone is free: an election (1 to 2 s), after which every
/// lease begins anew with one election timeout more (1 s), and the look for ended leases (0.5 s, and the write).
const NOTICE: Duration = Duration::from_millis(3750);

const KEY: &str = "ctdb/campaign";

const NODE_CUT_OFF: Kind = promised("node cut off", Span::Mixed);
const NODE_DEAF: Kind = promised("node deaf", Span::Mixed);
const NODE_MUTE: Kind = promised("node mute", Span::Mixed);
const NODE_ONE_MEMBER: Kind = promised("node reaches one member alone", Span::Mixed);
const MEMBER_CUT_OFF: Kind = promised("member cut off", Span::Mixed);
const MEMBER_ALONE: Kind = promised("member cut off from the others", Span::Mixed);
const MEMBER_DEAF: Kind = promised("member deaf", Span::Mixed);
const MEMBER_MUTE: Kind = promised("member mute", Span::Mixed);
const HALVES: Kind = promised("halves", Span::Mixed);
const ALL_ALONE: Kind = promised("members cut off from each other", Span::Lease);
const MEMBER_FROZEN: Kind = promised("member frozen", Span::Mixed);
const MEMBER_KILLED: Kind = promised("member killed", Span::Mixed);
const LEADER_FROZEN: Kind = promised("leader frozen", Span::Mixed);
const LEADER_KILLED: Kind = promised("leader killed", Span::Moment);
const LEADER_CUT_OFF: Kind = promised("leader cut off", Span::Mixed);
const QUORUM_FROZEN: Kind = promised("quorum frozen", Span::Mixed);
const HALF_STALL: Kind = promised("store frozen, about L/2", Span::HalfLease);
const STALL: Kind = promised("store frozen, about L", Span::Lease);
const ALL_KILLED: Kind = promised("all members killed", Span::Moment);
const KEY_DELETED: Kind = own_table("lock broken: key deleted", Span::Moment);
const LEASE_REVOKED: Kind = own_table("lock broken: lease revoked", Span::Moment);

const KINDS: &[Kind] = &[
    NODE_CUT_OFF,
    NODE_DEAF,
    NODE_MUTE,
    NODE_ONE_MEMBER,
    MEMBER_CUT_OFF,
    MEMBER_ALONE,
    MEMBER_DEAF,
    MEMBER_MUTE,
    HALVES,
    ALL_ALONE,
    MEMBER_FROZEN,
    MEMBER_KILLED,
    LEADER_FROZEN,
    LEADER_KILLED,
    LEADER_CUT_OFF,
    QUORUM_FROZEN,
    HALF_STALL,
    STALL,
    ALL_KILLED,
    KEY_DELETED,
    LEASE_REVOKED,
];

/// A cluster with hosts for the nodes.
pub struct EtcdStage {
    etcd: Etcd,
    nodes: usize,
    /// What several faults do at once to each member.
    members: [Member; MEMBERS],
}

impl EtcdStage {
    /// Starts the cluster.
    ///
    /// # Errors
    /// Where that fails.
    pub fn start(nodes: usize) -> anyhow::Result<Self> {
        let etcd = Etcd::start(Setup { own_network: true, nodes, ..Setup::default() })?;
        Ok(Self { etcd, nodes, members: Default::default() })
    }

    /// The member that leads at the moment, as far as one that is well knows; else any.
    fn leader_or(&self, other: usize) -> usize {
        let statuses = self.etcd.statuses().unwrap_or_default();
        statuses.iter().find(|status| status.id == status.leader).map_or(other, |status| status.member)
    }

    fn freeze(&self, member: usize) -> anyhow::Result<()> {
        self.members[member].freeze(|| self.etcd.freeze_member(member))
    }

    fn thaw(&self, member: usize) -> anyhow::Result<()> {
        self.members[member].thaw(|| self.etcd.thaw_member(member))
    }

    fn take_down(&self, member: usize) -> anyhow::Result<()> {
        self.members[member].take_down(|| {
            self.etcd.take_down_member(member);
            Ok(())
        })
    }

    fn bring_up(&self, member: usize) -> anyhow::Result<()> {
        self.members[member].bring_up(|| self.etcd.bring_up_member(member), || self.etcd.freeze_member(member))
    }

    fn frozen(&self, kind: Kind, members: Vec<usize>) -> Fault<'_> {
        let same = members.clone();
        let freeze = move || {
            one(members.iter().map(|&member| &self.members[member]), Member::runs)?;
            members.iter().try_for_each(|&member| self.freeze(member))
        };
        Fault::new(kind.name, freeze, move || same.iter().try_for_each(|&member| self.thaw(member)))
    }

    fn killed(&self, kind: Kind, members: Vec<usize>) -> Fault<'_> {
        let same = members.clone();
        let kill = move || {
            one(members.iter().map(|&member| &self.members[member]), Member::is_up)?;
            members.iter().try_for_each(|&member| self.take_down(member))
        };
        Fault::new(kind.name, kill, move || same.iter().try_for_each(|&member| self.bring_up(member)))
    }

    fn partition(&self, Blow { kind, node, member, dice, .. }: Blow) -> anyhow::Result<Fault<'_>> {
        let hosts = self.etcd.hosts()?;
        let servers: Vec<Site> = (0..MEMBERS).map(Site::Server).collect();
        let others: Vec<Site> = servers.iter().copied().filter(|&server| server != Site::Server(member)).collect();
        let all_others: Vec<Site> = hosts.all().into_iter().filter(|&site| site != Site::Server(member)).collect();
        let (node, member) = ([Site::Node(node)], [Site::Server(member)]);
        Ok(match kind {
            NODE_CUT_OFF => hosts.apart(kind.name, &node, &servers),
            NODE_DEAF => hosts.one_way(kind.name, &servers, &node),
            NODE_MUTE => hosts.one_way(kind.name, &node, &servers),
            NODE_ONE_MEMBER => hosts.apart(kind.name, &node, &others),
            MEMBER_CUT_OFF | LEADER_CUT_OFF => hosts.apart(kind.name, &member, &all_others),
            MEMBER_ALONE => hosts.apart(kind.name, &member, &others),
            MEMBER_DEAF => hosts.one_way(kind.name, &all_others, &member),
            MEMBER_MUTE => hosts.one_way(kind.name, &member, &all_others),
            ALL_ALONE => hosts.apart(kind.name, &servers, &servers),
            HALVES => {
                // This node is with the one member; of the other nodes the dice tell.
                let with_one = |site: &Site| match *site {
                    Site::Node(other) => [*site] == node || dice >> other & 1 == 1,
                    _ => [*site] == member,
                };
                let (ones, rest): (Vec<Site>, Vec<Site>) = hosts.all().into_iter().partition(with_one);
                hosts.apart(kind.name, &ones, &rest)
            }
            _ => bail!("{:?} is no fault of etcd's", kind.name),
        })
    }

    fn delete_key(&self) -> anyhow::Result<()> {
        // It prints how many there were: the holder may just have released.
        let deleted = self.etcd.etcdctl(&["del", &self.holder()?.name])?;
        if deleted.trim() == "0" { Err(NothingToHit.into()) } else { Ok(()) }
    }

    fn revoke_lease(&self) -> anyhow::Result<()> {
        let lease = format!("{:x}", self.holder()?.lease);
        match self.etcd.etcdctl(&["lease", "revoke", &lease]) {
            Err(error) if error.to_string().contains("lease not found") => Err(NothingToHit.into()),
            result => result.map(drop),
        }
    }

    fn holder(&self) -> anyhow::Result<Key> {
        self.etcd.holders(KEY)?.into_iter().next().ok_or_else(|| NothingToHit.into())
    }
}

/// What is promised on it.
#[must_use]
pub fn terms() -> Terms {
    Terms::of_lease(Times::of_lease(LEASE, MARGIN, NOTICE), KINDS)
}

impl Stage for EtcdStage {
    fn backend(&self) -> &'static str {
        "etcd"
    }

    fn terms(&self) -> Terms {
        terms()
    }

    fn nodes(&self) -> usize {
        self.nodes
    }

    fn members(&self) -> usize {
        MEMBERS
    }

    fn enter(&self, node: usize) -> anyhow::Result<Inside> {
        self.etcd.enter_node(node)
    }

    fn call(&self, subject: Subject, _: usize) -> anyhow::Result<Option<Call>> {
        let lease = LEASE.as_secs().to_string();
        let program = match subject {
            Subject::Ours => programs::helper("ctdb_mutex_etcd_helper")?,
            Subject::Distribution => programs::own("campaign_etcdctl")?,
            Subject::Unsafe => return Ok(None),
        };
        let arguments = [KEY.to_owned(), lease].map(OsString::from).to_vec();
        let environment = self.etcd.environment().into_iter().map(|(name, value)| (name.into(), value)).collect();
        let call = Call { program, arguments, environment };
        Ok(Some(if subject == Subject::Distribution { ending_with_parent(call)? } else { call }))
    }

    fn fault(&self, blow: &Blow) -> anyhow::Result<Fault<'_>> {
        let all = || (0..MEMBERS).collect();
        let Blow { kind, member, .. } = *blow;
        Ok(match kind {
            MEMBER_FROZEN => self.frozen(kind, vec![member]),
            MEMBER_KILLED => self.killed(kind, vec![member]),
            LEADER_FROZEN => self.frozen(kind, vec![self.leader_or(member)]),
            LEADER_KILLED => self.killed(kind, vec![self.leader_or(member)]),
            LEADER_CUT_OFF => return self.partition(Blow { member: self.leader_or(member), ..*blow }),
            QUORUM_FROZEN => self.frozen(kind, (0..MEMBERS).filter(|&other| other != member).collect()),
            HALF_STALL | STALL => self.frozen(kind, all()),
            ALL_KILLED => self.killed(kind, all()),
            KEY_DELETED => Fault::new(kind.name, || self.delete_key(), || Ok(())),
            LEASE_REVOKED => Fault::new(kind.name, || self.revoke_lease(), || Ok(())),
            _ => return self.partition(*blow),
        })
    }

    fn whom(&self, Blow { kind, node, member, .. }: &Blow) -> String {
        match *kind {
            NODE_CUT_OFF | NODE_DEAF | NODE_MUTE => format!("node {node}"),
            NODE_ONE_MEMBER => format!("node {node}, member {member}"),
            MEMBER_CUT_OFF | MEMBER_ALONE | MEMBER_DEAF | MEMBER_MUTE | MEMBER_FROZEN | MEMBER_KILLED => {
                format!("member {member}")
            }
            QUORUM_FROZEN => format!("all but member {member}"),
            HALVES => format!("member {member} with node {node}"),
            _ => String::new(),
        }
    }

    fn hits(&self, blow: &Blow) -> Option<usize> {
        matches!(blow.kind, NODE_CUT_OFF | NODE_DEAF | NODE_MUTE | NODE_ONE_MEMBER).then_some(blow.node)
    }

    fn is_healthy(&self) -> bool {
        // All members, so that the next round begins with a whole cluster.
        let all = self.etcd.statuses().unwrap_or_default();
        let Some(leader) = all.iter().find(|status| status.id == status.leader) else { return false };
        let follows = all.iter().all(|status| (status.leader, status.raft_term) == (leader.id, leader.raft_term));
        all.len() == MEMBERS && follows && self.etcd.etcdctl(&["get", "healthy"]).is_ok()
    }
}
