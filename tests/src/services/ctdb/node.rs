//! One node of a cluster.

use std::ffi::OsString;
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::process::Signal;

use super::Setup;
use super::log::Log;
use super::status::Status;
use super::view::{Root, View};
use crate::process::Process;
use crate::services::command::run;
use crate::services::network::Namespace;
use crate::wait::wait_for;

/// What ctdbd reads at its start, from the package.
const FROM_PACKAGE: [&str; 3] = ["functions", "notify.sh", "debug-hung-script.sh"];

/// A killed process is gone at once, unless a hung file system holds it.
const GONE_LIMIT: Duration = Duration::from_secs(5);

/// How long a `ctdb` command may take.
const CTDB_LIMIT: Duration = Duration::from_secs(4);

/// A node: a directory, and the processes with that directory as CTDB_BASE in their environment.
pub struct Node {
    number: usize,
    dir: PathBuf,
    /// The program in `cluster lock`.
    helper: PathBuf,
    /// What its processes have in their environment besides.
    environment: Vec<(&'static str, OsString)>,
    /// Where its processes are, if not where everybody is.
    view: Option<View>,
    /// On which host, if not on this machine's loopback.
    host: Option<Namespace>,
    /// Whose programs they are, if not this machine's.
    root: Option<Root>,
    log: Log,
}

/// A node's processes.
pub struct Found {
    daemons: Vec<Process>,
    helpers: Vec<Process>,
}

impl Found {
    /// Kills all of CTDB's; what is left are the helper's, which have lost their parent.
    pub fn kill_daemons(&self) {
        kill_at_once(self.daemons.iter());
    }

    /// Kills all of them.
    pub fn kill(&self) {
        kill_at_once(self.daemons.iter().chain(&self.helpers));
    }
}

/// None lives to see another one die: a recovery daemon whose helper ends first calls for an election.
fn kill_at_once<'a>(processes: impl Iterator<Item = &'a Process> + Clone) {
    // A failure means that it is gone.
    processes.clone().for_each(|process| drop(process.signal(Signal::STOP)));
    processes.for_each(Process::end);
}

impl Node {
    /// Writes the node's files.
    pub(super) fn create(cluster: &Path, number: usize, addresses: &[Ipv4Addr], setup: &Setup) -> anyhow::Result<Self> {
        let lock = &setup.lock;
        let helper = lock.strip_prefix('!').and_then(|words| words.split([' ', '\t']).next());
        let helper = PathBuf::from(helper.with_context(|| format!("cluster lock {lock:?} names no helper"))?);
        let dir = cluster.join(format!("n{number}"));
        let log = Log::new(number, dir.join("log"));
        let view = setup.common.as_ref().map(|common| common.view(number)).transpose()?;
        let host = setup.hosts.get(number).map(Namespace::try_clone).transpose()?;
        let (environment, root) = (setup.environment.clone(), setup.root.clone());
        let node = Self { number, dir, helper, environment, view, host, root, log };
        node.write_files(addresses, setup).with_context(|| format!("write the files of CTDB node {number}"))?;
        Ok(node)
    }

    fn write_files(&self, addresses: &[Ipv4Addr], setup: &Setup) -> anyhow::Result<()> {
        let dir = &self.dir;
        for folder in ["events/legacy", "events/notification", "run", "var", "db/volatile", "db/persistent", "db/state"]
        {
            fs::create_dir_all(dir.join(folder))?;
        }
        let etc = setup.root.as_ref().map_or(Path::new("/"), |Root(root)| root).join("etc/ctdb");
        for file in FROM_PACKAGE {
            let from = etc.join(file);
            fs::copy(&from, dir.join(file)).with_context(|| format!("copy {} (package ctdb)", from.display()))?;
        }
        // Helpers look for their files beside ctdb.conf.
        let of_etcd = etc.join("etcd");
        if setup.root.is_some() && of_etcd.is_file() {
            fs::copy(&of_etcd, dir.join("etcd")).with_context(|| format!("copy {}", of_etcd.display()))?;
        }
        let nodes: String = addresses.iter().map(|address| format!("{address}\n")).collect();
        fs::write(dir.join("nodes"), nodes)?;
        fs::write(dir.join("public_addresses"), "")?;
        // Faults come faster here than in life: CTDB's default lets a recovery wait for 10 s after another one.
        let mut tunables = "RerecoveryTimeout=1\n".to_owned();
        if let Some(interval) = setup.monitor_interval {
            tunables.push_str(&format!("MonitorInterval={}\n", interval.as_secs()));
        }
        fs::write(dir.join("ctdb.tunables"), tunables)?;
        let own = addresses.get(self.number).context("no address")?;
        let (place, lock) = (dir.display(), &setup.lock);
        let conf = format!(
            "[logging]\n  location = file:{place}/log\n\
             [cluster]\n  cluster lock = {lock}\n  node address = {own}\n\
             [database]\n  volatile database directory = {place}/db/volatile\n  \
             persistent database directory = {place}/db/persistent\n  \
             state database directory = {place}/db/state\n"
        );
        fs::write(dir.join("ctdb.conf"), conf)?;
        Ok(())
    }

