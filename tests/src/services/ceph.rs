//! A real Ceph: a monitor, two OSDs in memory and, if asked for, a manager, as ordinary processes on loopback, with a
//! replicated pool `rbd`. The one below a file system ([`super::cephfs`]) has MDSs, a single OSD and a host of its own.
//!
//! | module | what is in it |
//! |---|---|
//! | [`lock`] | who has a lock in it |
//! | [`apart`] | one on a host of its own, with clients on hosts of theirs |
//! | [`clock`] | the wall clocks of its OSDs |
//! | [`spread`] | one whose daemons have a host each, as have its clients |
//! | `admin_socket` | a question to one of its daemons |
//! | `daemon` | one process of it |
//! | `faults` | what can be done to it |
//! | `files` | its configuration and keys |
//! | `mds` | the daemons of its file system |
//! | `start` | how it comes up |

mod admin_socket;
pub mod apart;
pub mod clock;
mod daemon;
mod faults;
mod files;
pub mod lock;
mod mds;
pub mod spread;
mod start;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tempfile::TempDir;

use super::addresses::Block;
use super::command::{Outcome, run, start};
use super::guard::Guard;
use super::network::{Inside, Namespace};
use super::shared::Shared;
use crate::wait::wait_for;
pub(super) use daemon::Daemon;
use lock::LockInfo;
pub(super) use start::ForFiles;

/// The pool that every cluster has.
pub const POOL: &str = "rbd";

/// The user who may do everything, and whom the commands here run as.
pub const ADMIN: &str = "client.admin";

/// The variable by which everything finds its cluster, and the guard everything of a cluster.
pub const CONF_VARIABLE: &str = "CEPH_CONF";

/// Where the programs are, and the packages that bring them.
const PROGRAMS: [(&str, &str); 7] = [
    (CEPH, "ceph-common"),
    (RADOS, "ceph-common"),
    (AUTHTOOL, "ceph-common"),
    (MONMAPTOOL, "ceph-base"),
    (MON, "ceph-mon"),
    (OSD, "ceph-osd"),
    (MGR, "ceph-mgr"),
];
const CEPH: &str = "/usr/bin/ceph";
const RADOS: &str = "/usr/bin/rados";
const AUTHTOOL: &str = "/usr/bin/ceph-authtool";
const MONMAPTOOL: &str = "/usr/bin/monmaptool";
const MON: &str = "/usr/bin/ceph-mon";
const OSD: &str = "/usr/bin/ceph-osd";
const MGR: &str = "/usr/bin/ceph-mgr";
const MDS: &str = "/usr/bin/ceph-mds";
const MDS_PACKAGE: &str = "ceph-mds";

/// How long a command may take: what it asks for comes within a second, or never.
const COMMAND_LIMIT: Duration = Duration::from_secs(10);

/// The same for `rados`, in its own words.
const RADOS_LIMITS: [&str; 4] = ["--client-mount-timeout", "3", "--rados-osd-op-timeout", "3"];

/// A client whose OSD is not there asks this often for a new map, in seconds; every 5 s by default.
const RADOS_TICK: [&str; 2] = ["--objecter-tick-interval", "0.05"];

/// What a cluster is to be like.
#[derive(Clone, Copy)]
pub struct Setup {
    /// Whether it has a manager, which a lock does not need: it is slow to start and keeps the list of services.
    pub mgr: bool,
    /// How many of an object's copies, one on each OSD, a write must reach.
    pub min_size: u8,
}

/// A running cluster. Every process of it ends with this value.
pub struct Ceph {
    // In this order: the processes end, then the directory goes, then the address is free for others.
    mon: Daemon,
    mgr: Option<Daemon>,
    osds: Vec<Daemon>,
    mds: Vec<Daemon>,
    /// Where its commands are run, if not where the thread is.
    admin: Option<Namespace>,
    conf: PathBuf,
    _guard: Guard,
    dir: TempDir,
    _address: Option<Block>,
}

impl Ceph {
    /// Its configuration, for [`CONF_VARIABLE`]; it names every user's key.
    #[must_use]
    pub fn conf(&self) -> &Path {
        &self.conf
    }

    /// Runs a `ceph` command and returns what it printed. Each takes a third of a second of CPU time.
    pub fn ceph(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let _inside = self.enter_admin()?;
        run(self.command(CEPH).args(arguments), COMMAND_LIMIT)
    }

    /// Runs a `rados` command and returns what it printed. On a frozen cluster it fails after 3 s, and what it asked
    /// for may yet happen.
    pub fn rados(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.rados_outcome(arguments)?.succeeded()
    }

    fn rados_outcome(&self, arguments: &[&str]) -> anyhow::Result<Outcome> {
        let _inside = self.enter_admin()?;
        start(self.command(RADOS).args(RADOS_TICK).args(RADOS_LIMITS).args(arguments), COMMAND_LIMIT)?.outcome()
    }

