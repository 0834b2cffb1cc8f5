//! A node: a host with a parent that takes the lock, and what can be done to its processes.
//!
//! All processes of a node are one process group, whose leader is the parent: so they can be stopped, or killed, by one
//! call, as a host stops. A parent that is dead is not waited for before the node's end: its number, and with it that of
//! the group, can be nobody else's until then.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use mutex_tests::process::{Process, programs};
use mutex_tests::wait::wait_for;
use rustix::process::{Pid, Signal, kill_process_group};

use super::event::What;
use super::kind;
use super::log::Log;
use super::stage::{Call, Kind, Stage};

/// How long a parent may take to end when it is told to, and its helpers after it.
const END_LIMIT: Duration = Duration::from_secs(3);

/// One node.
pub struct Node<'a> {
    number: usize,
    stage: &'a dyn Stage,
    call: Call,
    seed: u64,
    /// Where its helpers' standard error goes.
    stderr: PathBuf,
    log: Log,
    parent: Option<Parent>,
    /// Parents that were killed, each still the leader of its group.
    dead: Vec<Child>,
    listeners: Vec<JoinHandle<()>>,
    /// Something is done to its processes.
    pub busy: bool,
}

struct Parent {
    child: Child,
    process: Process,
}

/// What takes back a thing that was done to a node's processes.
pub enum Undo {
    /// A process goes on.
    GoOn(Process),
    /// The parent goes on.
    ParentGoesOn,
    /// All processes go on.
    NodeGoesOn,
    /// There is a new parent.
    Start,
    /// It cannot be taken back, and need not be.
    Nothing,
}

impl<'a> Node<'a> {
    /// A node, with its first parent.
    ///
    /// # Errors
    /// Where that cannot be started.
    pub fn start(
        stage: &'a dyn Stage,
        number: usize,
        call: Call,
        seed: u64,
        stderr: PathBuf,
        log: Log,
    ) -> anyhow::Result<Self> {
        let (dead, listeners) = (Vec::new(), Vec::new());
        let mut node = Self { number, stage, call, seed, stderr, log, parent: None, dead, listeners, busy: false };
        node.start_parent()?;
        Ok(node)
    }

    /// Whether a helper of it runs, as far as is known.
    #[must_use]
    pub fn has_helper(&self) -> bool {
        self.log.live(self.number).helper.is_some()
    }

