//! The stage of RADOS: a Ceph of three OSDs and a monitor, and the nodes, each on a host of its own.
//!
//! A lock ends by the wall clock of the OSD that answers for its object, so these clocks are faults of their own. What the
//! manual page allows is that any two of them, at any two times, are not more than half a second apart: every clock shows
//! at every moment the true time or one of half a second later at most. So a lease may lose half a second in all, by one
//! step or by another OSD that answers, and however many faults overlap no more than that. What is beyond has a table of
//! its own.
//!
//! The distribution's helper is Samba's, with the same duration, which it calls so. It renews every half of that.

use std::ffi::OsString;
use std::time::Duration;

use anyhow::{Context, bail};
use mutex_tests::fault::Fault;
use mutex_tests::process::programs;
use mutex_tests::services::ceph::clock::Off;
use mutex_tests::services::ceph::lock::{self, LockInfo};
use mutex_tests::services::ceph::spread::{MON, OSDS, SERVERS, Spread};
use mutex_tests::services::ceph::{ADMIN, CONF_VARIABLE, POOL, in_pool};
use mutex_tests::services::network::Inside;
use mutex_tests::services::sites::Site;

use super::kind::{own_table, promised, unpromised};
use super::member::{Counted, Member, one};
use super::stage::{Blow, Call, Kind, NothingToHit, Span, Stage, Subject, Terms, Times};

/// The shortest that the helper takes.
const LEASE: Duration = Duration::from_secs(3);

/// What a wall clock may be off (`STORE_CLOCK_ERROR` of the helper), and is here.
const ALLOWED: Duration = Duration::from_millis(500);

/// The supervisor's margin, and what the clocks may be off.
const MARGIN: Duration = Duration::from_millis(700);

/// What the store adds to a lease before the lock of a holder that is gone is free: a clock that was ahead as the lease
/// began and is right now, and a connection that finds out that it is well again.
const NOTICE: Duration = Duration::from_millis(1500);

const OBJECT: &str = "campaign";

const NODE_CUT_OFF: Kind = promised("node cut off", Span::Mixed);
const NODE_DEAF: Kind = promised("node deaf", Span::Mixed);
const NODE_MUTE: Kind = promised("node mute", Span::Mixed);
const NODE_NO_PRIMARY: Kind = promised("node cut off from the primary OSD", Span::Mixed);
const NODE_BLOCKLISTED: Kind = promised("node blocklisted", Span::Mixed);
const OSD_CUT_OFF: Kind = promised("OSD cut off", Span::Mixed);
const OSD_ALONE: Kind = promised("OSD cut off from the others", Span::Mixed);
const OSD_NO_NODES: Kind = promised("OSD cut off from the nodes", Span::Mixed);
const OSD_DEAF: Kind = promised("OSD deaf", Span::Mixed);
const OSD_MUTE: Kind = promised("OSD mute", Span::Mixed);
const PRIMARY_CUT_OFF: Kind = promised("primary OSD cut off", Span::Mixed);
const HALVES: Kind = promised("halves", Span::Mixed);
const OSD_FROZEN: Kind = promised("OSD frozen", Span::Mixed);
const OSD_KILLED: Kind = promised("OSD killed", Span::Mixed);
const PRIMARY_FROZEN: Kind = promised("primary OSD frozen", Span::Mixed);
const PRIMARY_KILLED: Kind = promised("primary OSD killed", Span::Mixed);
const MON_FROZEN: Kind = promised("monitor frozen", Span::Mixed);
const MON_KILLED: Kind = promised("monitor killed", Span::Moment);
const HALF_STALL: Kind = promised("store frozen, about L/2", Span::HalfLease);
const STALL: Kind = promised("store frozen, about L", Span::Lease);
const ALL_KILLED: Kind = promised("all OSDs killed", Span::Moment);
const PRIMARY_AHEAD: Kind = promised("primary OSD's clock 0.5 s ahead", Span::Mixed);
const OTHERS_AHEAD: Kind = promised("other OSDs' clocks 0.5 s ahead", Span::Mixed);
const AHEAD_AND_KILLED: Kind = promised("primary OSD killed, the others' clocks 0.5 s ahead", Span::Mixed);
const LOCK_BROKEN: Kind = own_table("lock broken", Span::Moment);
const OBJECT_REMOVED: Kind = own_table("lock broken: object removed", Span::Moment);
const CLOCKS_BEYOND: Kind = unpromised("OSDs' clocks 1 to 3 s ahead", Span::Mixed);

