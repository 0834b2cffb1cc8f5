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
use mutex_tests::services::cephfs::{self, CephFs};
use mutex_tests::services::cluster_fs::ClusterFs;
use mutex_tests::services::ctdb::view::Common;
use mutex_tests::services::etcd::{self, Etcd};
use mutex_tests::services::network::Namespace;
use mutex_tests::services::sites::{Site, Sites};

use super::column::Column;

/// The kinds of store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Ceph: one monitor, two OSDs.
    Rados,
    /// Three members.
    Etcd,
    /// CephFS, mounted once a node by `ceph-fuse`.
    File,
}

impl Kind {
    /// All, in the table's order.
    pub const ALL: [Self; 3] = [Self::Rados, Self::Etcd, Self::File];

    /// For how long the store is frozen: longer than any lease on it, or than RECHECK + PING-TIMEOUT of a file (15 s).
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
            Self::File => "a file on CephFS",
        })
    }
}

/// Where all of Ceph runs.
const SERVER: Site = Site::Server(0);

/// A client of CephFS that has been silent for so long loses its session, and its locks with it, up to 9 s later. The least
/// that Ceph allows; 60 s by default, and then 300, for which nobody would wait here.
pub(super) const SESSION_TIMEOUT: Duration = Duration::from_secs(30);

/// A running store. It has to outlive the clusters on it.
pub(super) enum Store {
    Rados { ceph: Box<Ceph>, hosts: Sites },
    Etcd(Box<Etcd>),
    File(Files),
}

/// The file system, and the place at which every node finds its own mount of it.
pub(super) struct Files {
    fs: Box<CephFs>,
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
                let setup = cephfs::Setup {
                    nodes: Some(hosts),
                    session_timeout: Some(SESSION_TIMEOUT),
                    ..cephfs::Setup::default()
                };
                let fs = Box::new(CephFs::start(setup)?);
                // Beside the mounts, so that it goes with them, however this ends.
                let place = fs.mount_point(0).with_file_name("on-each-node");
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
                let leads_to = hosts.map(|host| files.fs.mount_point(host).to_owned()).collect();
                Some(Common { path: files.place.clone(), leads_to })
            }
        }
    }

    /// What the host of this number and the store send each other is lost.
    pub(super) fn cut_off(&self, number: usize) -> anyhow::Result<Fault<'_>> {
        let hosts = match self {
            Self::Rados { hosts, .. } => hosts,
            Self::Etcd(etcd) => etcd.hosts()?,
            Self::File(files) => return Ok(files.fs.mount_cut_off(number)),
        };
        let all = hosts.all();
        let servers: Vec<Site> = all.into_iter().filter(|site| matches!(site, Site::Server(_))).collect();
        Ok(hosts.apart("cut off from the store", &[Site::Node(number)], &servers))
    }

    /// What the host of this number has of the store in its kernel is gone, as after a restart of the host; nothing where
    /// it has nothing there. In the way of processes that wait for a mount that hangs.
    pub(super) fn host_ended(&self, number: usize) -> Option<Fault<'_>> {
        match self {
            Self::File(files) => Some(files.fs.client_killed(number)),
            Self::Rados { .. } | Self::Etcd(_) => None,
        }
    }

    /// The store answers nobody.
    pub(super) fn frozen(&self) -> Fault<'_> {
        match self {
            Self::Rados { ceph, .. } => ceph.osds_frozen(),
            Self::Etcd(etcd) => etcd.all_frozen(),
            Self::File(files) => files.fs.frozen(),
        }
    }
}
