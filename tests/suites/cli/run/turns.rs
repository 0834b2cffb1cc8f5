//! Nested, side by side, one after the other.

use anyhow::{Context, ensure};
use mutex_tests::process::programs;
use mutex_tests::roster::ANSWER_LIMIT;

use super::scene::{Scene, waiter};
use crate::tool::{LIMIT, expect_code, file_lock};

/// Long enough for each of several to be there while another runs.
const TURN: &str = "echo begin >>$DIR/turns; sleep 0.3; echo end >>$DIR/turns";

/// The lines come in pairs: nobody begins before another has ended.
fn expect_turns(scene: &Scene, count: usize) -> anyhow::Result<()> {
    let turns = scene.notes("turns");
    ensure!(turns == "begin\nend\n".repeat(count), "not {count} turns: {turns:?}");
    Ok(())
}

pub(super) fn nested() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let inner = scene.path("inner");
    let inside = r#""$TOOL" run "$INNER" -- /bin/sh -c 'echo $$ >>$DIR/started; read x <$DIR/go; exit 9'"#;
    nix::unistd::mkfifo(&scene.path("go"), nix::sys::stat::Mode::S_IRWXU)?;
    let mut running = scene.start(scene.script(inside)?.env("INNER", file_lock(&inner)?), 1)?;
    scene.expect_held().context("the outer lock")?;
    waiter(&inner, "0")?.expect('1', ANSWER_LIMIT).context("the inner lock")?;
    std::fs::write(scene.path("go"), "go\n")?;
    running.expect_code(9)?;
    for file in [&inner, &scene.file] {
        waiter(file, "0")?.expect('0', ANSWER_LIMIT).with_context(|| format!("{} afterwards", file.display()))?;
    }
    Ok(())
}

pub(super) fn at_once() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let script = "echo $$ >>$DIR/started; while [ ! -e $DIR/go ]; do sleep 0.02; done; echo end >>$DIR/ended";
    let mut runs = Vec::new();
    for _ in 0..4 {
        runs.push(scene.script(script)?.start()?);
    }
    // The three losers end while the winner waits for the word.
    let mut codes = Vec::new();
    let mut left: Vec<_> = runs.iter_mut().collect();
    mutex_tests::wait::wait_for("three of four to end", LIMIT, || {
        left.retain_mut(|run| match run.exit_code(std::time::Duration::ZERO) {
            Ok(code) => {
                codes.push(code);
                false
            }
            Err(_) => true,
        });
        (left.len() == 1 && scene.notes("started").lines().count() == 1).then_some(())
    })?;
    std::fs::write(scene.path("go"), "")?;
    codes.push(left[0].exit_code(LIMIT)?);
    ensure!(codes == [121, 121, 121, 0], "exit codes {codes:?}");
    let ran = scene.notes("started").lines().count();
    ensure!(ran == 1, "{ran} commands ran");
    Ok(())
}

pub(super) fn one_after_the_other() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let mut runs = Vec::new();
    for _ in 0..4 {
        runs.push(scene.script_under(&scene.lock, &["--wait-seconds", "30"], TURN)?.start()?);
    }
    for run in &mut runs {
        let code = run.exit_code(3 * LIMIT)?;
        ensure!(code == 0, "exit code {code}: {}", run.stderr()?);
    }
    expect_turns(&scene, 4)
}

/// Samba's helper knows no `--wait-seconds`, and no `--grace-milliseconds`.
pub(super) fn of_others() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let helper = programs::packaged("/usr/libexec/ctdb/ctdb_mutex_fcntl_helper", "ctdb")?;
    let lock = format!("!{} {}", helper.display(), scene.file.display());
    let script = "echo $$ >>$DIR/started; while [ ! -e $DIR/go ]; do sleep 0.02; done; exit 5";
    let mut running = scene.start(scene.script_under(&lock, &[], script)?, 1)?;
    expect_code(&scene.script_under(&lock, &[], "true")?.answer(LIMIT)?, 121)?;
    let mut waiting = scene.script_under(&lock, &["--wait-seconds", "30"], TURN)?.start()?;
    // Past the first try: it has started other helpers.
    let mut seen = std::collections::BTreeSet::new();
    let keeper = waiting.worker()?;
    let mut most = 0;
    mutex_tests::wait::wait_for("a third try", LIMIT, || {
        let children = keeper.children();
        most = most.max(children.len());
        seen.extend(children);
        (seen.len() > 2).then_some(())
    })?;
    ensure!(most == 1, "{most} helpers at once, dead or alive");
    std::fs::write(scene.path("go"), "")?;
    running.expect_code(5)?;
    let code = waiting.exit_code(LIMIT)?;
    ensure!(code == 0, "exit code {code}: {}", waiting.stderr()?);
    expect_turns(&scene, 1)
}
