//! The lock lost.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail, ensure};
use mutex_tests::process::Process;
use mutex_tests::process::launch::Stderr;
use mutex_tests::process::programs;
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::services::ceph::{ADMIN, CONF_VARIABLE, Ceph, POOL, Setup as CephSetup};
use mutex_tests::services::etcd::{Etcd, Setup};
use mutex_tests::services::fuse::{HungFs, Locks};
use mutex_tests::wait::wait_for;

use super::scene::{Running, Scene, state, waiter};
use crate::tool::{LIMIT, expect_code, file_lock, tool};

/// Deaf to all that can be ignored; its last sign of life is the last line.
const DEAF: &str = r#"
    trap '' TERM INT HUP
    echo $$ >>$DIR/started
    while :; do date +%s%N >>$DIR/life; sleep 0.05; done"#;

/// How far RADOS' clock may be off: by then the command has to have ended.
const RADOS_CLOCK_ERROR: Duration = Duration::from_millis(500);

fn last_sign(scene: &Scene) -> anyhow::Result<SystemTime> {
    let last = scene.notes("life").lines().last().context("no sign of life")?.parse()?;
    Ok(SystemTime::UNIX_EPOCH + Duration::from_nanos(last))
}

/// The command is gone: when. Its last sign of life was before that.
fn ended(scene: &Scene, command: &Process) -> anyhow::Result<SystemTime> {
    command.wait_gone(LIMIT)?;
    let at = SystemTime::now();
    ensure!(last_sign(scene)? <= at, "signs of life after the end");
    Ok(at)
}

fn expect_lost(scene: &Scene, running: &mut Running) -> anyhow::Result<()> {
    running.expect_code(124)?;
    let said = running.front.stderr()?;
    let ours: Vec<_> = said.lines().filter(|line| line.contains("ending the command")).collect();
    ensure!(ours.len() == 1, "not one line about it: {said:?}");
    let alive = scene.alive()?;
    ensure!(alive.is_empty(), "the command's processes {alive:?} are there");
    Ok(())
}

/// The expiry is read right after a renewal, so that none comes between that and the freeze.
pub(super) fn rados() -> anyhow::Result<()> {
    let lease = Duration::from_secs(4);
    for _ in 0..5 {
        let scene = Scene::new()?;
        let ceph = Ceph::start(CephSetup { mgr: false, min_size: 1 })?;
        let helper = programs::helper("ctdb_mutex_rados_helper")?;
        let lock = format!("!{} ceph {ADMIN} {POOL} object 4", helper.display());
        let launch = scene.script_under(&lock, &[], DEAF)?.env(CONF_VARIABLE, ceph.conf());
        let mut running = scene.start(launch, 1)?;
        let command = Process::open(scene.processes()?[0])?;
        let expiry = || ceph.lock_info(None, "object").ok().flatten().and_then(|info| info.expires);
        let before = expiry().context("a lock with an expiry")?;
        let (expires, _) = wait_for("a renewal", ANSWER_LIMIT, || expiry().filter(|&now| now != before))?;
        let fault = ceph.osds_frozen();
        let _frozen = fault.inject()?;
        let sent = expires.checked_sub(lease).context("an expiry in the first seconds of 1970")?;
        // Seen late: the next renewal, a fifth of the lease after this one, may be through.
        if sent.elapsed().is_ok_and(|age| age > lease / 8) {
            continue;
        }
        let ended = ended(&scene, &command)?;
        let left = expires.duration_since(ended).context("the command ended after the lease")?;
        ensure!(left >= RADOS_CLOCK_ERROR, "the command ended {left:?} before the lease, the clock may be off by more");
        ensure!(left < lease / 2, "the command was ended {left:?} before the lease already");
        return expect_lost(&scene, &mut running);
    }
    bail!("the machine is too slow to freeze the OSDs right after a renewal")
}

