//! What `test` leaves alone, what it leaves behind, and how it speaks.

use std::time::Duration;

use anyhow::{Context, ensure};
use mutex_tests::process::Process;
use mutex_tests::process::helper::Helper;
use mutex_tests::process::launch::Launch;
use mutex_tests::process::programs;
use mutex_tests::wait::wait_for;
use rustix::process::Signal;

use super::store::{FileOnFuse, with_commands};
use super::verdict::{read, test, test_all};
use crate::NOISE;
use crate::tool::{self, LIMIT};

/// Our file helper about to take the lock on this file.
fn taker(file: &std::path::Path) -> anyhow::Result<Launch> {
    let arguments = [file.as_os_str(), "1".as_ref(), "2".as_ref()];
    Ok(Launch::new(programs::helper("ctdb_mutex_file_helper")?, arguments))
}

fn ensure_free(file: &std::path::Path) -> anyhow::Result<()> {
    taker(file)?.start()?.expect('0', LIMIT).context("the lock is not free")
}

pub(super) fn held() -> anyhow::Result<()> {
    let (_dir, file) = tool::directory()?;
    let holder = taker(&file)?.start()?;
    holder.expect('0', LIMIT)?;
    for options in [&["--json"][..], &["--tap"], &[]] {
        let answer = test(&tool::file_lock(&file)?, 3, options)?.answer(LIMIT)?;
        tool::expect_code(&answer, 3)?;
        // By the helper's own word: its process number is in it.
        let (said, pid) = (&answer.stderr, holder.supervisor().pid().to_string());
        ensure!(said.contains("is held") && said.contains(&pid), "{said:?} does not name the holder {pid}");
        ensure!(answer.stderr.lines().count() == 1, "not one line: {said:?}");
        let text = tool::text(&answer);
        let tested = ["ok 1", "not ok 1", "rule id", "{\"event\":\"rule"];
        ensure!(!text.lines().any(|line| tested.iter().any(|begin| line.starts_with(begin))), "it tested: {text:?}");
    }
    ensure!(holder.pipe()?.is_silent(), "the holder's pipe is not silent");
    // Where the helper is another's, nobody can say who it is.
    let theirs = programs::packaged("/usr/libexec/ctdb/ctdb_mutex_fcntl_helper", "ctdb")?;
    let answer = test(&format!("!{} {}", theirs.display(), file.display()), 3, &[])?.answer(LIMIT)?;
    tool::expect_code(&answer, 3)?;
    ensure!(answer.stderr.contains("is held"), "{:?} does not say that it is held", answer.stderr);
    ensure!(holder.pipe()?.is_silent(), "the holder's pipe is not silent");
    Ok(())
}

pub(super) fn interrupted() -> anyhow::Result<()> {
    for signal in [Signal::INT, Signal::TERM] {
        let store = FileOnFuse::new()?;
        with_commands(&store, |commands| {
            let lock = tool::file_lock(&store.path())?;
            let launch = test_all(&lock, 3, &store, commands, &["--json", "--rule", "frozen-try"])?;
            let mut running = launch.own_group().start()?;
            // In the middle of a rule: the store frozen, and a helper hanging in it.
            let (processes, _) = wait_for("a helper on the frozen store", LIMIT, || {
                commands.is_frozen().then(|| descendants(&running)).filter(|all| all.len() >= 2)
            })?;
            running.signal(signal)?;
            let code = running.exit_code(LIMIT)?;
            ensure!(code == 128 + signal.as_raw(), "exit code {code} after {signal:?}");
            ensure!(!commands.is_frozen(), "the store is still frozen");
            for process in &processes {
                process.wait_gone(NOISE).context("left behind")?;
            }
            ensure_free(&store.path())
        })?;
    }
    Ok(())
}

/// The helper that it has started, and that one's child.
fn descendants(running: &Helper) -> Vec<Process> {
    let mut all: Vec<Process> = Vec::new();
    let mut left = vec![running.supervisor().pid()];
    while let Some(pid) = left.pop() {
        let Ok(process) = Process::open(pid) else { continue };
        left.extend(process.children());
        if pid != running.supervisor().pid() {
            all.push(process);
        }
    }
    all
}

