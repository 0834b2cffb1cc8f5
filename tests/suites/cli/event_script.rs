//! CTDB's event script, run by hand. Suite ctdb has it in a real ctdbd.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use mutex_tests::process::answer::Answer;
use mutex_tests::process::launch::Launch;
use mutex_tests::process::programs;
use mutex_tests::services::fuse::{HungFs, Locks};
use mutex_tests::wait::wait_for;
use tempfile::TempDir;

use crate::health::another_helper;
use crate::tool::{LIMIT, expect_code, file_lock, text};
use crate::{Case, probes};

pub(crate) const CASES: &[Case] = &[
    ("the event script: two failures in a row are borne, the third is not, and a success forgets them", failures),
    ("the event script: a slow answer is a success", slow),
    ("the event script: no lock configured, or another's helper: success, and nothing is started", no_lock),
    ("the event script: the tool not there: success, and it says so", no_tool),
    ("the event script: no place for what it keeps: success, and it says so", no_place),
    ("the event script: other events succeed and ask nobody, and ctdbd's start forgets the failures", other_events),
    ("the event script: the options of its own file go before those for all scripts", options),
    ("the event script: an option that is no number fails and is named", bad_options),
    ("the event script: whatever stands in its counter is none but a number", counter),
];

/// A node's directory, as ctdbd has it.
struct Base {
    dir: TempDir,
}

impl Base {
    fn new(conf: &str) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("mutex-").tempdir().context("make a directory")?;
        fs::create_dir_all(dir.path().join("events/legacy"))?;
        fs::write(dir.path().join("ctdb.conf"), conf)?;
        let base = Self { dir };
        base.options("")?;
        Ok(base)
    }

    fn with_lock(lock: &str) -> anyhow::Result<Self> {
        Self::new(&format!("[cluster]\n  cluster lock = {lock}\n"))
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn state(&self) -> PathBuf {
        self.path().join("scripts/mutex")
    }

    /// More of them.
    fn options(&self, more: &str) -> anyhow::Result<()> {
        let program = programs::helper("ctdb-mutex")?;
        let text = format!("CTDB_MUTEX_PROGRAM={}\nCTDB_MUTEX_TIMEOUT_SECONDS=2\n{more}\n", program.display());
        Ok(fs::write(self.path().join("events/legacy/02.mutex.options"), text)?)
    }

    fn script(&self, event: &str) -> anyhow::Result<Launch> {
        let launch = Launch::new(programs::event_script("02.mutex.script")?, [event]);
        Ok(launch.env("CTDB_BASE", self.path()).env("CTDB_SCRIPT_VARDIR", self.path().join("scripts")))
    }

    fn event(&self, event: &str) -> anyhow::Result<Answer> {
        self.script(event)?.answer(LIMIT)
    }

    /// The exit code of the event, and nothing on standard error.
    fn expect(&self, event: &str, code: i32) -> anyhow::Result<String> {
        let answer = self.event(event)?;
        expect_code(&answer, code)?;
        ensure!(answer.stderr.is_empty(), "on standard error: {:?}", answer.stderr);
        Ok(text(&answer))
    }
}

/// A lock whose directory can be taken away.
fn base_with_directory() -> anyhow::Result<(Base, PathBuf)> {
    let dir = tempfile::Builder::new().prefix("mutex-").tempdir()?;
    let base = Base::with_lock(&file_lock(&dir.path().join("lock"))?)?;
    // Goes with the base, where it is made anew.
    let path = base.path().join("store");
    drop(dir);
    fs::create_dir(&path)?;
    let lock = file_lock(&path.join("lock"))?;
    fs::write(base.path().join("ctdb.conf"), format!("[cluster]\n  cluster lock = {lock}\n"))?;
    Ok((base, path))
}

fn failures() -> anyhow::Result<()> {
    let (base, store) = base_with_directory()?;
    base.expect("monitor", 0)?;
    fs::remove_dir(&store)?;
    for (number, code) in [(1, 0), (2, 0)] {
        let said = base.expect("monitor", code)?;
        ensure!(said.contains("CRITICAL") && said.contains(&format!("failure {number} of 3")), "{said:?}");
    }
    fs::create_dir(&store)?;
    base.expect("monitor", 0)?;
    fs::remove_dir(&store)?;
    for (number, code) in [(1, 0), (2, 0), (3, 1), (3, 1)] {
        let said = base.expect("monitor", code)?;
        ensure!(said.contains(&format!("failure {number} of 3")), "{said:?}");
    }
    fs::create_dir(&store)?;
    let said = base.expect("monitor", 0)?;
    ensure!(said.contains("OK - "), "{said:?}");
    fs::remove_dir(&store)?;
    base.expect("monitor", 0)?;
    Ok(())
}

