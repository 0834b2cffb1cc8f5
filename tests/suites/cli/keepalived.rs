//! The example with keepalived: whatever happens to VRRP, to the lock or to a hook, at most one node is promoted.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use mutex_tests::process::programs;
use mutex_tests::services::etcd::{self, Etcd};
use mutex_tests::services::keepalived::record::Entry;
use mutex_tests::services::keepalived::{Pair, Setup};
use mutex_tests::wait::wait_for;

use crate::tool::{directory, file_lock};
use crate::{Case, NOISE};

pub(crate) const CASES: &[Case] = &[
    ("keepalived: one node is promoted, and as keepalived ends there, stopped or killed, the other", hand_over),
    ("keepalived: the link of VRRP cut, both are master and one is promoted; healed, it stays so", link_cut),
    ("keepalived: its cable pulled: who is promoted stays so, and then the other has its turn", cable_pulled),
    ("keepalived: a promotion that fails is taken back, and the other node promoted", no_promotion),
    ("keepalived: a demotion that fails keeps the lock, and the other node is not promoted", no_demotion),
    ("keepalived: the campaign killed: demoted, the other is promoted, and the node comes back", campaign_killed),
    ("keepalived: told by a keepalived that has ended already, no node campaigns", told_by_nobody),
    ("keepalived: the lock lost: demoted, the other is promoted, and the node comes back", lost),
    ("keepalived: the store frozen: demoted before the lease ends", frozen),
    ("keepalived: the lock lost and a demotion that hangs: killed before the other is promoted", hangs),
];

/// A node is master within four seconds of the last word of another, demotes and promotes in less than one, and has the
/// lock a lease later at most; beside all other trials.
const LIMIT: Duration = Duration::from_secs(60);

/// The lease, and what of it `demote` has: enough for a few shells on a busy machine.
const LEASE: Duration = Duration::from_secs(6);
const GRACE: Duration = Duration::from_millis(1500);

const KEY: &str = "/active/storage";

/// Runs a case with both nodes on a file as the lock.
fn on_file(case: impl Fn(&Pair) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let (_dir, file) = directory()?;
    let pair = Pair::new(&Setup { lock: file_lock(&file)?, etcd: None, grace: Duration::from_millis(500) })?;
    told_about(&pair, case(&pair))
}

/// Runs a case with both nodes on a key in an etcd that VRRP's link does not lead to.
fn on_etcd(case: impl Fn(&Pair, &Etcd) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let etcd = Etcd::start(etcd::Setup { own_network: true, ..Default::default() })?;
    let helper = programs::helper("ctdb_mutex_etcd_helper")?;
    let lock = lock(&helper, &etcd);
    let pair = Pair::new(&Setup { lock, etcd: Some(&etcd), grace: GRACE })?;
    told_about(&pair, case(&pair, &etcd))
}

fn lock(helper: &Path, etcd: &Etcd) -> String {
    format!("!{} {KEY} {} --endpoints {}", helper.display(), LEASE.as_secs(), etcd.endpoints())
}

fn told_about(pair: &Pair, outcome: anyhow::Result<()>) -> anyhow::Result<()> {
    outcome.and_then(|()| pair.record().at_most_one(0)).with_context(|| pair.said())
}

/// Waits until a node has noted this for the nth time.
fn nth(pair: &Pair, what: &str, node: usize, count: usize) -> anyhow::Result<Entry> {
    let name = format!("node{} to have {what} ({count})", node + 1);
    Ok(wait_for(&name, LIMIT, || pair.record().nth(what, node, count))?.0)
}

/// Starts both; the first is promoted.
fn start(pair: &Pair) -> anyhow::Result<()> {
    pair.node(0).start()?;
    nth(pair, "promoted", 0, 1)?;
    pair.node(1).start()?;
    told(pair, 1, "backup")
}

fn told(pair: &Pair, node: usize, state: &str) -> anyhow::Result<()> {
    let is_told = || (pair.node(node).told().as_deref() == Some(state)).then_some(());
    wait_for(&format!("node{} to be {state}", node + 1), LIMIT, is_told)?;
    Ok(())
}

