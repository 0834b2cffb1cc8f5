//! A store, the helper on it, and what both leave on this machine.
//!
//! Whatever is started here has a mark in its environment and a directory of its own to write into, so that what is left of
//! it can be told from all else on a machine where others work too.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use mutex_tests::process::Process;
use mutex_tests::process::helper::Helper;
use mutex_tests::process::launch::Launch;
use mutex_tests::process::programs;
use mutex_tests::wait::wait_for;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rustix::process::Signal;
use tempfile::TempDir;

use super::options::Backend;
use super::store::{self, Pace, Store};
use super::usage::descriptors;

/// The mark. Its value is the scene's directory.
const MARK: &str = "MUTEX_SCALE";

/// How long a helper may take for its byte, and for its end: not what is promised, which other suites try, but a sign that
/// it hangs. Hundreds start at once here.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

/// Ceph's manager drops a client from its service map when that says goodbye; where the manager was too busy to hear it in
/// a second, 60 s after its last word (mgr_service_beacon_grace), and it tells the monitors every few seconds.
const LEFT_LIMIT: Duration = Duration::from_secs(90);

/// What a holder has to say of a loss it has said by then.
const LAST_WORDS_LIMIT: Duration = Duration::from_secs(2);

/// A store with a helper for it.
pub(super) struct Scene {
    pub(super) store: Box<dyn Store>,
    /// The processes of the store.
    processes: Vec<i32>,
    program: PathBuf,
    /// How many descriptors this process had before the first helper.
    before: usize,
    dir: Place,
}

impl Scene {
    pub(super) fn new(backend: Backend) -> anyhow::Result<Self> {
        all_descriptors()?;
        let program = programs::helper(backend.program())?;
        let store = store::start(backend).context("start the store")?;
        let dir = Place::new()?;
        let processes = descendants(&Process::open(i32::try_from(std::process::id())?)?);
        Ok(Self { store, processes, program, before: own_descriptors()?, dir })
    }

    /// The helper about to be started on this lock.
    pub(super) fn launch(&self, lock: &str, pace: Pace) -> Launch {
        let launch = Launch::new(&self.program, self.store.arguments(lock, pace)).in_directory(self.dir.path());
        let launch = launch.env(MARK, self.dir.path()).env("TMPDIR", self.dir.path()).env("HOME", self.dir.path());
        self.store.environment().into_iter().fold(launch, |launch, (name, value)| launch.env(name, value))
    }

    /// How many descriptors the store's processes have open. Not the same as before while nobody is there: etcd's members keep
    /// connections among themselves by which they have passed something on.
    pub(super) fn descriptors_of_store(&self) -> u64 {
        self.processes.iter().map(|&pid| descriptors(pid) as u64).sum()
    }

    /// What is left in the store and on this machine when nobody holds or wants a lock any more: the locks that are not free
    /// at once, before any lease can be over; and all else that is there after a while.
    pub(super) fn left(&self, locks: &[String]) -> anyhow::Result<Vec<String>> {
        let locked = self.store.locked(locks)?;
        let mut left = Ok(Vec::new());
        // In vain too: what is there then is the answer.
        let _ = wait_for("nothing to be left", LEFT_LIMIT, || {
            left = self.left_now(locks);
            left.as_ref().is_ok_and(Vec::is_empty).then_some(())
        });
        Ok([locked, left?].concat())
    }

    fn left_now(&self, locks: &[String]) -> anyhow::Result<Vec<String>> {
        let mut left = self.store.left(locks)?;
        left.extend(self.left_here()?);
        Ok(left)
    }

    fn left_here(&self) -> anyhow::Result<Vec<String>> {
        let mut left: Vec<String> =
            marked(self.dir.path()).into_iter().map(|pid| format!("the process {pid}")).collect();
        for entry in fs::read_dir(self.dir.path()).context("list the helpers' directory")? {
            left.push(format!("the file {}", entry?.path().display()));
        }
        let more = own_descriptors()?.saturating_sub(self.before);
        if more > 0 {
            left.push(format!("{more} descriptors here"));
        }
        Ok(left)
    }
}

/// A directory that goes however this process ends.
struct Place {
    dir: TempDir,
    /// Waits for the end of its standard input. The holders end with their pipes' readers.
    sweeper: Child,
}

impl Place {
    fn new() -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("mutex-scale-").tempdir().context("make a directory")?;
        let sweeper = Command::new("/bin/sh")
            .args(["-c", r#"trap '' HUP INT TERM; cat >/dev/null; rm -rf "$0""#])
            .arg(dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            // What ends this process' group must not end it.
            .process_group(0)
            .spawn()
            .context("start a shell")?;
        Ok(Self { dir, sweeper })
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.sweeper.stdin.take());
        let _ = self.sweeper.wait();
    }
}

/// With what this very look has open, each time the same.
fn own_descriptors() -> anyhow::Result<usize> {
    Ok(descriptors(i32::try_from(std::process::id())?))
}

fn descendants(of: &Process) -> Vec<i32> {
    let below = |pid| Process::open(pid).map(|child| descendants(&child)).unwrap_or_default();
    of.children().into_iter().flat_map(|pid| below(pid).into_iter().chain([pid])).collect()
}

/// The processes with the mark.
fn marked(dir: &Path) -> Vec<i32> {
    let mark = format!("{MARK}={}", dir.display());
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let has_it = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|variable| variable == mark.as_bytes())
    };
    pids.filter(has_it).collect()
}

/// Each helper costs this process four.
fn all_descriptors() -> anyhow::Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).context("ask for the limit of descriptors")?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).context("raise the limit of descriptors")
}

/// What a holder whose pipe has ended says of it, which it does after that, beside what it can be judged by.
pub(super) fn last_words(holder: &Helper, held: Duration, stall: u64) -> String {
    let _ = holder.gone(LAST_WORDS_LIMIT);
    let said = holder.stderr().unwrap_or_default();
    format!("after {:.1} s, worst stall of this machine so far {stall} ms: {}", held.as_secs_f64(), said.trim())
}

/// Ends holders as CTDB does, and waits until all of each is gone; says what went wrong.
pub(super) fn release(holders: Vec<Helper>) -> anyhow::Result<Vec<String>> {
    let mut workers = Vec::new();
    for holder in &holders {
        workers.push(holder.worker());
        holder.signal(Signal::TERM)?;
    }
    let mut wrong = Vec::new();
    for (mut holder, worker) in holders.into_iter().zip(workers) {
        let ended = (|| {
            worker?.wait_gone(LIMIT)?;
            holder.end(LIMIT)?;
            let code = holder.exit_code(LIMIT)?;
            anyhow::ensure!(code == 0, "exit code {code} after SIGTERM: {}", holder.stderr()?.trim());
            Ok(())
        })();
        wrong.extend(ended.err().map(|error: anyhow::Error| format!("{error:#}")));
    }
    Ok(wrong)
}