    /// Puts this thread where the cluster's commands find it.
    fn enter_admin(&self) -> anyhow::Result<Option<Inside>> {
        self.admin.as_ref().map(Namespace::enter).transpose()
    }

    /// Its directory.
    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// All MDSs.
    pub(super) fn all_mds(&self) -> &[Daemon] {
        &self.mds
    }

    /// All OSDs.
    pub(super) fn osds(&self) -> &[Daemon] {
        &self.osds
    }

    /// Every process, those first that ask the others.
    pub(super) fn daemons(&self) -> impl DoubleEndedIterator<Item = &Daemon> {
        self.mds.iter().chain(&self.mgr).chain(&self.osds).chain([&self.mon])
    }

    /// A command that finds the cluster, and that its guard finds.
    pub(super) fn command(&self, program: &str) -> Command {
        files::command(program, &self.conf)
    }

    /// Who has the cluster lock in an object of the pool; `None` for nobody, and where there is no such object.
    pub fn lock_info(&self, namespace: Option<&str>, object: &str) -> anyhow::Result<Option<LockInfo>> {
        let mut arguments = in_pool(namespace);
        arguments.extend(["lock", "info", object, lock::NAME, "--format", "json"]);
        let outcome = self.rados_outcome(&arguments)?;
        if outcome.stderr.contains("error 2:") {
            return Ok(None);
        }
        LockInfo::parse(&outcome.succeeded()?)
    }

    /// The number of the OSD that answers for an object of the pool.
    pub fn primary_of(&self, namespace: Option<&str>, object: &str) -> anyhow::Result<usize> {
        let mut arguments = vec!["--format", "json", "osd", "map", POOL, object];
        arguments.extend(namespace);
        let map: serde_json::Value = serde_json::from_str(&self.ceph(&arguments)?).context("parse ceph osd map")?;
        let primary = map.get("acting_primary").and_then(serde_json::Value::as_u64);
        Ok(usize::try_from(primary.with_context(|| format!("{object} has no primary"))?)?)
    }

    /// One of an OSD's lists of operations, such as `dump_ops_in_flight`; at once, also on a busy machine.
    pub fn operations(&self, osd: &str, list: &str) -> anyhow::Result<serde_json::Value> {
        let socket = files::admin_socket_of(self.dir(), osd);
        let answer = admin_socket::ask(&socket, &serde_json::json!({ "prefix": list }), COMMAND_LIMIT)?;
        serde_json::from_str(&answer).with_context(|| format!("parse {list} of {osd}"))
    }

    /// Makes this OSD answer for an object of the pool, and waits until it does: as an admin does, or a cluster that puts
    /// its data elsewhere.
    pub fn let_answer(&self, osd: usize, object: &str) -> anyhow::Result<()> {
        let other = format!("osd.{}", self.primary_of(None, object)?);
        self.ceph(&["osd", "primary-affinity", &other, "0"])?;
        let answers = || self.primary_of(None, object).is_ok_and(|primary| primary == osd).then_some(());
        wait_for(&format!("OSD {osd} to answer for {object}"), COMMAND_LIMIT, answers).map(drop)
    }

    /// Adds a user with these capabilities, each the kind of daemon and what may be done there. Returns the file with
    /// the key, which the configuration names.
    pub fn add_user(&self, user: &str, capabilities: &[(&str, &str)]) -> anyhow::Result<PathBuf> {
        let mut arguments = vec!["auth", "get-or-create", user];
        arguments.extend(capabilities.iter().flat_map(|&(daemon, allowed)| [daemon, allowed]));
        let keyring = files::keyring_of(self.dir.path(), user);
        std::fs::write(&keyring, self.ceph(&arguments)?).with_context(|| format!("write the key of {user}"))?;
        Ok(keyring)
    }

    /// Adds a replicated pool.
    pub fn create_pool(&self, name: &str) -> anyhow::Result<()> {
        self.ceph(&["osd", "pool", "create", name, "1"]).map(drop)
    }
}

/// The options of `rados` that lead to the pool.
#[must_use]
pub fn in_pool(namespace: Option<&str>) -> Vec<&str> {
    let mut options = vec!["--pool", POOL];
    options.extend(namespace.iter().flat_map(|name| ["--namespace", name]));
    options
}

static SHARED: Shared<Ceph> = Shared::new();

/// The cluster that all cases share, with a manager.
pub fn shared() -> anyhow::Result<Arc<Ceph>> {
    SHARED.get(|| Ceph::start(Setup { mgr: true, min_size: 2 }))
}

/// Ends it, if there is one.
pub fn end_shared() {
    SHARED.end();
}