/// A renewal is seen in the helper's `-v`; the lease cannot end before three seconds after its send.
pub(super) fn etcd() -> anyhow::Result<()> {
    let lease = Duration::from_secs(3);
    /// From a send to its line in a file that this process looks at.
    const SEEN: Duration = Duration::from_millis(50);
    let etcd = Etcd::start(Setup::default())?;
    for attempt in 0..5 {
        let scene = Scene::new()?;
        let helper = programs::helper("ctdb_mutex_etcd_helper")?;
        let lock = format!("!{} ctdb/lock-{attempt} 3 -v", helper.display());
        let launch = scene.script_under(&lock, &[], DEAF)?;
        let environment = etcd.environment().into_iter();
        let mut running = scene.start(environment.fold(launch, |launch, (name, value)| launch.env(name, value)), 1)?;
        let command = Process::open(scene.processes()?[0])?;
        let renewals = || running.front.stderr().map_or(0, |said| said.matches("Renewed").count());
        let before = renewals();
        wait_for("a renewal", ANSWER_LIMIT, || (renewals() > before).then_some(()))?;
        let renewed = Instant::now();
        let fault = etcd.all_frozen();
        let frozen = fault.inject()?;
        if renewed.elapsed() > lease / 8 {
            drop(running);
            frozen.heal()?;
            etcd.wait_healthy()?;
            continue;
        }
        ended(&scene, &command)?;
        let took = renewed.elapsed();
        ensure!(took < lease - SEEN, "the command ended {took:?} after the last renewal");
        ensure!(took > lease / 2, "the command was ended {took:?} after the last renewal already");
        return expect_lost(&scene, &mut running);
    }
    bail!("the machine is too slow to freeze the members right after a renewal")
}

/// By an admin who removes the file. The command is asked to end, and ends in good order.
pub(super) fn taken_away() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let script = r#"
        trap 'echo TERM >>$DIR/got; exit 0' TERM
        echo $$ >>$DIR/started
        while :; do sleep 0.02; done"#;
    let mut running = scene.start(scene.script(script)?, 1)?;
    std::fs::remove_file(&scene.file)?;
    expect_lost(&scene, &mut running)?;
    ensure!(scene.notes("got") == "TERM\n", "the command was not asked to end");
    Ok(())
}

/// The file system hangs until the pipe has ended, and not a moment longer. The command is killed 0.6 s after that.
pub(super) fn thawed() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let fs = HungFs::mount(Locks::Local)?;
    let file = fs.path().join("lock");
    let launch = scene.script_under(&file_lock(&file)?, &["--grace-milliseconds", "1000"], DEAF)?;
    let mut running = scene.start(launch, 1)?;
    let fault = fs.frozen();
    let frozen = fault.inject()?;
    let said = || running.front.stderr().is_ok_and(|said| said.contains("ending the command")).then_some(());
    wait_for("the loss", LIMIT, said)?;
    frozen.heal()?;
    waiter(&file, "30")?.expect('0', LIMIT)?;
    let alive = scene.alive()?;
    ensure!(alive.is_empty(), "the lock is free, and {alive:?} are there");
    running.expect_code(124)
}

/// The program is on a file system that hangs, and with it the call that starts it.
pub(super) fn not_yet_started() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let fs = HungFs::mount(Locks::Local)?;
    let program = fs.path().join("program");
    std::fs::write(&program, "#!/bin/sh\necho ran >>$DIR/ran\n")?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
    let fault = fs.reads_hang();
    let hung = fault.inject()?;
    let dir = scene.file.parent().context("the lock is in a directory")?;
    let launch = tool(["run", &scene.lock, "--", &program.display().to_string()])?.env("DIR", dir);
    let mut run = launch.start()?;
    let keeper = run.worker()?;
    let hangs = || keeper.children().into_iter().any(|pid| state(pid) == Some('D')).then_some(());
    wait_for("the start of the command to hang", LIMIT, hangs)?;
    std::fs::remove_file(&scene.file)?;
    let said = || run.stderr().is_ok_and(|said| said.contains("ending the command")).then_some(());
    let told = wait_for("the loss", LIMIT, said);
    hung.heal()?;
    told?;
    let code = run.exit_code(LIMIT)?;
    ensure!(code == 124, "exit code {code}; it said {:?}", run.stderr()?);
    ensure!(scene.notes("ran").is_empty(), "the command ran when the lock was another's");
    Ok(())
}

/// A full pipe: whoever writes there waits.
pub(super) fn unread() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let mut running = scene.start(scene.script(DEAF)?.stderr(Stderr::Full), 1)?;
    std::fs::remove_file(&scene.file)?;
    running.expect_code(124)?;
    let alive = scene.alive()?;
    ensure!(alive.is_empty(), "the command's processes {alive:?} are there");
    Ok(())
}

/// Of a ping timeout of 2 s a proof needs one.
pub(super) fn grace_too_long() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let answer = scene.script_under(&scene.lock, &["--grace-milliseconds", "1001"], "echo ran")?.answer(LIMIT)?;
    expect_code(&answer, 123)?;
    ensure!(answer.stdout.is_empty(), "the command ran");
    let said = &answer.stderr;
    ensure!(said.contains("1001 ms") && said.contains("1000 ms"), "{said:?}");
    Ok(())
}
