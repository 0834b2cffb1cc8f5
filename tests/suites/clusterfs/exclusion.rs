//! One lock for all mounts.

use std::path::Path;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use mutex_tests::process::helper::Helper;
use mutex_tests::process::launch::Launch;
use mutex_tests::process::programs;
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::services::cluster_fs::{ClusterFs, NODES};
use rustix::process::Signal;
use serde_json::Value;

use crate::{FileSystem, GONE, LOCK_TYPES, helper, new_directory, trial};

const SAMBA: &str = "/usr/libexec/ctdb/ctdb_mutex_fcntl_helper";

pub(crate) fn trials(system: FileSystem) -> Vec<Trial> {
    let mut trials = Vec::new();
    for lock_type in LOCK_TYPES {
        let name =
            format!("{}: {lock_type}: one holder on all mounts, and the next as soon as it is gone", system.name);
        trials.push(trial(name, move || one_holder(system, lock_type)));
        let name = format!("{}: {lock_type}: of many takers at once on all mounts no two are answered 0", system.name);
        trials.push(trial(name, move || crowd(system, lock_type)));
        let name = format!("{}: {lock_type}: --status on another mount says who holds it", system.name);
        trials.push(trial(name, move || told_elsewhere(system, lock_type)));
        if lock_type != "flock" || system.one_kind {
            let name = format!("{}: {lock_type}: it and Samba's helper exclude each other across mounts", system.name);
            trials.push(trial(name, move || samba(system, lock_type)));
        }
    }
    trials
}

fn holder(file: &Path, lock_type: &str) -> anyhow::Result<Helper> {
    let holder = helper(file, lock_type, 1, 2)?.start()?;
    holder.expect('0', ANSWER_LIMIT)?;
    Ok(holder)
}

/// Every node's try is answered so.
fn ensure_contended(fs: &dyn ClusterFs, file: &Path, lock_type: &str) -> anyhow::Result<()> {
    for node in 0..NODES {
        let status = helper(&fs.mount_point(node).join(file), lock_type, 1, 2)?.start()?.status(ANSWER_LIMIT)?;
        ensure!(status == '1', "node {node} was answered {status}");
    }
    Ok(())
}

fn one_holder(system: FileSystem, lock_type: &str) -> anyhow::Result<()> {
    let fs = (system.shared)()?;
    let file = new_directory(fs.as_ref())?.join("lock");
    let on = |node: usize| fs.mount_point(node).join(&file);

    let released = holder(&on(0), lock_type)?;
    ensure_contended(fs.as_ref(), &file, lock_type).context("held on node 0")?;
    released.signal(Signal::TERM)?;
    released.gone(GONE)?;

    let killed = holder(&on(1), lock_type).context("after a release")?;
    ensure_contended(fs.as_ref(), &file, lock_type).context("held on node 1")?;
    // Both processes, as they end with a node: nobody is left to unlock.
    let worker = killed.worker()?;
    killed.supervisor().stop()?;
    worker.signal(Signal::KILL)?;
    killed.signal(Signal::KILL)?;
    worker.wait_gone(GONE)?;

    // A FUSE file system drops a dead holder's lock when the kernel has told it, which nobody waits for.
    let next = helper(&on(2), lock_type, 1, 2)?.args(&["--wait-seconds", "5"]).start()?;
    next.expect('0', GONE).context("after a holder was killed")?;
    ensure_contended(fs.as_ref(), &file, lock_type).context("held on node 2")
}

/// Takers on each mount.
const TAKERS: usize = 8;

/// On GlusterFS nobody may win: each brick is asked for its own part, and takers can be in each other's way.
fn crowd(system: FileSystem, lock_type: &str) -> anyhow::Result<()> {
    let fs = (system.shared)()?;
    let file = new_directory(fs.as_ref())?.join("lock");
    let nodes = (0..NODES).cycle().take(NODES * TAKERS);
    let takers = nodes.map(|node| helper(&fs.mount_point(node).join(&file), lock_type, 1, 2)?.start());
    let takers = takers.collect::<anyhow::Result<Vec<_>>>()?;
    let statuses = takers.iter().map(|taker| taker.status(ANSWER_LIMIT)).collect::<anyhow::Result<Vec<_>>>()?;
    ensure!(statuses.iter().all(|status| "01".contains(*status)), "{statuses:?}");
    let winners = statuses.iter().filter(|&&status| status == '0').count();
    ensure!(winners <= 1, "{winners} takers got the lock");
    if winners == 0 {
        ensure!(system.one_kind, "nobody got the lock");
        holder(&fs.mount_point(0).join(&file), lock_type).context("when all had gone")?;
    }
    Ok(())
}

fn told_elsewhere(system: FileSystem, lock_type: &str) -> anyhow::Result<()> {
    let fs = (system.shared)()?;
    let file = new_directory(fs.as_ref())?.join("lock");
    let holder = holder(&fs.mount_point(0).join(&file), lock_type)?;
    let status = || -> anyhow::Result<Value> {
        let asked = helper(&fs.mount_point(1).join(&file), lock_type, 1, 2)?.args(&["--status", "--json"]);
        let answer = asked.answer(ANSWER_LIMIT)?;
        ensure!(answer.code == 0, "exit code {}, {:?}", answer.code, answer.stderr);
        Ok(serde_json::from_slice(&answer.stdout)?)
    };
    let pid = holder.supervisor().pid();
    // The line is written after CTDB has its answer.
    let named = || match status() {
        Ok(answer) if answer["holder"]["pid"] == pid => Some(Ok(answer)),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    };
    let (answer, _) = mutex_tests::wait::wait_for("--status to name the holder", ANSWER_LIMIT, named)
        .with_context(|| format!("--status says: {:?}", status()))?;
    let answer = answer?;
    ensure!(answer["state"] == "held", "{answer}");
    Ok(())
}

fn samba(system: FileSystem, lock_type: &str) -> anyhow::Result<()> {
    let program = programs::packaged(SAMBA, "ctdb")?;
    let fs = (system.shared)()?;
    let file = new_directory(fs.as_ref())?.join("lock");
    let on = |node: usize| fs.mount_point(node).join(&file);

    let ours = holder(&on(0), lock_type)?;
    let status = Launch::new(&program, [on(1)]).start()?.status(ANSWER_LIMIT)?;
    ensure!(status == '1', "Samba's was answered {status} while ours held");
    ours.signal(Signal::TERM)?;
    ours.gone(GONE)?;

    let theirs = Launch::new(&program, [on(1)]).start()?;
    theirs.expect('0', ANSWER_LIMIT).context("Samba's, on the free lock")?;
    ensure_contended(fs.as_ref(), &file, lock_type).context("held by Samba's")?;
    theirs.signal(Signal::TERM)?;
    theirs.gone(ANSWER_LIMIT)?;
    holder(&on(2), lock_type).context("after Samba's")?;
    Ok(())
}