    /// Its number, counted from 0 as CTDB does.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// Its CTDB_BASE.
    #[must_use]
    pub fn base(&self) -> &Path {
        &self.dir
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The same log once more, for a thread.
    pub(super) fn another_log(&self) -> Log {
        Log::new(self.number, self.dir.join("log"))
    }

    /// Starts ctdbd, which then goes to the background.
    pub fn start(&self) -> anyhow::Result<()> {
        let mut command = self.command("/usr/sbin/ctdbd");
        // Threads that are started from here are on that host too.
        let _inside = self.host.as_ref().map(Namespace::enter).transpose()?;
        let output = match (&self.root, &self.view) {
            (Some(root), _) => root.output(&mut command),
            (None, Some(view)) => view.output(&mut command),
            (None, None) => Ok(command.output()?),
        };
        let output = output.context("start ctdbd")?;
        ensure!(output.status.success(), "ctdbd of node {}: {}\n{}", self.number, said(&output), self.log.tail());
        Ok(())
    }

    /// Runs a `ctdb` command on this node and returns what it printed.
    pub fn ctdb(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = self.command("/usr/bin/ctdb");
        // The default is 10 s. On a node that is just starting it can wait for ever, whatever its time limit.
        command.args(["--timelimit", "3"]).args(arguments);
        run(&mut command, CTDB_LIMIT).with_context(|| format!("ctdb {} on node {}", arguments.join(" "), self.number))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.envs(self.environment.iter().cloned()).env("CTDB_TEST_MODE", "yes").env("CTDB_BASE", &self.dir);
        // The times in the log are read with that.
        command.env("TZ", "UTC").stdin(Stdio::null());
        command
    }

    /// `ctdb status`, which waits for the leader's next broadcast: up to a second.
    pub fn status(&self) -> anyhow::Result<Status> {
        Ok(Status::parse(&self.ctdb(&["status"])?))
    }

    /// Whether its ctdbd runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.ctdbd().is_ok()
    }

    /// Its ctdbd.
    pub fn ctdbd(&self) -> anyhow::Result<Process> {
        let path = self.dir.join("run/ctdbd.pid");
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let pid = text.trim().parse().with_context(|| format!("{} holds {text:?}", path.display()))?;
        // The file outlives a killed ctdbd.
        self.own(pid).with_context(|| format!("ctdbd of node {} does not run", self.number))
    }

    /// Its recovery daemon, which takes the lock and leads.
    pub fn recoverd(&self) -> anyhow::Result<Process> {
        let is_recoverd = |process: &Process| name_of(process.pid()).as_deref() == Some("ctdb_recoverd");
        let found = self.child_of(&self.ctdbd()?, is_recoverd);
        found.with_context(|| format!("node {} has no recovery daemon", self.number))
    }

    /// The process that CTDB started to take the cluster lock and hold it.
    pub fn helper(&self) -> anyhow::Result<Process> {
        let found = self.child_of(&self.recoverd()?, |process| self.is_helper(process));
        found.with_context(|| format!("node {} has no helper", self.number))
    }

    /// That process's child.
    pub fn worker(&self) -> anyhow::Result<Process> {
        self.helper()?.child(Duration::from_secs(2)).context("find the helper's worker")
    }

    /// Every process of a helper, orphans too.
    #[must_use]
    pub fn helper_processes(&self) -> Vec<Process> {
        self.processes().into_iter().filter(|process| self.is_helper(process)).collect()
    }