const KINDS: &[Kind] = &[
    NODE_CUT_OFF,
    NODE_DEAF,
    NODE_MUTE,
    NODE_NO_PRIMARY,
    NODE_BLOCKLISTED,
    OSD_CUT_OFF,
    OSD_ALONE,
    OSD_NO_NODES,
    OSD_DEAF,
    OSD_MUTE,
    PRIMARY_CUT_OFF,
    HALVES,
    OSD_FROZEN,
    OSD_KILLED,
    PRIMARY_FROZEN,
    PRIMARY_KILLED,
    MON_FROZEN,
    MON_KILLED,
    HALF_STALL,
    STALL,
    ALL_KILLED,
    PRIMARY_AHEAD,
    OTHERS_AHEAD,
    AHEAD_AND_KILLED,
    LOCK_BROKEN,
    OBJECT_REMOVED,
    CLOCKS_BEYOND,
];

/// A cluster with hosts for the nodes.
pub struct RadosStage {
    store: Spread,
    nodes: usize,
    /// What several faults do at once to each server.
    servers: [Server; SERVERS],
}

/// A server, and how many faults set its clock ahead.
#[derive(Default)]
struct Server {
    member: Member,
    ahead: Counted,
}

impl RadosStage {
    /// Starts the cluster.
    ///
    /// # Errors
    /// Where that fails.
    pub fn start(nodes: usize) -> anyhow::Result<Self> {
        Ok(Self { store: Spread::start(nodes)?, nodes, servers: Default::default() })
    }

    fn freeze(&self, server: usize) -> anyhow::Result<()> {
        self.servers[server].member.freeze(|| self.store.freeze(server))
    }

    fn thaw(&self, server: usize) -> anyhow::Result<()> {
        self.servers[server].member.thaw(|| self.store.thaw(server))
    }

    fn take_down(&self, server: usize) -> anyhow::Result<()> {
        self.servers[server].member.take_down(|| self.store.take_down(server))
    }

    fn bring_up(&self, server: usize) -> anyhow::Result<()> {
        self.servers[server].member.bring_up(|| self.store.bring_up(server), || self.store.freeze(server))
    }

    fn set_ahead(&self, osd: usize) -> anyhow::Result<()> {
        self.servers[osd].ahead.raise(|| self.store.ceph().set_clocks(&[osd], Off::Ahead(ALLOWED)))
    }

    fn set_right(&self, osd: usize) -> anyhow::Result<()> {
        self.servers[osd].ahead.lower(|| self.store.ceph().set_clocks(&[osd], Off::Ahead(Duration::ZERO)))
    }

