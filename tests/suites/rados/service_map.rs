//! The holder in ceph-mgr's service map.

use std::time::Duration;

use anyhow::{Context, ensure};
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::services::ceph::POOL;
use mutex_tests::wait::wait_for;
use rustix::process::Signal;
use serde_json::Value;

use crate::{Case, GONE, Lock};

pub(crate) const CASES: &[Case] = &[
    ("the holder is in the service map, with what leads to it, until it lets go", registered),
    ("a contender is not in the service map, nor is a holder with -R", not_registered),
];

/// The manager tells the monitors every few seconds.
const MAP_LIMIT: Duration = Duration::from_secs(15);

/// What the service map says of the holder of this lock.
fn entries(lock: &Lock) -> anyhow::Result<Vec<Value>> {
    let map: Value = serde_json::from_str(&lock.ceph.ceph(&["--format", "json", "service", "dump"])?)?;
    let daemons = map.pointer("/services/ctdb/daemons").and_then(Value::as_object).cloned().unwrap_or_default();
    let of_this = |daemon: &Value| daemon.pointer("/metadata/object").is_some_and(|object| object == &lock.object);
    Ok(daemons.into_iter().map(|(_, daemon)| daemon).filter(of_this).collect())
}

fn wait_entries(lock: &Lock, count: usize) -> anyhow::Result<Vec<Value>> {
    let found = || entries(lock).ok().filter(|entries| entries.len() == count);
    Ok(wait_for(&format!("{count} entries in the service map"), MAP_LIMIT, found)?.0)
}

fn registered() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let holder = lock.holder(&["4"])?;
    let info = lock.info()?.context("nobody holds the lock although a taker was answered 0")?;
    let found = wait_entries(&lock, 1)?;
    let entry = found.first().context("no entry")?;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")?;
    let pid = holder.supervisor().pid().to_string();
    let facts = [("host", host.trim()), ("pid", &pid), ("pool", POOL), ("object", &lock.object), ("namespace", "")];
    for (key, value) in facts {
        ensure!(entry["metadata"][key] == value, "{key} is not {value:?}: {entry}");
    }
    ensure!(entry["metadata"]["version"].is_string(), "no version: {entry}");
    ensure!(format!("client.{}", entry["gid"]) == info.client, "{entry} is not {info:?}");
    holder.signal(Signal::TERM)?;
    holder.gone(GONE)?;
    wait_entries(&lock, 0).map(drop)
}

/// Another holder, which is seen there, shows that the time was long enough.
fn not_registered() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let _holder = lock.holder(&["4", "-R"])?;
    let contender = lock.helper(&["4", "--wait-seconds", "60"])?.start()?;
    contender.pipe()?.stays_silent(Duration::from_millis(500))?;
    let seen = Lock::on(lock.ceph.clone());
    let _seen = seen.holder(&["4"])?;
    wait_entries(&seen, 1)?;
    let found = entries(&lock)?;
    ensure!(found.is_empty(), "{found:?}");
    contender.signal(Signal::TERM)?;
    contender.gone(ANSWER_LIMIT).map(drop)
}
