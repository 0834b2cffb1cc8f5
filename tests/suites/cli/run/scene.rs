//! A command under a lock, and what it notes.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use mutex_tests::process::Process;
use mutex_tests::process::helper::Helper;
use mutex_tests::process::launch::Launch;
use mutex_tests::process::programs;
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::wait::wait_for;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::tool::{LIMIT, directory, file_lock, tool};

/// A lock file of a case's own, and a place for the command's notes.
pub(super) struct Scene {
    _dir: TempDir,
    pub(super) file: PathBuf,
    /// The file's lock, for our helper.
    pub(super) lock: String,
}

impl Scene {
    pub(super) fn new() -> anyhow::Result<Self> {
        let (dir, file) = directory()?;
        let lock = file_lock(&file)?;
        Ok(Self { _dir: dir, file, lock })
    }

    /// A file beside the lock; the script knows it as `$DIR/name`.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.file.with_file_name(name)
    }

    pub(super) fn notes(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// `run` of a shell's script under this lock, about to be started.
    pub(super) fn script_under(&self, lock: &str, options: &[&str], script: &str) -> anyhow::Result<Launch> {
        let arguments = [&["run", lock], options, &["--", "/bin/sh", "-c", script]].concat();
        let dir = self.file.parent().context("the lock is in a directory")?;
        Ok(tool(arguments)?.env("DIR", dir).env("TOOL", programs::helper("ctdb-mutex")?))
    }

    pub(super) fn script(&self, script: &str) -> anyhow::Result<Launch> {
        self.script_under(&self.lock, &[], script)
    }

    /// Starts it, and waits until the script has noted so many lines in `started`.
    pub(super) fn start(&self, launch: Launch, lines: usize) -> anyhow::Result<Running> {
        let front = launch.start()?;
        let keeper = front.worker()?;
        let running = Running { front, keeper };
        let noted = || (self.notes("started").lines().count() >= lines).then_some(());
        wait_for("the command to start", LIMIT, noted).map_err(|error| {
            error.context(format!("ctdb-mutex said {:?}", running.front.stderr().unwrap_or_default()))
        })?;
        Ok(running)
    }

    /// The processes that have noted themselves in `started`.
    pub(super) fn processes(&self) -> anyhow::Result<Vec<i32>> {
        self.notes("started").lines().map(|pid| pid.parse().context("a process number")).collect()
    }

    /// Those of them that are there and not dead.
    pub(super) fn alive(&self) -> anyhow::Result<Vec<i32>> {
        Ok(self.processes()?.into_iter().filter(|&pid| is_alive(pid)).collect())
    }

    /// Somebody who waits for the lock for so long.
    pub(super) fn waiter(&self, seconds: &str) -> anyhow::Result<Helper> {
        waiter(&self.file, seconds)
    }

    /// The lock is held now.
    pub(super) fn expect_held(&self) -> anyhow::Result<()> {
        self.waiter("0")?.expect('1', ANSWER_LIMIT)
    }
}

impl Drop for Scene {
    /// A case that has failed may have left processes of its command: those with its directory in their environment.
    fn drop(&mut self) {
        let dir = self.file.parent().map_or(&[][..], |dir| dir.as_os_str().as_bytes());
        for pid in self.alive().unwrap_or_default() {
            let is_ours = |process: &Process| {
                let environment = std::fs::read(format!("/proc/{}/environ", process.pid())).unwrap_or_default();
                environment.windows(dir.len()).any(|window| window == dir)
            };
            if let Some(process) = Process::open(pid).ok().filter(is_ours) {
                let _ = process.signal(Signal::KILL);
            }
        }
    }
}

pub(super) fn waiter(file: &Path, seconds: &str) -> anyhow::Result<Helper> {
    let helper = programs::helper("ctdb_mutex_file_helper")?;
    Launch::new(helper, [file]).args(&["1", "2", "--wait-seconds", seconds]).start()
}

/// `ctdb-mutex run`, running. At its end the front is killed, and the keeper does the rest.
pub(super) struct Running {
    pub(super) front: Helper,
    pub(super) keeper: Process,
}

impl Running {
    /// The helper's first process: the child of the keeper that has a child which holds the lock.
    pub(super) fn helper(&self) -> anyhow::Result<Process> {
        let is_helper = |&pid: &i32| {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            name.starts_with("ctdb_mutex_")
        };
        let pid = self.keeper.children().into_iter().find(is_helper).context("the keeper has no helper")?;
        Process::open(pid)
    }

    pub(super) fn kill_front(&self) -> anyhow::Result<()> {
        self.front.signal(Signal::KILL)?;
        self.front.gone(LIMIT).map(drop)
    }

    pub(super) fn expect_code(&mut self, code: i32) -> anyhow::Result<()> {
        let found = self.front.exit_code(LIMIT)?;
        ensure!(found == code, "exit code {found}, not {code}; it said {:?}", self.front.stderr()?);
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.front.signal(Signal::KILL);
        // It goes when nobody of the command is left; what a failed case has left hung is for the case's other guards.
        let _ = self.keeper.wait_gone(Duration::from_secs(5));
    }
}

pub(super) fn is_alive(pid: i32) -> bool {
    state(pid).is_some_and(|state| !"ZX".contains(state))
}

/// The state letter of proc(5).
pub(super) fn state(pid: i32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}
