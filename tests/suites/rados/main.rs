//! What only `ctdb_mutex_rados_helper` promises: its store's faults, its answers, its errors.
//!
//! HELPER_DIR names the directory of the helper (default: where cargo put it). One cluster serves the cases that do it
//! no harm; the others have one each.

mod break_lock;
mod clocks;
mod conf;
mod cost;
mod errors;
mod faults;
mod finding;
mod no_expiry;
mod service_map;
mod status;

use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use libtest_mimic::{Arguments, Trial};
use mutex_tests::process::helper::Helper;
use mutex_tests::process::launch::Launch;
use mutex_tests::process::programs;
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::services::ceph::{self, ADMIN, CONF_VARIABLE, Ceph, POOL, Setup, lock::LockInfo};
use mutex_tests::wait::wait_for;
use serde_json::Value;

/// What a machine of two cores that runs other trials too adds to a measured time.
const NOISE: Duration = Duration::from_millis(250);

/// How long a process may take to go, whatever the store does (P4).
const GONE: Duration = Duration::from_secs(1).saturating_add(NOISE);

/// A promise. Its name is the trial's.
type Case = (&'static str, fn() -> anyhow::Result<()>);

fn main() {
    let cases = [
        faults::CASES,
        clocks::CASES,
        no_expiry::CASES,
        finding::CASES,
        status::CASES,
        break_lock::CASES,
        service_map::CASES,
        cost::CASES,
    ]
    .concat();
    let mut trials: Vec<Trial> = cases.into_iter().map(|(name, run)| trial(name, run)).collect();
    trials.extend(errors::trials());
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials);
    // `exit` runs no destructors.
    ceph::end_shared();
    conclusion.exit()
}

fn trial(name: impl Into<String>, run: impl FnOnce() -> anyhow::Result<()> + Send + 'static) -> Trial {
    Trial::test(name, move || run().map_err(|error| format!("{error:#}").into()))
}

/// A lock of a case's own.
struct Lock {
    ceph: Arc<Ceph>,
    object: String,
}

impl Lock {
    fn on(ceph: Arc<Ceph>) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        Self { ceph, object: format!("ctdb-{}", NUMBER.fetch_add(1, Ordering::Relaxed)) }
    }

    /// On the cluster that all share.
    fn shared() -> anyhow::Result<Self> {
        Ok(Self::on(ceph::shared()?))
    }

    /// On a cluster that the case may harm; without a manager.
    fn alone(min_size: u8) -> anyhow::Result<Self> {
        Ok(Self::on(Arc::new(Ceph::start(Setup { mgr: false, min_size })?)))
    }

    /// As messages name it.
    fn name(&self) -> String {
        format!("{POOL}/{}", self.object)
    }

    /// The helper about to be started by the admin, with `options` after the object.
    fn helper(&self, options: &[&str]) -> anyhow::Result<Launch> {
        Ok(helper(&["ceph", ADMIN, POOL, &self.object])?.args(options).env(CONF_VARIABLE, self.ceph.conf()))
    }

    /// A helper that holds it.
    fn holder(&self, options: &[&str]) -> anyhow::Result<Helper> {
        let holder = self.helper(options)?.start()?;
        holder.expect('0', ANSWER_LIMIT)?;
        Ok(holder)
    }

    /// Samba's helper about to be started.
    fn samba(&self, options: &[&str]) -> anyhow::Result<Launch> {
        let program = programs::packaged("/usr/libexec/ctdb/ctdb_mutex_ceph_rados_helper", "ctdb")?;
        let arguments = ["ceph", ADMIN, POOL, &self.object].map(OsString::from);
        Ok(Launch::new(program, arguments).args(options).env(CONF_VARIABLE, self.ceph.conf()))
    }

    /// Who holds it, as an admin sees it.
    fn info(&self) -> anyhow::Result<Option<LockInfo>> {
        self.ceph.lock_info(None, &self.object)
    }

    /// How many requests about the object are in one of an OSD's lists of operations.
    fn requests(&self, osd: &str, list: &str) -> anyhow::Result<usize> {
        let dump = self.ceph.operations(osd, list)?;
        let all = dump["ops"].as_array().with_context(|| format!("{list} shows no ops"))?;
        // The copies of a change are told as osd_repop.
        let of_this = |op: &&Value| {
            let what = op["description"].as_str().unwrap_or_default();
            what.starts_with("osd_op(") && what.contains(&format!(":{}:", self.object))
        };
        Ok(all.iter().filter(of_this).count())
    }

    /// Waits until a try's request waits in the OSD that answers for the object: for the other one, which is frozen.
    fn wait_requested(&self) -> anyhow::Result<()> {
        self.wait_requested_at(self.ceph.primary_of(None, &self.object)?)
    }

    /// The same, of an OSD that is known to answer for it.
    fn wait_requested_at(&self, primary: usize) -> anyhow::Result<()> {
        let osd = format!("osd.{primary}");
        let waits = || self.requests(&osd, "dump_ops_in_flight").is_ok_and(|count| count > 0).then_some(());
        wait_for("a request to wait in the OSD", ANSWER_LIMIT, waits).map(drop)
    }

    fn wait_free(&self, limit: Duration) -> anyhow::Result<()> {
        let free = || self.info().is_ok_and(|info| info.is_none()).then_some(());
        wait_for(&format!("{} to be free", self.object), limit, free).map(drop)
    }
}

/// The helper about to be started, in an environment that leads to no cluster.
fn helper(arguments: &[&str]) -> anyhow::Result<Launch> {
    Ok(Launch::new(programs::helper("ctdb_mutex_rados_helper")?, arguments))
}
