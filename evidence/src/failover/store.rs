//! What the locks are in: a real store, with a host for every node of every cluster on it.

use std::ffi::OsString;
use std::fmt;
use std::time::Duration;

use mutex_tests::fault::Fault;
use mutex_tests::services::ctdb::view::Common;
use mutex_tests::services::etcd::{self, Etcd};
use mutex_tests::services::network::Namespace;
use mutex_tests::services::sites::Site;

use super::column::Column;

/// The kinds of store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Ceph: one monitor, two OSDs.
    Rados,
    /// Three members.
    Etcd,
    /// A file system whose server keeps the locks, mounted once a node.
    File,
}

impl Kind {
    /// All, in the table's order.
    pub const ALL: [Self; 3] = [Self::Rados, Self::Etcd, Self::File];

    /// For how long the store is frozen: longer than any lease on it, or than RECHECK + PING-TIMEOUT of a file (15 s). Not
    /// longer than 16 s where Ceph is: OSDs whose read leases have run out may take 8 s more after the thaw (Ceph's bug
    /// 53806), and that would be measured instead.
    #[must_use]
    pub fn frozen_for(self) -> Duration {
        Duration::from_secs(match self {
            Self::Rados | Self::Etcd => 15,
            Self::File => 20,
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Rados => "RADOS",
            Self::Etcd => "etcd",
            Self::File => "a file",
        })
    }
}

/// A running store. It has to outlive the clusters on it.
pub(super) enum Store {
    Etcd(Box<Etcd>),
}

impl Store {
    /// Starts one with so many hosts for nodes.
    pub(super) fn start(kind: Kind, hosts: usize) -> anyhow::Result<Self> {
        match kind {
            Kind::Etcd => {
                let setup = etcd::Setup { own_network: true, nodes: hosts, ..etcd::Setup::default() };
                Ok(Self::Etcd(Box::new(Etcd::start(setup)?)))
            }
            Kind::Rados | Kind::File => anyhow::bail!("not yet"),
        }
    }

    /// The host of this number.
    pub(super) fn host(&self, number: usize) -> anyhow::Result<Namespace> {
        match self {
            Self::Etcd(etcd) => etcd.hosts()?.another(Site::Node(number)),
        }
    }

    /// The words of a helper's command line that say where its lock is; each helper has one of its own.
    pub(super) fn place(&self, column: Column) -> Vec<String> {
        match self {
            Self::Etcd(_) => vec![format!("ctdb/{}", column.id())],
        }
    }

    /// What ctdbd has in its environment for the helper.
    pub(super) fn environment(&self) -> Vec<(&'static str, OsString)> {
        match self {
            Self::Etcd(etcd) => etcd.environment(),
        }
    }

    /// The directory of the lock on these hosts, where it is another one on each.
    pub(super) fn common(&self, _hosts: std::ops::Range<usize>) -> Option<Common> {
        match self {
            Self::Etcd(_) => None,
        }
    }

    /// What the host of this number and the store send each other is lost.
    pub(super) fn cut_off(&self, number: usize) -> anyhow::Result<Fault<'_>> {
        let hosts = match self {
            Self::Etcd(etcd) => etcd.hosts()?,
        };
        let all = hosts.all();
        let servers: Vec<Site> = all.into_iter().filter(|site| matches!(site, Site::Server(_))).collect();
        Ok(hosts.apart("cut off from the store", &[Site::Node(number)], &servers))
    }

    /// The store answers nobody.
    pub(super) fn frozen(&self) -> Fault<'_> {
        match self {
            Self::Etcd(etcd) => etcd.all_frozen(),
        }
    }
}