    /// Whether it holds, as far as is known.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.log.live(self.number).holds
    }

    /// Does one of the common things to it; `None` where there was no process to do it to.
    ///
    /// # Errors
    /// Where it cannot be done.
    pub fn hit(&mut self, kind: &Kind) -> anyhow::Result<Option<Undo>> {
        let undo = match *kind {
            kind::SUPERVISOR_FROZEN | kind::WORKER_FROZEN => {
                let Some(victim) = self.victim(kind) else { return Ok(None) };
                // One that ends meanwhile is no victim any more.
                if victim.is_gone() || victim.freeze().is_err() {
                    return Ok(None);
                }
                Undo::GoOn(victim)
            }
            kind::SUPERVISOR_KILLED | kind::WORKER_KILLED | kind::TERMINATED => {
                let signal = if *kind == kind::TERMINATED { Signal::TERM } else { Signal::KILL };
                let Some(victim) = self.victim(kind) else { return Ok(None) };
                if victim.is_gone() || victim.signal(signal).is_err() {
                    return Ok(None);
                }
                Undo::Nothing
            }
            kind::PARENT_FROZEN => {
                self.parent()?.process.freeze()?;
                self.log.note(What::ParentStopped { node: self.number, whole_node: false })?;
                Undo::ParentGoesOn
            }
            kind::NODE_FROZEN => {
                self.signal_all(Signal::STOP)?;
                self.parent()?.process.freeze()?;
                self.log.note(What::ParentStopped { node: self.number, whole_node: true })?;
                Undo::NodeGoesOn
            }
            kind::PARENT_KILLED | kind::NODE_KILLED => {
                self.log.note(What::ParentEnds { node: self.number })?;
                let Parent { child, process } = self.parent.take().context("this node has no parent")?;
                if *kind == kind::NODE_KILLED {
                    // Before the signal, while the leader of the newest group is known to be alive.
                    self.dead.push(child);
                    self.signal_all(Signal::KILL)?;
                } else {
                    process.signal(Signal::KILL)?;
                    self.dead.push(child);
                }
                Undo::Start
            }
            _ => bail!("{:?} is no common kind", kind.name),
        };
        Ok(Some(undo))
    }

    /// Takes it back.
    ///
    /// # Errors
    /// Where that fails.
    pub fn undo(&mut self, undo: Undo) -> anyhow::Result<()> {
        match undo {
            // It may be gone: that it is stopped for too long is what its other half looks for.
            Undo::GoOn(process) => drop(process.go_on()),
            Undo::ParentGoesOn => {
                self.log.note(What::ParentGoesOn { node: self.number })?;
                self.parent()?.process.go_on()?;
            }
            Undo::NodeGoesOn => {
                self.log.note(What::ParentGoesOn { node: self.number })?;
                self.signal_all(Signal::CONT)?;
            }
            Undo::Start => self.start_parent()?,
            Undo::Nothing => {}
        }
        Ok(())
    }

    /// Ends it in good order: its parent ends, and its helpers see that and let go.
    ///
    /// # Errors
    /// Where a process of it does not end, or its parent has ended before it was told to: it could not work.
    pub fn end(mut self) -> anyhow::Result<()> {
        let Some(Parent { mut child, process }) = self.parent.take() else { return Ok(()) };
        let early = process.is_gone();
        drop(child.stdin.take());
        let ended = process.wait_gone(END_LIMIT);
        self.dead.push(child);
        ensure!(!early, "the parent of node {} ended by itself", self.number);
        ended.with_context(|| format!("end the parent of node {}", self.number))?;
        let limit = END_LIMIT + self.stage.times().lease;
        wait_for("a node's helpers to end", limit, || self.groups_are_empty().then_some(())).map(drop)
    }

    fn start_parent(&mut self) -> anyhow::Result<()> {
        let stderr = File::options().create(true).append(true).open(&self.stderr);
        let stderr = stderr.with_context(|| format!("open {}", self.stderr.display()))?;
        let seed = self.seed.wrapping_add(u64::try_from(self.dead.len())?.wrapping_mul(1000));
        let lease = self.stage.times().lease.as_millis();
        let mut command = as_ctdb_runs(programs::own("campaign_parent")?)?;
        command.args([self.number.to_string(), self.stage.nodes().to_string(), seed.to_string(), lease.to_string()]);
        command.arg(&self.call.program).args(&self.call.arguments);
        command.envs(self.call.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr).process_group(0);
        let inside = self.stage.enter(self.number).with_context(|| format!("enter node {}", self.number))?;
        self.log.note(What::ParentBegins { node: self.number })?;
        let mut child = command.spawn().context("start a parent")?;
        drop(inside);
        let process = match i32::try_from(child.id()).map_err(Into::into).and_then(Process::open) {
            Ok(process) => process,
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        };
        if let Some(said) = child.stdout.take() {
            let log = self.log.clone();
            self.listeners.push(std::thread::spawn(move || log.listen(said)));
        }
        self.parent = Some(Parent { child, process });
        Ok(())
    }

    fn parent(&self) -> anyhow::Result<&Parent> {
        self.parent.as_ref().with_context(|| format!("node {} has no parent", self.number))
    }

    /// The process of the running helper that this kind is about.
    fn victim(&self, kind: &Kind) -> Option<Process> {
        let helper = self.log.live(self.number).helper?;
        // Still its parent's: nobody else has its number.
        let parent = &self.parent.as_ref()?.process;
        let helper = Process::open(helper).ok().filter(|helper| parent.children().contains(&helper.pid()))?;
        if !matches!(*kind, kind::WORKER_FROZEN | kind::WORKER_KILLED) {
            return Some(helper);
        }
        // One that is a single process gets it all.
        let worker = helper.children().first().and_then(|&worker| Process::open(worker).ok());
        Some(worker.unwrap_or(helper))
    }

    /// To every process of every parent that this node ever had.
    fn signal_all(&self, signal: Signal) -> anyhow::Result<()> {
        let living = self.parent.as_ref().map(|parent| &parent.child);
        for child in self.dead.iter().chain(living) {
            // A group without a living process cannot be signalled, and need not be.
            let _ = kill_process_group(group(child)?, signal);
        }
        Ok(())
    }

    /// Whether only leaders are left of the groups, which this process has not waited for.
    fn groups_are_empty(&self) -> bool {
        let lives = |child: &Child| {
            let Ok(all) = std::fs::read_dir("/proc") else { return false };
            let group = child.id().to_string();
            all.flatten().any(|entry| {
                let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
                let Some((_, rest)) = stat.rsplit_once(") ") else { return false };
                let fields: Vec<&str> = rest.split_whitespace().take(3).collect();
                matches!(fields[..], [state, _, of] if of == group && state != "Z")
            })
        };
        !self.dead.iter().any(lives)
    }
}

/// A command for this program, with real-time priority where this machine grants it. ctdbd runs with that (ctdb.conf(5),
/// `realtime scheduling`), and needs it: the lock is free one round trip after the end of the pipe (P4), so on a busy machine
/// another may have it before a parent that is not run has read the end. That was seen, 36 ms of it, with a parent that had
/// not been run for 127 ms. What the parent starts has no such priority.
fn as_ctdb_runs(program: PathBuf) -> anyhow::Result<Command> {
    static GRANTED: OnceLock<bool> = OnceLock::new();
    let chrt = programs::packaged("/usr/bin/chrt", "util-linux")?;
    let with = |program: &Path| {
        let mut command = Command::new(&chrt);
        command.args(["--fifo", "--reset-on-fork", "1"]).arg(program);
        command
    };
    let granted = || with(Path::new("/bin/true")).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    Ok(if *GRANTED.get_or_init(granted) { with(&program) } else { Command::new(program) })
}

fn group(child: &Child) -> anyhow::Result<Pid> {
    let pid = i32::try_from(child.id())?;
    Pid::from_raw(pid).context("a process without a number")
}

impl Drop for Node<'_> {
    fn drop(&mut self) {
        let _ = self.signal_all(Signal::KILL);
        let living = self.parent.take().map(|parent| parent.child);
        for mut child in self.dead.drain(..).chain(living) {
            let _ = child.kill();
            let _ = child.wait();
        }
        for listener in self.listeners.drain(..) {
            // A helper has no end of this pipe, so it has ended.
            let _ = listener.join();
        }
    }
}