    /// Those of them that CTDB did not start itself: the helpers' workers.
    #[must_use]
    pub fn workers(&self) -> Vec<Process> {
        let starters = [self.ctdbd(), self.recoverd()];
        let started: Vec<i32> = starters.iter().flatten().flat_map(Process::children).collect();
        self.helper_processes().into_iter().filter(|process| !started.contains(&process.pid())).collect()
    }

    /// Every living process that was started with this word.
    #[must_use]
    pub fn started_with(&self, word: &str) -> Vec<Process> {
        let has_word =
            |pid: &i32| told_of(*pid, "cmdline").split(|&byte| byte == 0).any(|other| other == word.as_bytes());
        // What can be told by a look at one file first: this is asked often.
        pids().filter(has_word).filter_map(|pid| self.own(pid)).collect()
    }

    /// What the node consists of at this moment, to be killed at another: to look for it takes a while on a busy machine.
    #[must_use]
    pub fn found(&self) -> Found {
        let (helpers, daemons) = self.processes().into_iter().partition(|process| self.is_helper(process));
        Found { daemons, helpers }
    }

    /// Kills every process of the node at once.
    pub fn kill(&self) -> anyhow::Result<()> {
        self.kill_all(|_| true)
    }

    /// Kills all of CTDB's processes at once; what is left of the node are the helper's, which have lost their parent.
    pub fn kill_daemons(&self) -> anyhow::Result<()> {
        self.kill_all(|process| !self.is_helper(process))
    }

    fn kill_all(&self, is_meant: impl Fn(&Process) -> bool) -> anyhow::Result<()> {
        let mut killed = Vec::new();
        let none_left = || {
            let left: Vec<Process> = self.processes().into_iter().filter(&is_meant).collect();
            kill_at_once(left.iter());
            let none = left.is_empty();
            killed.extend(left);
            // Their sockets and locks are free when they are gone.
            (none && killed.iter().all(Process::is_gone)).then_some(())
        };
        wait_for(&format!("the processes of node {} to be gone", self.number), GONE_LIMIT, none_left)?;
        Ok(())
    }

    fn is_helper(&self, process: &Process) -> bool {
        program_of(process.pid()).is_some_and(|program| program == self.helper)
    }

    fn child_of(&self, parent: &Process, wanted: impl Fn(&Process) -> bool) -> Option<Process> {
        parent.children().into_iter().filter_map(|pid| self.own(pid)).find(wanted)
    }

    /// Every living process with this node's CTDB_BASE.
    fn processes(&self) -> Vec<Process> {
        pids().filter_map(|pid| self.own(pid)).collect()
    }

    /// The process with this number, if it lives and is this node's.
    fn own(&self, pid: i32) -> Option<Process> {
        // Looked at once before the descriptor is opened, to leave all others of the machine alone, and once after: the
        // number may have gone to another process in between.
        let is_own = || {
            let environ = told_of(pid, "environ");
            let base = |entry: &[u8]| entry.strip_prefix(b"CTDB_BASE=") == Some(self.dir.as_os_str().as_bytes());
            environ.split(|&byte| byte == 0).any(base)
        };
        is_own().then(|| Process::open(pid).ok()).flatten().filter(|_| is_own())
    }

    /// `ctdb shutdown`.
    pub fn shut_down(&self) -> anyhow::Result<()> {
        let ctdbd = self.ctdbd()?;
        self.ctdb(&["shutdown"])?;
        let Err(error) = ctdbd.wait_gone(GONE_LIMIT) else { return Ok(()) };
        bail!("ctdb shutdown on node {}: {error:#}", self.number)
    }
}

fn said(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).trim().to_owned());
    format!("{}; {out} {err}", output.status)
}

/// The numbers of all processes.
fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn name_of(pid: i32) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim_end().to_owned())
}

/// The first word of its command line.
fn program_of(pid: i32) -> Option<PathBuf> {
    let line = told_of(pid, "cmdline");
    let first = line.split(|&byte| byte == 0).next()?;
    Some(PathBuf::from(OsString::from_vec(first.to_vec())))
}

/// What stands in this file of a process. Where its main thread has ended another one may live on in a hung file system:
/// then that one tells.
fn told_of(pid: i32, file: &str) -> Vec<u8> {
    let of_process = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    if !of_process.is_empty() {
        return of_process;
    }
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let told = threads.filter_map(|thread| fs::read(thread.path().join(file)).ok());
    told.into_iter().find(|told| !told.is_empty()).unwrap_or_default()
}
