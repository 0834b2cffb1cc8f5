//! A real etcd: three members as ordinary processes, on loopback addresses or in network namespaces of their own.
//!
//! | module | what is in it |
//! |---|---|
//! | [`accounts`] | the users of a cluster with authentication |
//! | [`keys`] | who is in line for a lock in it |
//! | [`locker`] | `etcdctl lock`, running |
//! | [`tls`] | certificates |
//! | `facts` | what the cluster says of itself |
//! | `faults` | what can be done to it |
//! | `member` | one process of it |
//! | `metrics` | what its members have counted |
//! | `start` | how it comes up |

pub mod accounts;
mod facts;
mod faults;
pub mod keys;
pub mod locker;
mod member;
mod metrics;
mod start;
pub mod tls;

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tempfile::TempDir;

use super::addresses::Block;
use super::command::{Outcome, start};
use super::guard::Guard;
use super::network::{Inside, Namespace};
use super::shared::Shared;
use super::sites::{Site, Sites};
use member::Member;
use tls::Tls;

/// The guard finds the processes of a cluster by it: the cluster's directory, a slash and the member.
pub const PLACE_VARIABLE: &str = "MUTEX_ETCD";

/// The programs, and the packages that bring them.
const PROGRAMS: [(&str, &str); 2] = [(ETCD, "etcd-server"), (ETCDCTL, "etcd-client")];
const ETCD: &str = "/usr/bin/etcd";
const ETCDCTL: &str = "/usr/bin/etcdctl";

/// How many members there are.
pub const MEMBERS: usize = 3;

/// A request that the cluster can answer is answered within an election, or never.
const REQUEST_LIMIT: &str = "3s";

/// The same for the whole command, which may ask one member after the other.
const COMMAND_LIMIT: Duration = Duration::from_secs(12);

/// What a cluster is to be like. The default is a plain one.
#[derive(Clone, Copy, Default)]
pub struct Setup {
    /// Clients speak https and have to show a certificate; [`Etcd::tls`] has what they need.
    pub tls: bool,
    /// Clients have to name themselves, see [`accounts`]; a token lives for so long after its last use, in whole
    /// seconds.
    pub auth: Option<Duration>,
    /// Every member has a host of its own, and so has who asks them: see [`super::sites`].
    pub own_network: bool,
    /// How many hosts clients have there; 0 counts as 1.
    pub nodes: usize,
    /// How long a member waits for word of its leader; `None`: etcd's second. No lease is shorter than one and a half.
    pub election: Option<Duration>,
    /// How many bytes the database may grow to; `None`: far more than a case writes.
    pub quota: Option<u64>,
}

/// A running cluster. Every process of it ends with this value.
pub struct Etcd {
    // In this order: the processes end, then the directory goes, then the addresses are free for others.
    members: [Member; MEMBERS],
    setup: Setup,
    tls: Option<Tls>,
    network: Option<Sites>,
    _guard: Guard,
    dir: TempDir,
    _addresses: Option<Block>,
}

impl Etcd {
    /// What it is like.
    #[must_use]
    pub fn setup(&self) -> Setup {
        self.setup
    }

    /// The URLs of the members, in their order, with commas between them.
    #[must_use]
    pub fn endpoints(&self) -> String {
        self.members.each_ref().map(|member| member.endpoint()).join(",")
    }

    /// The URL of one.
    #[must_use]
    pub fn endpoint(&self, member: usize) -> &str {
        self.members[member].endpoint()
    }

    /// The certificates; an error from a cluster without them.
    pub fn tls(&self) -> anyhow::Result<&Tls> {
        self.tls.as_ref().context("this cluster has no certificates")
    }

    /// What a client that may do everything has in its environment.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        self.environment_as(self.setup.auth.map(|_| accounts::ROOT))
    }

    /// Puts this thread, and what it starts, on the first host of the clients until the returned value ends; no
    /// difference where members have no network of their own.
    pub fn enter(&self) -> anyhow::Result<Inside> {
        self.enter_node(0)
    }

    /// The same on another of their hosts.
    pub fn enter_node(&self, node: usize) -> anyhow::Result<Inside> {
        match &self.network {
            Some(network) => network.enter(Site::Node(node)),
            None => Ok(Inside::nowhere_else()),
        }
    }

    /// The hosts of members and clients; an error where they have none of their own. Every partition is made of them.
    pub fn hosts(&self) -> anyhow::Result<&Sites> {
        self.network.as_ref().context("the members of this cluster have no network of their own")
    }

    /// Gives a host of another service an interface on the members' network; it needs one.
    pub(super) fn attach(&self, host: &Namespace, number: usize, interface: &str) -> anyhow::Result<()> {
        self.hosts()?.attach(host, number, interface)
    }

    /// Runs `etcdctl` with full rights on the members that are well, and returns what it printed.
    pub fn etcdctl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.outcome(&self.well(), arguments)?.succeeded()
    }

    /// The same on one member alone, whatever has been done to it.
    pub fn etcdctl_at(&self, member: usize, arguments: &[&str]) -> anyhow::Result<String> {
        self.outcome(&[member], arguments)?.succeeded()
    }
}

static SHARED: Shared<Etcd> = Shared::new();

/// The cluster that all cases share, a plain one.
pub fn shared() -> anyhow::Result<Arc<Etcd>> {
    SHARED.get(|| Etcd::start(Setup::default()))
}

/// Ends it, if there is one.
pub fn end_shared() {
    SHARED.end();
}
