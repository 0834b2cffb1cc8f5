//! Exit codes, standard input and output.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use mutex_tests::process::answer::Answer;
use mutex_tests::process::programs;
use mutex_tests::services::fuse::{HungFs, Locks};
use mutex_tests::wait::wait_for;

use super::scene::Scene;
use crate::tool::{LIMIT, answer, expect_code, file_lock, text, tool};

fn one_line(answer: &Answer, part: &str) -> anyhow::Result<()> {
    let said = &answer.stderr;
    ensure!(said.lines().count() == 1 && said.contains(part), "not one line with {part:?}: {said:?}");
    Ok(())
}

pub(super) fn of_the_command() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    for (script, code) in
        [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -KILL $$", 137), ("kill -TERM $$", 143)]
    {
        let answer = scene.script(script)?.answer(LIMIT)?;
        expect_code(&answer, code).context(script)?;
        ensure!(answer.stderr.is_empty(), "{script}: it said {:?}", answer.stderr);
    }
    Ok(())
}

pub(super) fn contended() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let holder = scene.waiter("0")?;
    holder.expect('0', LIMIT)?;
    let answer = scene.script("echo ran")?.answer(LIMIT)?;
    expect_code(&answer, 121)?;
    one_line(&answer, "another holds the lock")?;
    ensure!(answer.stdout.is_empty(), "the command ran");
    Ok(())
}

pub(super) fn timed_out() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let fs = HungFs::mount(Locks::Local)?;
    let fault = fs.frozen();
    let frozen = fault.inject()?;
    let lock = format!("{} --acquire-timeout-seconds 1", file_lock(&fs.path().join("lock"))?);
    let answer = scene.script_under(&lock, &[], "echo ran")?.answer(LIMIT)?;
    frozen.heal()?;
    expect_code(&answer, 122)?;
    one_line(&answer, "timed out")?;
    ensure!(answer.stdout.is_empty(), "the command ran");
    Ok(())
}

pub(super) fn mute() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let lock = helper_script(&scene, "exec sleep 100")?;
    let answer = scene.script_under(&lock, &["--timeout-seconds", "1"], "echo ran")?.answer(LIMIT)?;
    expect_code(&answer, 122)?;
    one_line(&answer, "timed out")?;
    expect_none_left(&scene)
}

/// LOCK for a helper of this script, which notes itself in `started`.
fn helper_script(scene: &Scene, lines: &str) -> anyhow::Result<String> {
    let helper = scene.path("helper");
    std::fs::write(&helper, format!("#!/bin/sh\necho $$ >>$DIR/started\n{lines}\n"))?;
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755))?;
    Ok(format!("!{}", helper.display()))
}

/// One helper was started, and has ended.
fn expect_none_left(scene: &Scene) -> anyhow::Result<()> {
    ensure!(scene.processes()?.len() == 1, "the helper was not started once");
    wait_for("the helper to end", LIMIT, || scene.alive().is_ok_and(|alive| alive.is_empty()).then_some(()))?;
    Ok(())
}

pub(super) fn errors() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let answer_of = |lock: &str| scene.script_under(lock, &[], "echo ran")?.answer(LIMIT);
    let relative = answer_of("!helper lock")?;
    expect_code(&relative, 123)?;
    one_line(&relative, "not an absolute path")?;
    let nowhere = answer_of(&file_lock(&scene.path("nowhere/lock"))?)?;
    expect_code(&nowhere, 123)?;
    one_line(&nowhere, "nowhere")?;
    for arguments in [
        &["run", &scene.lock][..],
        &["run", &scene.lock, "--"],
        &["run", &scene.lock, "--wait-seconds", "long", "--", "true"],
        &["run", &scene.lock, "true"],
    ] {
        let answer = answer(arguments)?;
        expect_code(&answer, 123).with_context(|| format!("{arguments:?}"))?;
        ensure!(!answer.stderr.is_empty(), "{arguments:?}: not a word");
    }
    Ok(())
}

pub(super) fn helper_that_stays() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let lock = helper_script(&scene, "printf 3\nexec sleep 100")?;
    let answer = scene.script_under(&lock, &[], "echo ran")?.answer(LIMIT)?;
    expect_code(&answer, 123)?;
    one_line(&answer, "status 3")?;
    ensure!(answer.stdout.is_empty(), "the command ran");
    expect_none_left(&scene)
}

pub(super) fn configured() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    std::fs::write(scene.path("ctdb.conf"), format!("[cluster]\n  cluster lock = {}\n", scene.lock))?;
    let base = scene.file.parent().context("the lock is in a directory")?;
    let run = || anyhow::Ok(tool(["run", "--", "/bin/sh", "-c", "exit 3"])?.env("CTDB_BASE", base));
    expect_code(&run()?.answer(LIMIT)?, 3)?;
    let holder = scene.waiter("0")?;
    holder.expect('0', LIMIT)?;
    expect_code(&run()?.answer(LIMIT)?, 121)
}

pub(super) fn no_such_command() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let script = scene.path("script");
    std::fs::write(&script, "#!/nowhere/interpreter\n")?;
    let run = |command: &str| answer(["run", &scene.lock, "--", command]);
    let script_name = script.display().to_string();
    for (command, code) in [("no-such-command", 127), ("/nowhere/command", 127), (&script_name, 126), ("/usr", 126)] {
        let answer = run(command)?;
        expect_code(&answer, code).context(command.to_owned())?;
        one_line(&answer, command)?;
        ensure!(!scene.file.exists(), "{command}: the lock was tried");
    }
    // Seen only when it is started.
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
    let answer = run(&script_name)?;
    expect_code(&answer, 127)?;
    one_line(&answer, &script_name)
}

pub(super) fn streams() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let mut run = Command::new(programs::helper("ctdb-mutex")?)
        .args(["run", &scene.lock, "--", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let bytes: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    let mut stdin = run.stdin.take().context("its input")?;
    let sent = bytes.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&sent));
    let output = run.wait_with_output()?;
    writer.join().map_err(|_| anyhow::anyhow!("the writer"))??;
    ensure!(output.status.success(), "{:?}", output.status);
    ensure!(output.stdout == bytes, "{} bytes came out of {}", output.stdout.len(), bytes.len());
    ensure!(output.stderr.is_empty(), "it said {:?}", String::from_utf8_lossy(&output.stderr));
    // And none of them is one of the helper's.
    let answer = scene.script("echo out; echo err >&2")?.answer(LIMIT)?;
    ensure!(
        (text(&answer), &*answer.stderr) == ("out\n".to_owned(), "err\n"),
        "{:?} {:?}",
        text(&answer),
        answer.stderr
    );
    Ok(())
}