    fn frozen(&self, kind: Kind, servers: Vec<usize>) -> Fault<'_> {
        let same = servers.clone();
        let freeze = move || {
            one(servers.iter().map(|&server| &self.servers[server].member), Member::runs)?;
            servers.iter().try_for_each(|&server| self.freeze(server))
        };
        Fault::new(kind.name, freeze, move || same.iter().try_for_each(|&server| self.thaw(server)))
    }

    fn killed(&self, kind: Kind, servers: Vec<usize>) -> Fault<'_> {
        self.killed_and_ahead(kind, servers, Vec::new())
    }

    /// These are killed, and the clocks of those are ahead.
    fn killed_and_ahead(&self, kind: Kind, servers: Vec<usize>, ahead: Vec<usize>) -> Fault<'_> {
        let (same, right) = (servers.clone(), ahead.clone());
        let hit = move || {
            one(servers.iter().map(|&server| &self.servers[server].member), Member::is_up)?;
            ahead.iter().try_for_each(|&osd| self.set_ahead(osd))?;
            servers.iter().try_for_each(|&server| self.take_down(server))
        };
        let heal = move || {
            right.iter().try_for_each(|&osd| self.set_right(osd))?;
            same.iter().try_for_each(|&server| self.bring_up(server))
        };
        Fault::new(kind.name, hit, heal)
    }

    fn ahead(&self, kind: Kind, osds: Vec<usize>) -> Fault<'_> {
        let right = osds.clone();
        let set = move || {
            if osds.iter().all(|&osd| self.servers[osd].ahead.is_raised()) {
                return Err(NothingToHit.into());
            }
            osds.iter().try_for_each(|&osd| self.set_ahead(osd))
        };
        Fault::new(kind.name, set, move || right.iter().try_for_each(|&osd| self.set_right(osd)))
    }

    /// The OSD that answers for the object; any where none does.
    fn primary_or(&self, other: usize) -> usize {
        self.store.primary().unwrap_or(other % OSDS)
    }

    fn partition(&self, Blow { kind, node, member, dice, .. }: Blow) -> anyhow::Result<Fault<'_>> {
        let hosts = self.store.hosts();
        let osd = member % OSDS;
        let but = |site: Site| hosts.all().into_iter().filter(|&other| other != site).collect::<Vec<Site>>();
        let (servers, nodes): (Vec<Site>, Vec<Site>) =
            hosts.all().into_iter().partition(|site| matches!(site, Site::Server(_)));
        let osds: Vec<Site> = (0..OSDS).map(Site::Server).collect();
        let at_node = [Site::Node(node)];
        let at_osd = [Site::Server(osd)];
        Ok(match kind {
            NODE_CUT_OFF => hosts.apart(kind.name, &at_node, &servers),
            NODE_DEAF => hosts.one_way(kind.name, &servers, &at_node),
            NODE_MUTE => hosts.one_way(kind.name, &at_node, &servers),
            NODE_NO_PRIMARY => hosts.apart(kind.name, &at_node, &[Site::Server(self.primary_or(osd))]),
            OSD_CUT_OFF => hosts.apart(kind.name, &at_osd, &but(at_osd[0])),
            OSD_ALONE => hosts.apart(kind.name, &at_osd, &osds),
            OSD_NO_NODES => hosts.apart(kind.name, &at_osd, &nodes),
            OSD_DEAF => hosts.one_way(kind.name, &but(at_osd[0]), &at_osd),
            OSD_MUTE => hosts.one_way(kind.name, &at_osd, &but(at_osd[0])),
            PRIMARY_CUT_OFF => {
                let primary = Site::Server(self.primary_or(osd));
                hosts.apart(kind.name, &[primary], &but(primary))
            }
            HALVES => {
                // This node is with the one server; of the other nodes the dice tell.
                let with_one = |site: &Site| match *site {
                    Site::Node(other) => other == node || dice >> other & 1 == 1,
                    _ => *site == Site::Server(member),
                };
                let (ones, rest): (Vec<Site>, Vec<Site>) = hosts.all().into_iter().partition(with_one);
                hosts.apart(kind.name, &ones, &rest)
            }
            _ => bail!("{:?} is no fault of RADOS's", kind.name),
        })
    }

    /// An admin's way to keep a host away from the OSDs. It ends by itself, so that nobody has to ask the monitor then.
    fn blocklisted(&self, Blow { kind, node, lasts, .. }: Blow) -> Fault<'_> {
        let blocklist = move || {
            one([&self.servers[MON].member], Member::runs)?;
            let host = format!("{}:0/0", self.store.hosts().address(Site::Node(node)));
            let seconds = lasts.as_secs_f64().to_string();
            asked(self.store.ceph().ceph(&["osd", "blocklist", "add", &host, &seconds]));
            Ok(())
        };
        Fault::new(kind.name, blocklist, || Ok(()))
    }

    /// The clocks of some OSDs are ahead, at least that of the one that answers.
    fn clocks_beyond(&self, Blow { kind, member, dice, .. }: Blow) -> Fault<'_> {
        let primary = self.primary_or(member);
        let osds: Vec<usize> = (0..OSDS).filter(|&osd| osd == primary || dice >> osd & 1 == 1).collect();
        let by = Duration::from_millis(1000 + (dice >> 8) % 2000);
        let right = osds.clone();
        // It comes alone: no other fault has set a clock.
        Fault::new(
            kind.name,
            move || self.store.ceph().set_clocks(&osds, Off::Ahead(by)),
            move || self.store.ceph().set_clocks(&right, Off::Ahead(Duration::ZERO)),
        )
    }

    /// Who has the lock. Who has no answer has done nothing, and may ask again later.
    fn holder(&self) -> anyhow::Result<LockInfo> {
        self.store.ceph().lock_info(None, OBJECT).ok().flatten().ok_or_else(|| NothingToHit.into())
    }

    fn rados(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.store.ceph().rados(&[&in_pool(None), arguments].concat())
    }

    fn break_lock(&self) -> anyhow::Result<()> {
        let LockInfo { client, cookie, .. } = self.holder()?;
        asked(self.rados(&["lock", "break", OBJECT, lock::NAME, &client, "--lock-cookie", &cookie]));
        Ok(())
    }
}

/// What is promised on it.
#[must_use]
pub fn terms() -> Terms {
    Terms::of_lease(Times::of_lease(LEASE, MARGIN, NOTICE), KINDS)
}

