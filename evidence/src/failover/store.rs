//! What the locks are in: a real store, with a host for every node of every cluster on it.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use mutex_tests::fault::Fault;
use mutex_tests::services::ceph::{self, ADMIN, CONF_VARIABLE, Ceph, POOL};
use mutex_tests::services::ctdb::view::Common;
use mutex_tests::services::etcd::{self, Etcd};
use mutex_tests::services::network::Namespace;
use mutex_tests::services::shared_fs::{AtDeath, Held, SharedFs};
use mutex_tests::services::sites::{Site, Sites};

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

/// Where all of Ceph runs.
const SERVER: Site = Site::Server(0);

/// A client of the file system that has been silent for so long loses its session, and its locks with it. More than
/// RECHECK + PING-TIMEOUT of our helper (15 s), as its manual page asks for; less than CephFS's 60 s, so that runs end.
const SESSION_TIME: Duration = Duration::from_secs(20);

/// A running store. It has to outlive the clusters on it.
pub(super) enum Store {
    Rados { ceph: Box<Ceph>, hosts: Sites },
    Etcd(Box<Etcd>),
    File(Files),
}

/// The file system, and the place at which every node finds its own mount of it.
pub(super) struct Files {
    fs: SharedFs,
    place: PathBuf,
}

impl Store {
    /// Starts one with so many hosts for nodes.
    pub(super) fn start(kind: Kind, hosts: usize) -> anyhow::Result<Self> {
        match kind {
            Kind::Etcd => {
                let setup = etcd::Setup { own_network: true, nodes: hosts, ..etcd::Setup::default() };
                Ok(Self::Etcd(Box::new(Etcd::start(setup)?)))
            }
            Kind::File => {
                let fs = SharedFs::mount(hosts, SESSION_TIME)?;
                // Beside the mounts, so that it goes with them, however this ends.
                let mounts = fs.lock_file(0).ancestors().nth(3).context("mounts without a directory")?.to_owned();
                let place = mounts.join("on-each-node");
                fs::create_dir(&place).with_context(|| format!("make {}", place.display()))?;
                Ok(Self::File(Files { fs, place }))
            }
            Kind::Rados => {
                // All of its daemons on one host: what is cut off here are clients.
                let hosts = Sites::new(1, hosts)?;
                let _inside = hosts.enter(SERVER)?;
                // With a manager, as in life; one copy is enough for a lock.
                let setup = ceph::Setup { mgr: true, min_size: 1 };
                let ceph = Box::new(Ceph::start_on_host(setup, hosts.address(SERVER))?);
                Ok(Self::Rados { ceph, hosts })
            }
        }
    }

    /// The host of this number.
    pub(super) fn host(&self, number: usize) -> anyhow::Result<Namespace> {
        match self {
            Self::Rados { hosts, .. } => hosts.another(Site::Node(number)),
            Self::Etcd(etcd) => etcd.hosts()?.another(Site::Node(number)),
            // Its mount is its link to the store.
            Self::File(_) => Namespace::new(),
        }
    }

    /// The words of a helper's command line that say where its lock is; each helper has one of its own.
    pub(super) fn place(&self, column: Column) -> Vec<String> {
        match self {
            Self::Rados { .. } => vec!["ceph".to_owned(), ADMIN.to_owned(), POOL.to_owned(), column.id()],
            Self::Etcd(_) => vec![format!("ctdb/{}", column.id())],
            Self::File(files) => vec![files.place.join(column.id()).display().to_string()],
        }
    }

    /// What ctdbd has in its environment for the helper.
    pub(super) fn environment(&self) -> Vec<(&'static str, OsString)> {
        match self {
            Self::Rados { ceph, .. } => vec![(CONF_VARIABLE, ceph.conf().into())],
            Self::Etcd(etcd) => etcd.environment(),
            Self::File(_) => Vec::new(),
        }
    }

    /// The directory of the lock on these hosts, where it is another one on each.
    pub(super) fn common(&self, hosts: Range<usize>) -> Option<Common> {
        match self {
            Self::Rados { .. } | Self::Etcd(_) => None,
            Self::File(files) => {
                let leads_to = hosts.map(|host| files.directory(host)).collect();
                Some(Common { path: files.place.clone(), leads_to })
            }
        }
    }

    /// What the host of this number and the store send each other is lost.
    pub(super) fn cut_off(&self, number: usize) -> anyhow::Result<Fault<'_>> {
        let hosts = match self {
            Self::Rados { hosts, .. } => hosts,
            Self::Etcd(etcd) => etcd.hosts()?,
            Self::File(files) => return Ok(files.fs.held_back(Held::Link, vec![number])),
        };
        let all = hosts.all();
        let servers: Vec<Site> = all.into_iter().filter(|site| matches!(site, Site::Server(_))).collect();
        Ok(hosts.apart("cut off from the store", &[Site::Node(number)], &servers))
    }

    /// The host of this number is about to go, and the store is to hear nothing of it.
    pub(super) fn abandoned(&self, number: usize) -> anyhow::Result<Fault<'_>> {
        match self {
            // A mount that hangs would keep the processes that are to be killed.
            Self::File(files) => Ok(files.fs.client_killed(number, AtDeath::Kept)),
            Self::Rados { .. } | Self::Etcd(_) => self.cut_off(number),
        }
    }

    /// The store answers nobody.
    pub(super) fn frozen(&self) -> Fault<'_> {
        match self {
            Self::Rados { ceph, .. } => ceph.osds_frozen(),
            Self::Etcd(etcd) => etcd.all_frozen(),
            Self::File(files) => files.fs.held_back(Held::Everything, (0..files.fs.nodes()).collect()),
        }
    }
}

impl Files {
    /// The directory of the lock files, as a host sees it.
    fn directory(&self, host: usize) -> PathBuf {
        let mut directory = self.fs.lock_file(host);
        directory.pop();
        directory
    }
}
