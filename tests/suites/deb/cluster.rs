//! Three ctdbd started from there, with a lock of each kind; an upgrade under a holder.

use std::fs;
use std::time::Duration;

use anyhow::{Context, ensure};
use mutex_tests::services::ctdb::{Cluster, Setup};
use mutex_tests::services::{ceph, etcd};

use crate::Case;
use crate::system::System;

/// `leader timeout`, an election, what is left of a lease, and a machine of two cores that runs other trials too.
const NEXT_LEADER: Duration = Duration::from_secs(30);

/// Until all have heard of it.
const SETTLED: Duration = Duration::from_secs(10);

const FILE: &str = "!/usr/libexec/ctdb/ctdb_mutex_file_helper /clusterfs/ctdb/lock";
const RADOS: &str = "!/usr/libexec/ctdb/ctdb_mutex_rados_helper ceph client.admin rbd lockctdb";
const ETCD: &str = "!/usr/libexec/ctdb/ctdb_mutex_etcd_helper ctdb/lock 3";

pub(crate) const CASES: &[Case] = &[
    ("file: three nodes get healthy and fail over, and an upgrade leaves the lock held", file),
    ("rados: three nodes get healthy and fail over", rados),
    ("etcd: three nodes get healthy and fail over", etcd),
];

fn file() -> anyhow::Result<()> {
    let system = System::installed()?;
    fs::create_dir_all(system.path().join("clusterfs/ctdb"))?;
    let cluster = failed_over(&system, FILE)?;
    let holder = cluster.wait_healthy()?.helper()?;
    // The same version once more replaces the files, as another would.
    system.install(&[""])?;
    ensure!(!holder.is_gone(), "the upgrade ended the holder");
    let answer = system.output(&["/usr/libexec/ctdb/ctdb_mutex_file_helper", "/clusterfs/ctdb/lock"])?;
    ensure!(answer.stdout == b"1", "the new program was answered {:?}", String::from_utf8_lossy(&answer.stdout));
    ensure!(!holder.is_gone(), "the holder has ended");
    Ok(())
}

fn rados() -> anyhow::Result<()> {
    let ceph = ceph::shared()?;
    let system = System::installed()?;
    let etc = system.path().join("etc/ceph");
    fs::create_dir_all(&etc)?;
    // It names the key by its place in memory, which is the same in the system.
    fs::copy(ceph.conf(), etc.join("ceph.conf")).context("copy ceph.conf")?;
    failed_over(&system, RADOS).map(drop)
}

fn etcd() -> anyhow::Result<()> {
    let etcd = etcd::shared()?;
    let system = System::installed()?;
    fs::write(system.path().join("etc/ctdb/etcd"), format!("endpoints = {}\n", etcd.endpoints()))?;
    failed_over(&system, ETCD).map(drop)
}

/// A cluster whose first leader was killed with all of its node, and that has another.
fn failed_over(system: &System, lock: &str) -> anyhow::Result<Cluster> {
    let setup = Setup { size: 3, lock: lock.to_owned(), root: Some(system.root()), ..Setup::default() };
    let cluster = Cluster::start(&setup)?;
    let old = cluster.wait_healthy()?;
    let mark = cluster.mark()?;
    old.kill()?;
    let taken = cluster.wait_taken(&mark, NEXT_LEADER)?;
    ensure!(taken.node != old.number(), "a killed node has taken the lock");
    cluster.wait_agreed(taken.node, SETTLED)?;
    cluster.restart(old.number())?;
    cluster.wait_healthy()?;
    let clashes = cluster.watcher()?.clashes();
    ensure!(clashes.is_empty(), "{}", clashes.join("\n"));
    Ok(cluster)
}
