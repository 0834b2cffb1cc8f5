//! What a page's examples need: the stores, started before anybody is on the stage.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, ensure};
use mutex_tests::services::ceph::{self, Ceph};
use mutex_tests::services::cephfs::{self, CephFs};
use mutex_tests::services::cluster_fs::ClusterFs;
use mutex_tests::services::etcd::{Etcd, MEMBERS, Setup};

use crate::mdoc::{self, Block, Kind};
use crate::{pages, users};

/// All pages name the same object of the same pool.
static ALONE_ON_CEPH: Mutex<()> = Mutex::new(());

/// What an example has in it that needs Ceph.
const OF_CEPH: [&str; 3] = ["rados", "/usr/bin/ceph", "CEPH_"];

/// The stores of a page.
pub(crate) struct Needs {
    /// Shared with the other pages.
    pub(crate) ceph: Option<Arc<Ceph>>,
    /// The page's own: it makes users there.
    pub(crate) etcd: Option<Etcd>,
    /// One that knows its clients by certificate, where an example makes users: it ends with authentication on.
    pub(crate) etcd_with_users: Option<Etcd>,
    /// One that speaks https, where an example does.
    pub(crate) etcd_with_tls: Option<Etcd>,
    /// A real cluster file system, where an example asks for one.
    pub(crate) cluster_fs: Option<Arc<CephFs>>,
}

impl Needs {
    pub(crate) fn of(blocks: &[Block]) -> anyhow::Result<Self> {
        let any = |words: &[&str]| blocks.iter().any(|block| mentions(block, words));
        let cluster_fs = if any(&["--require-fs"]) { Some(cephfs::shared()?) } else { None };
        let etcd = if any(&["etcd"]) { Some(Etcd::start(Setup::default())?) } else { None };
        let users = blocks.iter().any(users::are_made_by);
        let tls = || Etcd::start(Setup { tls: true, ..Setup::default() });
        let etcd_with_users = if users { Some(tls()?) } else { None };
        let etcd_with_tls = if any(&["https://"]) { Some(tls()?) } else { None };
        let ceph = if any(&OF_CEPH) { Some(ceph::shared()?) } else { None };
        Ok(Self { ceph, etcd, etcd_with_users, etcd_with_tls, cluster_fs })
    }

    /// The documented text with what the bench has in the place of what it cannot have: the members' addresses, and the kind
    /// of the file system.
    pub(crate) fn adapted(&self, text: &str) -> anyhow::Result<String> {
        let lines = text.split_inclusive('\n').map(|line| self.with_our_members(line));
        let mut text = lines.collect::<anyhow::Result<String>>()?;
        ensure!(!text.contains("192.0.2."), "{text:?} names members where the suite does not see it");
        if let (Some(fs), Some((before, rest))) = (&self.cluster_fs, text.clone().split_once("--require-fs ")) {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            let (named, behind) = rest.split_at(end);
            let known = cluster_file_systems()?;
            for kind in named.split(',') {
                ensure!(known.contains(kind), "--require-fs {named}: the table of file systems has {known:?}");
            }
            text = format!("{before}--require-fs {}{behind}", fs.kind());
        }
        Ok(text)
    }

    /// A line in which members are named.
    fn with_our_members(&self, line: &str) -> anyhow::Result<String> {
        let places = ["endpoints = ", "ETCDCTL_ENDPOINTS=", "--endpoints "];
        let Some(place) = places.iter().find(|place| line.contains(**place)) else { return Ok(line.to_owned()) };
        let (before, rest) = line.split_once(place).context("no members")?;
        let end = rest.find([' ', '"', '\'', '\n']).unwrap_or(rest.len());
        let (members, behind) = rest.split_at(end);
        let etcd = if members.starts_with("https://") { &self.etcd_with_tls } else { &self.etcd };
        let etcd = etcd.as_ref().with_context(|| format!("no etcd for {members}"))?;
        ensure!(members.split(',').count() == MEMBERS, "{members}: an example names {MEMBERS} members, all there are");
        Ok(format!("{before}{place}{}{behind}", etcd.endpoints()))
    }
}

/// What `--require-fs` can name, by the overview's table of file systems.
fn cluster_file_systems() -> anyhow::Result<BTreeSet<String>> {
    let page = pages::of("ctdb-mutex-helpers")?;
    let section = mdoc::part(&page.text, ".Sh", "FILE SYSTEMS").context("no FILE SYSTEMS")?;
    let rows = section.into_iter().filter(|line| line.starts_with(".It ") && !line.contains("--require-fs"));
    let kinds = rows.filter_map(|row| row.split(" Ta ").nth(3));
    let kinds: BTreeSet<String> = kinds.flat_map(|kinds| kinds.split(", ")).map(str::to_owned).collect();
    ensure!(!kinds.is_empty(), "the table of file systems has no kind");
    Ok(kinds)
}

/// An example's turn on Ceph, if that is what it needs: until this value ends.
pub(crate) fn turn(block: &Block) -> Option<MutexGuard<'static, ()>> {
    mentions(block, &OF_CEPH).then(alone)
}

/// Ceph for one.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
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
