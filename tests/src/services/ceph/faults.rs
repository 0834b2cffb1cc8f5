//! What can be done to a cluster.

use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

use super::{Ceph, Daemon};
use crate::fault::Fault;
use crate::wait::wait_for;

/// An OSD that has been started again is up within a second; on a busy machine later.
const UP_LIMIT: Duration = Duration::from_secs(30);

impl Ceph {
    /// No object can be read or written: nothing answers, and what is asked for happens after the thaw.
    pub fn osds_frozen(&self) -> Fault<'_> {
        Fault::new(
            "frozen",
            || self.osds.iter().try_for_each(Daemon::freeze),
            || self.osds.iter().try_for_each(Daemon::go_on),
        )
    }

    /// The OSD with the other copy does not answer: what is asked for has reached the one that answers for the object, and
    /// waits there.
    pub fn replica_frozen(&self, object: &str) -> anyhow::Result<Fault<'_>> {
        let replica = &self.osds[1 - self.primary_of(None, object)?.min(1)];
        Ok(Fault::new("replica frozen", || replica.freeze(), || replica.go_on()))
    }

    /// Nobody can connect, and no map changes; who is connected reads and writes on.
    pub fn mon_frozen(&self) -> Fault<'_> {
        Fault::new("monitor frozen", || self.mon.freeze(), || self.mon.go_on())
    }

    /// The list of services is gone.
    pub fn mgr_killed(&self) -> Fault<'_> {
        let mgr = || self.mgr.as_ref().context("this cluster has no manager");
        Fault::new("manager killed", move || mgr()?.kill(), move || mgr()?.start())
    }

    /// One copy of everything is gone, for good: it was in memory. Healed by starting the OSD again, empty; waits until
    /// the cluster knows that it is up.
    pub fn osd_killed(&self, number: usize) -> Fault<'_> {
        let osd = move || self.osds.get(number).with_context(|| format!("there is no OSD {number}"));
        Fault::new(
            "OSD killed",
            move || osd()?.kill(),
            move || {
                osd()?.start()?;
                let up = || self.is_up(number).unwrap_or(false).then_some(());
                wait_for(&format!("OSD {number} to be up"), UP_LIMIT, up).map(drop)
            },
        )
    }

    fn is_up(&self, number: usize) -> anyhow::Result<bool> {
        let dump: Value = serde_json::from_str(&self.ceph(&["--format", "json", "osd", "dump"])?)?;
        let osds = dump.get("osds").and_then(Value::as_array).context("ceph osd dump shows no OSDs")?;
        let is = |osd: &Value, key: &str, value: usize| osd.get(key).and_then(Value::as_u64) == Some(value as u64);
        Ok(osds.iter().any(|osd| is(osd, "osd", number) && is(osd, "up", 1)))
    }
}