/// How often any node has been promoted, or has begun to be.
fn promotions(pair: &Pair) -> anyhow::Result<usize> {
    Ok(pair.record().entries()?.iter().filter(|entry| entry.what == "promoting").count())
}

fn hand_over() -> anyhow::Result<()> {
    on_file(|pair| {
        pair.node(0).start()?;
        pair.node(1).start()?;
        // On a busy machine both can be master for a moment.
        let promoted = || (0..2).find(|&node| pair.record().nth("promoted", node, 1).is_some());
        let (first, _) = wait_for("a node to be promoted", LIMIT, promoted)?;
        let second = 1 - first;
        let address_is_at = |node: usize, other: usize| -> anyhow::Result<()> {
            let [there, here] = [pair.node(other).has_address()?, pair.node(node).has_address()?];
            ensure!(here && !there, "the address is not where the lock is");
            Ok(())
        };
        address_is_at(first, second)?;
        ensure!(promotions(pair)? == 1, "both were promoted");

        pair.node(first).stop()?;
        let demoted = nth(pair, "demoted", first, 1)?;
        let promoted = nth(pair, "promoted", second, 1)?;
        ensure!(demoted.at < promoted.at, "promoted before the other's demotion");
        address_is_at(second, first)?;

        pair.node(first).start()?;
        told(pair, first, "backup")?;
        pair.node(second).kill()?;
        nth(pair, "demoted", second, 1)?;
        nth(pair, "promoted", first, 2)?;
        ensure!(promotions(pair)? == 3, "more promotions than there were reasons");
        Ok(())
    })
}

fn link_cut() -> anyhow::Result<()> {
    on_file(|pair| {
        // The one with the lower priority, so that the other would have its place by VRRP alone.
        pair.node(1).start()?;
        nth(pair, "promoted", 1, 1)?;
        pair.node(0).start()?;
        told(pair, 0, "backup")?;

        let fault = pair.link_cut();
        let cut = fault.inject()?;
        told(pair, 0, "master")?;
        wait_for("the other to try", LIMIT, || pair.node(0).campaigns().then_some(()))?;
        ensure!(pair.node(1).told().as_deref() == Some("master"), "the promoted one is no master any more");
        ensure!(!pair.node(0).has_address()?, "the address is on both sides");

        cut.heal()?;
        told(pair, 0, "backup")?;
        wait_for("the other to give up", LIMIT, || (!pair.node(0).campaigns()).then_some(()))?;
        ensure!(pair.node(1).told().as_deref() == Some("master") && promotions(pair)? == 1, "the healing moved it");
        Ok(())
    })
}

fn cable_pulled() -> anyhow::Result<()> {
    on_file(|pair| {
        start(pair)?;
        let fault = pair.cable_pulled();
        let pulled = fault.inject()?;
        told(pair, 1, "master")?;
        wait_for("the other to try", LIMIT, || pair.node(1).campaigns().then_some(()))?;
        ensure!(pair.node(0).told().as_deref() == Some("master") && promotions(pair)? == 1, "the cable moved it");
        // Who waits has its turn when the promoted one ends.
        pair.node(0).stop()?;
        nth(pair, "demoted", 0, 1)?;
        nth(pair, "promoted", 1, 1)?;
        pulled.heal()
    })
}

fn no_promotion() -> anyhow::Result<()> {
    on_file(|pair| {
        let refuses = pair.node(0).promotion_fails()?;
        pair.node(0).start()?;
        nth(pair, "demoted", 0, 1)?;
        pair.node(1).start()?;
        nth(pair, "promoted", 1, 1)?;
        told(pair, 0, "backup")?;
        ensure!(pair.record().nth("promoted", 0, 1).is_none(), "it was promoted all the same");
        refuses.mend()?;
        pair.node(1).stop()?;
        nth(pair, "promoted", 0, 1)?;
        Ok(())
    })
}

