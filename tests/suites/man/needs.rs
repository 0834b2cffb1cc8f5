//! What a page's examples need: the stores, started before anybody is on the stage.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::ensure;
use mutex_tests::services::ceph::{self, Ceph};
use mutex_tests::services::cephfs::{self, CephFs};
use mutex_tests::services::cluster_fs::ClusterFs;
use mutex_tests::services::etcd::{Etcd, Setup};

use crate::mdoc::{Block, Kind};
use crate::users;

/// All pages name the same object of the same pool.
static ALONE_ON_CEPH: Mutex<()> = Mutex::new(());

/// The stores of a page.
pub(crate) struct Needs {
    /// The other page's turn comes with the end of this value.
    pub(crate) ceph: Option<(Arc<Ceph>, MutexGuard<'static, ()>)>,
    /// The page's own: it makes users there.
    pub(crate) etcd: Option<Etcd>,
    /// One that knows its clients by certificate, where an example makes users: it ends with authentication on.
    pub(crate) etcd_with_users: Option<Etcd>,
    /// A real cluster file system, where an example asks for one.
    pub(crate) cluster_fs: Option<Arc<CephFs>>,
}

impl Needs {
    pub(crate) fn of(blocks: &[Block]) -> anyhow::Result<Self> {
        let any = |words: &[&str]| blocks.iter().any(|block| mentions(block, words));
        let cluster_fs = if any(&["--require-fs"]) { Some(cephfs::shared()?) } else { None };
        let tls = any(&["https://"]);
        let etcd = any(&["etcd"]);
        let etcd = if etcd { Some(Etcd::start(Setup { tls, ..Setup::default() })?) } else { None };
        let users = blocks.iter().any(users::are_made_by);
        let with_users = Setup { tls: true, ..Setup::default() };
        let etcd_with_users = if users { Some(Etcd::start(with_users)?) } else { None };
        let ceph = if any(&["rados", "/usr/bin/ceph", "CEPH_"]) { Some((ceph::shared()?, alone())) } else { None };
        Ok(Self { ceph, etcd, etcd_with_users, cluster_fs })
    }

    /// The documented text with what the bench has in the place of what nobody else has: the members' addresses, their
    /// certificates, and the kind of the file system.
    pub(crate) fn adapted(&self, text: &str) -> anyhow::Result<String> {
        let mut text = text.to_owned();
        if let Some(etcd) = &self.etcd {
            for member in 0..3 {
                for scheme in ["http", "https"] {
                    let documented = format!("{scheme}://192.0.2.{}:2379", member + 1);
                    text = text.replace(&documented, etcd.endpoint(member));
                }
            }
        }
        ensure!(!text.contains("192.0.2."), "192.0.2.1, .2 and .3 stand for the bench's members: {text}");
        if let (Some(fs), Some((before, rest))) = (&self.cluster_fs, text.clone().split_once("--require-fs ")) {
            let behind = rest.find(char::is_whitespace).map_or("", |end| &rest[end..]);
            text = format!("{before}--require-fs {}{behind}", fs.kind());
        }
        Ok(text)
    }
}

fn alone() -> MutexGuard<'static, ()> {
    ALONE_ON_CEPH.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether an example has one of these words in it, or in what is said of it.
fn mentions(block: &Block, words: &[&str]) -> bool {
    let (remarks, path) = match &block.kind {
        Kind::Run(remarks) => (remarks.join(" "), ""),
        Kind::File(path) => (String::new(), &**path),
        Kind::Log | Kind::Shape => return false,
    };
    let text = format!("{}\n{remarks}\n{path}", block.lines.join("\n"));
    words.iter().any(|word| text.contains(word))
}