/// The wrong helper that waits for its hung worker, and one whose worker stays for good.
pub(super) fn cleans_up() -> anyhow::Result<()> {
    let store = FileOnFuse::new()?;
    with_commands(&store, |commands| {
        let (helper, file) = (programs::own("wrong_helper")?, store.path());
        let lock = |bug: &str| format!("!{} {} 1 2 --bug {bug}", helper.display(), file.display());
        let run = |bug: &str, rule: &str| {
            let options = ["--json", "--rule", rule];
            read(&test_all(&lock(bug), 3, &store, commands, &options)?.answer(Duration::from_secs(60))?)
        };
        let verdicts = run("waits-for-the-worker", "frozen-sigterm")?;
        ensure!(verdicts.iter().all(|verdict| verdict.word == "not ok"), "no failure: {verdicts:?}");
        ensure!(!commands.is_frozen(), "the store is still frozen");
        ensure_free(&file)?;
        let verdicts = run("leaves-the-worker", "one-byte")?;
        let killed = verdicts.iter().filter(|verdict| verdict.why.contains("had to kill what it left running")).count();
        ensure!(killed == 1, "nothing had to be killed: {verdicts:?}");
        ensure_free(&file)
    })
}

pub(super) fn formats() -> anyhow::Result<()> {
    let (_dir, file) = tool::directory()?;
    let (helper, rules) = (programs::own("wrong_helper")?, "contended-quickly,one-byte,silent,lost,frozen-held");
    let lock = format!("!{} {} 1 2 --bug slow-contention", helper.display(), file.display());
    let answer = test(&lock, 3, &["--tap", "--rule", rules])?.answer(LIMIT * 3)?;
    tool::expect_code(&answer, 1)?;
    let text = tool::text(&answer);
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    ensure!(lines.next() == Some("TAP version 14"), "no version: {text:?}");
    ensure!(lines.next() == Some("1..5"), "no plan: {text:?}");
    let points: Vec<&str> = lines.clone().filter(|line| !line.starts_with(' ')).collect();
    // In the order of --list, whatever the order in which they were named.
    let wanted =
        ["ok 1 - one-byte ", "not ok 2 - contended-quickly ", "ok 3 - silent ", "ok 4 - frozen-held ", "ok 5 - lost "];
    let as_wanted = points.iter().zip(wanted).all(|(point, wanted)| point.starts_with(wanted));
    ensure!(points.len() == wanted.len() && as_wanted, "not these points: {points:#?}");
    let skipped = points.iter().filter(|point| point.contains(" # SKIP needs --")).count();
    ensure!(skipped == 2, "not two skipped: {points:#?}");
    // What follows a point is indented and closed.
    let blocks: Vec<&str> = lines.filter(|line| line.starts_with(' ')).collect();
    let count = |wanted: &str| blocks.iter().filter(|line| **line == wanted).count();
    ensure!(count("  ---") == 3 && count("  ...") == 3, "not three blocks: {blocks:#?}");
    ensure!(blocks.iter().any(|line| line.starts_with("  why: \"")), "no reason: {blocks:#?}");

    advised(&file)?;

    let verdicts = read(&test(&lock, 3, &["--json", "--rule", "silent,lost"])?.answer(LIMIT * 3)?)?;
    let words: Vec<_> = verdicts.iter().map(|verdict| (verdict.id.as_str(), verdict.word.as_str())).collect();
    ensure!(words == [("silent", "ok"), ("lost", "skipped")], "not these: {words:?}");

    let answer = test(&lock, 3, &["--rule", "none-such"])?.answer(LIMIT)?;
    tool::expect_code(&answer, 3)?;
    ensure!(answer.stderr.contains("none-such"), "{:?} does not name the rule", answer.stderr);
    Ok(())
}

/// Advice is told from a failure in each form, and is none.
fn advised(file: &std::path::Path) -> anyhow::Result<()> {
    let lock = format!("!{} {} 1 2 --bug wrong-exit-code", programs::own("wrong_helper")?.display(), file.display());
    let text = |form: &[&str]| {
        let answer = test(&lock, 3, &[&["--rule", "exit-code"], form].concat())?.answer(LIMIT * 3)?;
        tool::expect_code(&answer, 0)?;
        anyhow::Ok(tool::text(&answer))
    };
    let (tap, lines, json) = (text(&["--tap"])?, text(&[])?, text(&["--json"])?);
    let point = tap.lines().find(|line| line.starts_with("not ok 1 - exit-code ")).context("no point")?;
    ensure!(point.contains(" # TODO exit code 0 after a contention"), "no directive: {point:?}");
    ensure!(lines.contains("verdict=advice") && lines.contains("advice=1"), "not told and counted: {lines:?}");
    ensure!(json.contains(r#""verdict":"advice""#) && json.contains(r#""advice":1"#), "not told and counted: {json:?}");
    Ok(())
}