fn no_demotion() -> anyhow::Result<()> {
    on_file(|pair| {
        start(pair)?;
        let fails = pair.node(0).demotion_fails()?;
        pair.node(0).stop()?;
        told(pair, 1, "master")?;
        wait_for("the other to try", LIMIT, || pair.node(1).campaigns().then_some(()))?;
        wait_for("a demotion to have failed twice", LIMIT, || (pair.node(0).failures() > 1).then_some(()))?;
        ensure!(promotions(pair)? == 1, "promoted while the other could not demote");
        fails.mend()?;
        let demoted = nth(pair, "demoted", 0, 1)?;
        let promoted = nth(pair, "promoted", 1, 1)?;
        ensure!(demoted.at < promoted.at, "promoted before the other's demotion");
        Ok(())
    })
}

fn campaign_killed() -> anyhow::Result<()> {
    on_file(|pair| {
        start(pair)?;
        pair.node(0).kill_campaign()?;
        let demoted = nth(pair, "demoted", 0, 1)?;
        let promoted = nth(pair, "promoted", 1, 1)?;
        ensure!(demoted.at < promoted.at, "promoted before the other's demotion");
        told(pair, 0, "backup")
    })
}

fn told_by_nobody() -> anyhow::Result<()> {
    on_file(|pair| {
        pair.node(0).told_by_nobody()?;
        ensure!(!pair.node(0).campaigns() && promotions(pair)? == 0, "it campaigns, and nobody will tell it to end");
        Ok(())
    })
}

/// What an admin does.
fn break_lock(etcd: &Etcd) -> anyhow::Result<()> {
    etcd.etcdctl(&["del", "--prefix", KEY]).map(drop)
}

fn lost() -> anyhow::Result<()> {
    on_etcd(|pair, etcd| {
        start(pair)?;
        break_lock(etcd)?;
        let demoted = nth(pair, "demoted", 0, 1)?;
        let promoted = nth(pair, "promoted", 1, 1)?;
        ensure!(demoted.at < promoted.at, "promoted before the other's demotion");
        // It has rested, and the other's word that it is promoted counts for more than its own priority.
        told(pair, 0, "backup")?;
        pair.node(1).stop()?;
        nth(pair, "promoted", 0, 2)?;
        Ok(())
    })
}

fn frozen() -> anyhow::Result<()> {
    on_etcd(|pair, etcd| {
        start(pair)?;
        let fault = etcd.all_frozen();
        let frozen = fault.inject()?;
        let at = std::time::SystemTime::now();
        let demoted = nth(pair, "demoted", 0, 1)?;
        let took = demoted.at.duration_since(at).unwrap_or_default();
        ensure!(took <= LEASE + NOISE, "demoted {took:?} after the store froze");
        told(pair, 1, "master")?;
        ensure!(promotions(pair)? == 1, "promoted without a store");
        frozen.heal()?;
        wait_for("a node to be promoted again", LIMIT, || (promotions(pair).ok()? > 1).then_some(()))?;
        Ok(())
    })
}

fn hangs() -> anyhow::Result<()> {
    let etcd = Etcd::start(etcd::Setup { own_network: true, ..Default::default() })?;
    let helper = programs::helper("ctdb_mutex_etcd_helper")?;
    let pair = Pair::new(&Setup { lock: lock(&helper, &etcd), etcd: Some(&etcd), grace: GRACE })?;
    let case = || {
        start(&pair)?;
        let hangs = pair.node(0).demotion_hangs()?;
        break_lock(&etcd)?;
        // Its hook looks for the other's service.
        nth(&pair, "promoted", 1, 1)?;
        ensure!(pair.record().nth("demoted", 0, 1).is_none(), "it was demoted");
        ensure!(pair.node(0).told().as_deref() == Some("fault"), "it came back without a demotion");
        hangs.mend()?;
        nth(&pair, "demoted", 0, 1)?;
        told(&pair, 0, "backup")?;
        ensure!(!pair.node(0).has_address()?, "the address stayed behind");
        Ok(())
    };
    case().and_then(|()| pair.record().at_most_one(1)).with_context(|| pair.said())
}