impl Stage for RadosStage {
    fn backend(&self) -> &'static str {
        "rados"
    }

    fn terms(&self) -> Terms {
        terms()
    }

    fn nodes(&self) -> usize {
        self.nodes
    }

    fn members(&self) -> usize {
        SERVERS
    }

    fn enter(&self, node: usize) -> anyhow::Result<Inside> {
        self.store.enter_node(node)
    }

    fn call(&self, subject: Subject, _: usize) -> anyhow::Result<Option<Call>> {
        let program = match subject {
            Subject::Ours => programs::helper("ctdb_mutex_rados_helper")?,
            Subject::Distribution => programs::packaged("/usr/libexec/ctdb/ctdb_mutex_ceph_rados_helper", "ctdb")?,
            Subject::Unsafe => return Ok(None),
        };
        let arguments = ["ceph", ADMIN, POOL, OBJECT, &LEASE.as_secs().to_string()].map(OsString::from).to_vec();
        let environment = vec![(CONF_VARIABLE.into(), self.store.ceph().conf().into())];
        Ok(Some(Call { program, arguments, environment }))
    }

    fn fault(&self, blow: &Blow) -> anyhow::Result<Fault<'_>> {
        let Blow { kind, member, .. } = *blow;
        let osd = member % OSDS;
        let all = || (0..OSDS).collect();
        let all_but = |one: usize| (0..OSDS).filter(|&other| other != one).collect();
        Ok(match kind {
            NODE_BLOCKLISTED => self.blocklisted(*blow),
            OSD_FROZEN => self.frozen(kind, vec![osd]),
            OSD_KILLED => self.killed(kind, vec![osd]),
            PRIMARY_FROZEN => self.frozen(kind, vec![self.primary_or(osd)]),
            PRIMARY_KILLED => self.killed(kind, vec![self.primary_or(osd)]),
            MON_FROZEN => self.frozen(kind, vec![MON]),
            MON_KILLED => self.killed(kind, vec![MON]),
            HALF_STALL | STALL => self.frozen(kind, all()),
            ALL_KILLED => self.killed(kind, all()),
            PRIMARY_AHEAD => self.ahead(kind, vec![self.primary_or(osd)]),
            OTHERS_AHEAD => self.ahead(kind, all_but(self.primary_or(osd))),
            AHEAD_AND_KILLED => {
                let primary = self.primary_or(osd);
                self.killed_and_ahead(kind, vec![primary], all_but(primary))
            }
            LOCK_BROKEN => Fault::new(kind.name, || self.break_lock(), || Ok(())),
            OBJECT_REMOVED => {
                let remove = || {
                    self.holder()?;
                    asked(self.rados(&["rm", OBJECT]));
                    Ok(())
                };
                Fault::new(kind.name, remove, || Ok(()))
            }
            CLOCKS_BEYOND => self.clocks_beyond(*blow),
            _ => return self.partition(*blow),
        })
    }

    fn whom(&self, Blow { kind, node, member, .. }: &Blow) -> String {
        match *kind {
            NODE_CUT_OFF | NODE_DEAF | NODE_MUTE | NODE_NO_PRIMARY | NODE_BLOCKLISTED => format!("node {node}"),
            OSD_CUT_OFF | OSD_ALONE | OSD_NO_NODES | OSD_DEAF | OSD_MUTE | OSD_FROZEN | OSD_KILLED => {
                format!("OSD {}", member % OSDS)
            }
            HALVES => format!("server {member} with node {node}"),
            _ => String::new(),
        }
    }

    fn hits(&self, blow: &Blow) -> Option<usize> {
        let one = [NODE_CUT_OFF, NODE_DEAF, NODE_MUTE, NODE_NO_PRIMARY, NODE_BLOCKLISTED];
        one.contains(&blow.kind).then_some(blow.node)
    }

    fn is_healthy(&self) -> bool {
        // All OSDs, so that the next round begins with a whole cluster, and a write from outside.
        self.store.revive().is_ok() && self.store.is_whole() && self.rados(&["put", "healthy", "/dev/null"]).is_ok()
    }
}

/// The store was asked for a change. Where the answer did not come in time, as on a machine that is too busy, the change
/// may have come all the same, or may yet come: it counts as done.
fn asked(_: anyhow::Result<String>) {}

/// Sets it up.
///
/// # Errors
/// Where the cluster does not start.
pub fn stage(nodes: usize) -> anyhow::Result<Box<dyn Stage>> {
    let stage = RadosStage::start(nodes).context("set up the stage of RADOS")?;
    Ok(Box::new(stage))
}
