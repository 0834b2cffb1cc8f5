//! How a command ends: by itself, by signals, and what it leaves behind.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use mutex_tests::process::{Process, programs};
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::wait::wait_for;
use rustix::process::Signal;

use super::scene::{Scene, state};
use crate::tool::{LIMIT, expect_code, text};

pub(super) fn free_at_once() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    for _ in 0..3 {
        let start = std::time::Instant::now();
        // The longest grace that this lock has room for.
        let launch = scene.script_under(&scene.lock, &["--grace-milliseconds", "1000"], "true")?;
        expect_code(&launch.answer(LIMIT)?, 0)?;
        let took = start.elapsed();
        ensure!(took < std::time::Duration::from_secs(1), "a command that does nothing took {took:?}");
        // Contended is looked at twice, so asked of one who looks on until it is free.
        let next = scene.waiter("0")?;
        next.expect('0', ANSWER_LIMIT).context("after the end of ctdb-mutex")?;
    }
    Ok(())
}

/// The command notes each, and ends on SIGTERM, but only when it is let.
pub(super) fn signals() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let script = r#"
        for name in INT HUP QUIT USR1 USR2; do trap "echo $name >>$DIR/got" $name; done
        trap 'echo TERM >>$DIR/got; ending=1' TERM
        echo $$ >>$DIR/started
        while [ -z "$ending" ] || [ ! -e $DIR/go ]; do sleep 0.02; done
        exit 6"#;
    let mut running = scene.start(scene.script(script)?, 1)?;
    let signals = [
        (Signal::INT, "INT"),
        (Signal::HUP, "HUP"),
        (Signal::QUIT, "QUIT"),
        (Signal::USR1, "USR1"),
        (Signal::USR2, "USR2"),
        (Signal::TERM, "TERM"),
    ];
    for (signal, name) in signals {
        running.front.signal(signal)?;
        let got = || scene.notes("got").lines().any(|line| line == name).then_some(());
        wait_for(&format!("the command to get {name}"), LIMIT, got)?;
    }
    scene.expect_held().context("while the command is ending")?;
    std::fs::write(scene.path("go"), "")?;
    running.expect_code(6)?;
    scene.waiter("0")?.expect('0', ANSWER_LIMIT)
}

/// And with one that it has made below, as another run in it does.
pub(super) fn cgroup() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let own = |cgroups: &str| cgroups.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default().to_owned();
    let here = own(&std::fs::read_to_string("/proc/self/cgroup")?);
    let script = r#"
        cat /proc/self/cgroup
        for mount in /sys/fs/cgroup /sys/fs/cgroup/unified; do
            own=$mount$(sed -n s/^0:://p /proc/self/cgroup)
            case $own in *ctdb-mutex-run-*) [ ! -d "$own" ] || mkdir "$own/below" ;; esac
        done"#;
    let answer = scene.script_under(&scene.lock, &["-v"], script)?.answer(LIMIT)?;
    expect_code(&answer, 0)?;
    let there = own(&text(&answer));
    if there == here {
        ensure!(answer.stderr.contains("no cgroup"), "in {here:?}, and not a word: {:?}", answer.stderr);
        return Ok(());
    }
    ensure!(answer.stderr.is_empty(), "it said {:?}", answer.stderr);
    let name = Path::new(&there).file_name().context("the command's cgroup has no name")?;
    let mut left = Vec::new();
    for mount in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
        let path = Path::new(mount).join(here.trim_start_matches('/')).join(name);
        left.extend(path.exists().then_some(path));
    }
    ensure!(left.is_empty(), "{left:?} is left");
    Ok(())
}

pub(super) fn signal_while_waiting() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let holder = scene.waiter("0")?;
    holder.expect('0', ANSWER_LIMIT)?;
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let mut waiting = scene.script_under(&scene.lock, &["--wait-seconds", "60"], "echo ran >>$DIR/got")?.start()?;
        let keeper = waiting.worker()?;
        let helper = keeper.child(LIMIT)?;
        waiting.signal(signal)?;
        let found = waiting.exit_code(LIMIT)?;
        ensure!(found == code, "exit code {found}, not {code}");
        helper.wait_gone(LIMIT)?;
    }
    holder.signal(Signal::TERM)?;
    scene.waiter("5")?.expect('0', LIMIT)?;
    ensure!(scene.notes("got").is_empty(), "the command ran");
    Ok(())
}

/// Deaf to SIGTERM, in a session of its own, and with no other end of it than SIGKILL.
pub(super) fn left_behind() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let script = r#"
        setsid sh -c 'trap "" TERM; echo $$ >>$DIR/started; while :; do sleep 1; done' &
        setsid sh -c 'setsid sh -c "echo \$\$ >>$DIR/started; exec sleep 100" &' &
        while [ "$(wc -l <$DIR/started)" -lt 2 ]; do sleep 0.02; done
        exit 4"#;
    std::fs::write(scene.path("started"), "")?;
    let waiting = {
        let mut running = scene.start(scene.script(script)?, 2)?;
        let waiting = scene.waiter("30")?;
        running.expect_code(4)?;
        let said = running.front.one_line()?;
        ensure!(said.contains("left processes behind"), "{said:?}");
        waiting
    };
    waiting.expect('0', LIMIT)?;
    let alive = scene.alive()?;
    ensure!(alive.is_empty(), "the lock is free, and {alive:?} are there");
    Ok(())
}

/// The list of children was read while the command lived, and the command looked at when it did not: strace makes the
/// keeper slow between the two.
pub(super) fn ends_at_a_look() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let script = r#"
        trap 'sleep 0.1; exit 4' USR1
        setsid sh -c 'echo $$ >>$DIR/started; exec sleep 100' &
        wait"#;
    let waiting = {
        let mut running = scene.start(scene.script(script)?, 1)?;
        let keeper = running.keeper.pid().to_string();
        let mut strace = Command::new(programs::packaged("/usr/bin/strace", "strace")?)
            .args(["-e", "trace=waitid", "-e", "inject=waitid:delay_enter=200000", "-p", &keeper])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let traced = || {
            let status = std::fs::read_to_string(format!("/proc/{keeper}/status")).unwrap_or_default();
            (!status.contains("TracerPid:\t0\n")).then_some(())
        };
        let tried = wait_for("strace to attach", LIMIT, traced).and_then(|_| {
            running.front.signal(Signal::USR1)?;
            let waiting = scene.waiter("30")?;
            running.expect_code(4)?;
            Ok(waiting)
        });
        // It ends with the keeper.
        if tried.is_err() {
            Process::open(i32::try_from(strace.id())?)?.signal(Signal::KILL)?;
        }
        strace.wait()?;
        tried?
    };
    waiting.expect('0', LIMIT)?;
    let alive = scene.alive()?;
    ensure!(alive.is_empty(), "the lock is free, and {alive:?} are there");
    Ok(())
}

/// As one does that reads from a terminal which another has.
pub(super) fn stopped() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let mut running = scene.start(scene.script("echo $$ >>$DIR/started; kill -STOP $$; sleep 100")?, 1)?;
    let command = scene.processes()?[0];
    wait_for("the command to stop", LIMIT, || (state(command) == Some('T')).then_some(()))?;
    scene.expect_held().context("while the command is stopped")?;
    running.front.signal(Signal::TERM)?;
    running.expect_code(143)
}