fn slow() -> anyhow::Result<()> {
    let fs = HungFs::mount(Locks::Remote)?;
    let file = fs.path().join("lock");
    let base = Base::with_lock(&file_lock(&file)?)?;
    base.options("CTDB_MUTEX_TIMEOUT_SECONDS=60\nCTDB_MUTEX_FAILURES=1")?;
    // What ctdb-mutex calls slow, and the machine's.
    let stall = Duration::from_millis(1200);
    let fault = fs.frozen();
    let frozen = fault.inject()?;
    let mut event = base.script("monitor")?.start()?;
    wait_for("its probe", LIMIT, || (!probes::groups(&file).is_empty()).then_some(()))?;
    let seen = Instant::now();
    wait_for("the stall to be long enough", LIMIT, || (seen.elapsed() > stall).then_some(()))?;
    frozen.heal()?;
    let code = event.exit_code(LIMIT)?;
    ensure!(code == 0, "exit code {code}");
    Ok(())
}

fn no_lock() -> anyhow::Result<()> {
    let base = Base::new("[cluster]\n")?;
    base.options("CTDB_MUTEX_FAILURES=1")?;
    let said = base.expect("monitor", 0)?;
    ensure!(said.contains("no cluster lock"), "{said:?}");
    ensure!(!base.state().join("probe").exists(), "a probe was begun");

    let base = Base::new("")?;
    let lock = another_helper(base.path())?;
    fs::write(base.path().join("ctdb.conf"), format!("[cluster]\n  cluster lock = {lock}\n"))?;
    base.options("CTDB_MUTEX_FAILURES=1")?;
    base.expect("monitor", 0)?;
    ensure!(!base.path().join("started").exists(), "the other's helper was started");
    Ok(())
}

fn no_tool() -> anyhow::Result<()> {
    let (base, store) = base_with_directory()?;
    fs::remove_dir(&store)?;
    base.options("CTDB_MUTEX_FAILURES=1\nCTDB_MUTEX_PROGRAM=/nowhere/ctdb-mutex")?;
    let answer = base.event("monitor")?;
    expect_code(&answer, 0)?;
    ensure!(answer.stderr.contains("/nowhere/ctdb-mutex"), "{:?}", answer.stderr);
    Ok(())
}

fn no_place() -> anyhow::Result<()> {
    let (base, _) = base_with_directory()?;
    base.options("CTDB_MUTEX_FAILURES=1")?;
    fs::write(base.path().join("scripts"), "")?;
    let answer = base.event("monitor")?;
    expect_code(&answer, 0)?;
    ensure!(answer.stderr.contains("scripts"), "{:?}", answer.stderr);
    Ok(())
}

fn other_events() -> anyhow::Result<()> {
    let (base, store) = base_with_directory()?;
    fs::remove_dir(&store)?;
    base.options("CTDB_MUTEX_FAILURES=2")?;
    for event in
        ["init", "setup", "startup", "takeip", "releaseip", "updateip", "ipreallocated", "recovered", "shutdown"]
    {
        let said = base.expect(event, 0).with_context(|| event.to_owned())?;
        ensure!(said.is_empty(), "{event}: {said:?}");
    }
    ensure!(!base.path().join("scripts").exists(), "it kept something");
    base.expect("monitor", 0)?;
    base.expect("ipreallocated", 0)?;
    base.expect("monitor", 1)?;
    base.expect("init", 0)?;
    base.expect("monitor", 0)?;
    base.expect("monitor", 1)?;
    Ok(())
}

fn options() -> anyhow::Result<()> {
    let (base, store) = base_with_directory()?;
    fs::remove_dir(&store)?;
    fs::write(base.path().join("script.options"), "CTDB_MUTEX_FAILURES=1\n")?;
    base.expect("monitor", 1)?;
    base.expect("init", 0)?;
    base.options("CTDB_MUTEX_FAILURES=2")?;
    base.expect("monitor", 0)?;
    base.expect("monitor", 1)?;
    Ok(())
}

fn bad_options() -> anyhow::Result<()> {
    let (base, _) = base_with_directory()?;
    for bad in ["FAILURES=0", "FAILURES=-1", "FAILURES=three", "FAILURES='1 2'", "FAILURES=10000"] {
        bad_option(&base, bad)?;
    }
    for bad in ["TIMEOUT_SECONDS=1", "TIMEOUT_SECONDS=1.5", "TIMEOUT_SECONDS=5s", "TIMEOUT_SECONDS='5 --json'"] {
        bad_option(&base, bad)?;
    }
    Ok(())
}

fn bad_option(base: &Base, bad: &str) -> anyhow::Result<()> {
    base.options(&format!("CTDB_MUTEX_{bad}"))?;
    let said = base.expect("monitor", 1).with_context(|| bad.to_owned())?;
    let name = bad.split('=').next().unwrap_or_default();
    ensure!(said.contains(&format!("CTDB_MUTEX_{name}")), "{bad}: {said:?}");
    base.expect("startup", 0)?;
    Ok(())
}

fn counter() -> anyhow::Result<()> {
    let (base, store) = base_with_directory()?;
    fs::remove_dir(&store)?;
    base.options("CTDB_MUTEX_FAILURES=2")?;
    let counter = base.state().join("failures");
    fs::create_dir_all(base.state())?;
    for content in ["", "\n", "x", "-5", "1 1", "09", "99999999999999999999", "1;exit 0", "$(exit 0)", "\\"] {
        fs::write(&counter, content)?;
        base.expect("monitor", 0).with_context(|| format!("with {content:?}"))?;
    }
    fs::write(&counter, "1\n")?;
    base.expect("monitor", 1)?;
    Ok(())
}
