//! A process of the tool killed.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use mutex_tests::process::launch::Launch;
use mutex_tests::process::{Process, programs};
use mutex_tests::services::fuse::{HungFs, Locks};
use mutex_tests::wait::wait_for;
use rustix::process::Signal;

use super::scene::{Scene, state, waiter};
use crate::NOISE;
use crate::tool::{LIMIT, file_lock};

/// What `--grace-milliseconds` is by itself.
const GRACE: Duration = Duration::from_millis(500);

/// Deaf to all that can be ignored, with children in its group, out of it, and out of their parent's hands: 16 processes.
const SPREADING: &str = r#"
    trap '' TERM INT HUP
    echo $$ >>$DIR/started
    spread() {
        sh -c 'echo $$ >>$DIR/started; exec sleep 100' &
        setsid sh -c '
            echo $$ >>$DIR/started
            (setsid sh -c "echo \$\$ >>\$DIR/started; exec sleep 100" &)
            exec sleep 100' &
    }
    for n in 1 2 3 4 5; do spread; done
    while :; do wait; done"#;
const SPREAD: usize = 16;

/// Reads from the file system that hangs.
const READING: &str = r#"sh -c 'echo $$ >>$DIR/started; exec dd if="$CONTENT" iflag=direct of=/dev/null' & wait"#;
/// The same inside another run.
const READING_INSIDE: &str = r#""$TOOL" run "$INNER" -- /bin/sh -c "$READING" & wait"#;

pub(super) fn undying() -> anyhow::Result<()> {
    while_one_cannot_die(READING, false)
}

pub(super) fn nested() -> anyhow::Result<()> {
    while_one_cannot_die(READING_INSIDE, true)
}

/// A read from a hung file system cannot be killed, once its server has it: the kill has been sent, and yet a process is
/// there. One that is killed before that is no trial.
fn while_one_cannot_die(script: &str, inside: bool) -> anyhow::Result<()> {
    for _ in 0..10 {
        let scene = Scene::new()?;
        let inner = scene.path("inner");
        let fs = HungFs::mount(Locks::Local)?;
        let content = fs.path().join("content");
        std::fs::write(&content, "content")?;
        let fault = fs.reads_hang();
        let hung = fault.inject()?;
        let launch = scene.script(script)?.env("CONTENT", &content).env("READING", READING);
        let running = scene.start(launch.env("INNER", file_lock(&inner)?), 1)?;
        let reader = scene.processes()?[0];
        let name = || std::fs::read_to_string(format!("/proc/{reader}/comm")).unwrap_or_default();
        let reads = || (name() == "dd\n" && state(reader).is_some_and(|state| "SD".contains(state))).then_some(());
        wait_for("the command to read", LIMIT, reads)?;
        running.kill_front()?;
        let settled = || state(reader).map_or(Some(false), |state| (state == 'D').then_some(true));
        let (hangs, _) = wait_for("the command to be killed or to hang", LIMIT, settled)?;
        if !hangs {
            continue;
        }
        let files = [&scene.file, &inner];
        let files = if inside { &files[..] } else { &files[..1] };
        let waiters: Vec<_> = files.iter().map(|file| waiter(file, "2")).collect::<Result<_, _>>()?;
        for waiter in waiters {
            waiter.expect('1', LIMIT).context("while a process of the command is there")?;
        }
        ensure!(state(reader).is_some(), "the process that cannot die is gone");
        hung.heal()?;
        for file in files {
            waiter(file, "30")?.expect('0', LIMIT)?;
            let alive = scene.alive()?;
            ensure!(alive.is_empty(), "the lock is free, and {alive:?} are there");
        }
        return running.keeper.wait_gone(LIMIT).map(drop);
    }
    bail!("the machine is too slow to hang a process before it is killed")
}

pub(super) fn spread() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let running = scene.start(scene.script(SPREADING)?.own_group(), SPREAD)?;
    let waiting = scene.waiter("30")?;
    // Not the keeper, which is in no group with it.
    running.front.signal_group(Signal::KILL)?;
    waiting.expect('0', LIMIT)?;
    let alive = scene.alive()?;
    ensure!(alive.is_empty(), "the lock is free, and {alive:?} are there");
    running.keeper.wait_gone(LIMIT).map(drop)
}

