//! On a terminal.

use std::fs::File;
use std::io::Write;
use std::process::Command;

use anyhow::{Context, ensure};
use mutex_tests::process::{Process, programs};
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::wait::wait_for;
use nix::pty::openpty;
use nix::unistd::tcgetpgrp;

use super::scene::Scene;
use crate::tool::LIMIT;

/// What the session's first process runs: as a shell does, it gives the terminal to a group of the tool's own. The last
/// line is whose terminal it is afterwards.
const SESSION: &str = r#"
    set -m
    "$TOOL" run "$LOCK" -- /bin/sh -c "$SCRIPT"
    echo code $? >>$DIR/session"#;

/// Reads a line and lives; then does as an editor that takes Ctrl-Z for itself: stops. Goes on until Ctrl-C.
const SCRIPT: &str = r#"
    echo $$ >>$DIR/started
    read line
    echo "$line" >>$DIR/read
    while [ ! -e $DIR/edit ]; do echo x >>$DIR/life; sleep 0.02; done
    exec env --default-signal=TSTP /bin/sh -c '
        trap "exit 8" INT
        kill -TSTP $$
        echo back >>$DIR/back
        while :; do sleep 0.02; done'"#;

pub(super) fn ctrl_c() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let terminal = openpty(None, None).context("open a terminal")?;
    let dir = scene.file.parent().context("the lock is in a directory")?;
    let slave = || terminal.slave.try_clone();
    let mut session = Command::new(programs::packaged("/usr/bin/setsid", "util-linux")?)
        .args(["--ctty", "--wait", "/bin/bash", "-c", SESSION])
        .envs([("LOCK", scene.lock.as_str()), ("SCRIPT", SCRIPT)])
        .env("TOOL", programs::helper("ctdb-mutex")?)
        .env("DIR", dir)
        .stdin(slave()?)
        .stdout(slave()?)
        .stderr(slave()?)
        .spawn()?;
    let process = Process::open(i32::try_from(session.id())?)?;
    let mut keyboard = File::from(terminal.master.try_clone()?);
    let tried = (|| {
        wait_for("the command to start", LIMIT, || (scene.notes("started").lines().count() == 1).then_some(()))?;
        let command = scene.processes()?[0];
        wait_for("the command to have the terminal", LIMIT, || {
            tcgetpgrp(&terminal.master).is_ok_and(|group| group.as_raw() == command).then_some(())
        })?;
        keyboard.write_all(b"hello\n")?;
        let lives = || scene.notes("life").len();
        wait_for("the command to read a line", LIMIT, || (lives() > 0).then_some(()))?;
        ensure!(scene.notes("read") == "hello\n", "the command read {:?}", scene.notes("read"));
        // Three times, so that one comes in any state.
        for _ in 0..3 {
            keyboard.write_all(b"\x1a")?;
            let before = lives();
            wait_for("the command to go on", LIMIT, || (lives() > before + 4).then_some(()))?;
        }
        std::fs::write(scene.path("edit"), "")?;
        let back = || (scene.notes("back") == "back\n").then_some(());
        wait_for("a command that has stopped itself to go on", LIMIT, back)?;
        scene.expect_held()?;
        keyboard.write_all(b"\x03")?;
        process.wait_gone(LIMIT)?;
        let said = scene.notes("session");
        ensure!(said == "code 8\n", "the session said {said:?}");
        scene.waiter("0")?.expect('0', ANSWER_LIMIT)
    })();
    if tried.is_err() {
        // A hangup: the terminal's session ends, and the command with it.
        drop((keyboard, terminal));
        let _ = session.kill();
    }
    let _ = session.wait();
    tried
}