/// Behind another file system, as in a container that has none to write to.
pub(super) fn without_cgroup() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let unshare = programs::packaged("/usr/bin/unshare", "util-linux")?;
    let hidden = r#"mount -t tmpfs none /sys/fs/cgroup && exec "$@""#;
    let tool = programs::helper("ctdb-mutex")?;
    let launch = Launch::new(unshare, ["--mount", "/bin/sh", "-c", hidden, "sh"]).arg(tool);
    let launch = launch.args(&["run", "-v", &scene.lock, "--", "/bin/sh", "-c", SPREADING]);
    let dir = scene.file.parent().context("the lock is in a directory")?;
    let running = scene.start(launch.env("DIR", dir), SPREAD)?;
    let said = running.front.one_line()?;
    ensure!(said.contains("no cgroup"), "{said:?}");
    let waiting = scene.waiter("30")?;
    running.kill_front()?;
    waiting.expect('0', LIMIT)?;
    let alive = scene.alive()?;
    ensure!(alive.is_empty(), "the lock is free, and {alive:?} are there");
    Ok(())
}

/// The helper sees its parent die too, and waits for the grace.
pub(super) fn keeper() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let mut running = scene.start(scene.script(SPREADING)?, SPREAD)?;
    let waiting = scene.waiter("30")?;
    let start = Instant::now();
    running.keeper.signal(Signal::KILL)?;
    waiting.expect('0', LIMIT)?;
    let took = start.elapsed();
    let alive = scene.alive()?;
    ensure!(alive.is_empty(), "the lock is free, and {alive:?} are there");
    ensure!(took >= GRACE, "the lock was free after {took:?}, before the grace was over");
    running.expect_code(124)?;
    let said = running.front.one_line()?;
    ensure!(said.contains("keeper"), "{said:?}");
    Ok(())
}

/// With a second to end the command would have 0.6 s until SIGKILL. The helper's worker sees to the second.
pub(super) fn helper() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let launch = scene.script_under(&scene.lock, &["--grace-milliseconds", "1000"], SPREADING)?;
    let mut running = scene.start(launch, SPREAD)?;
    let waiting = scene.waiter("30")?;
    let command = Process::open(scene.processes()?[0])?;
    let start = Instant::now();
    running.helper()?.signal(Signal::KILL)?;
    let took = command.wait_gone(LIMIT)?;
    ensure!(took < NOISE, "the command was killed after {took:?}");
    running.expect_code(124)?;
    waiting.expect('0', LIMIT)?;
    let took = start.elapsed();
    ensure!(took >= 2 * GRACE, "the lock was free after {took:?}, before the grace was over");
    let alive = scene.alive()?;
    ensure!(alive.is_empty(), "the lock is free, and {alive:?} are there");
    Ok(())
}

/// With a second to end the command would have 0.6 s until SIGKILL, and the lock is another's.
pub(super) fn worker() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let launch = scene.script_under(&scene.lock, &["--grace-milliseconds", "1000"], SPREADING)?;
    let mut running = scene.start(launch, SPREAD)?;
    let command = Process::open(scene.processes()?[0])?;
    running.helper()?.child(LIMIT)?.signal(Signal::KILL)?;
    let took = command.wait_gone(LIMIT)?;
    ensure!(took < NOISE, "the command was killed after {took:?}");
    running.expect_code(124)?;
    let alive = scene.alive()?;
    ensure!(alive.is_empty(), "the command's processes {alive:?} are there");
    Ok(())
}

/// By systemd, say, or an admin. The command has a second to end, and is killed after 0.6 s.
pub(super) fn helper_told_to_end() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let launch = scene.script_under(&scene.lock, &["--grace-milliseconds", "1000"], SPREADING)?;
    let mut running = scene.start(launch, SPREAD)?;
    let waiting = scene.waiter("30")?;
    running.helper()?.signal(Signal::TERM)?;
    waiting.expect('0', LIMIT)?;
    let alive = scene.alive()?;
    ensure!(alive.is_empty(), "the lock is free, and {alive:?} are there");
    running.expect_code(124)
}

pub(super) fn while_waiting() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let holder = scene.waiter("0")?;
    holder.expect('0', LIMIT)?;
    let waiting = scene.script_under(&scene.lock, &["--wait-seconds", "60"], "echo ran >>$DIR/got")?.start()?;
    let keeper = waiting.worker()?;
    let helper = keeper.child(LIMIT)?;
    waiting.signal(Signal::KILL)?;
    for process in [&helper, &keeper] {
        process.wait_gone(LIMIT)?;
    }
    holder.signal(Signal::TERM)?;
    scene.waiter("5")?.expect('0', LIMIT)?;
    ensure!(scene.notes("got").is_empty(), "the command ran");
    Ok(())
}

/// Stopped, it would not end the command when the lock is lost.
pub(super) fn keeper_stopped() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let script = "echo $$ >>$DIR/started; while [ ! -e $DIR/go ]; do sleep 0.02; done";
    let mut running = scene.start(scene.script(script)?, 1)?;
    running.keeper.signal(Signal::STOP)?;
    std::fs::write(scene.path("go"), "")?;
    running.expect_code(0)
}
