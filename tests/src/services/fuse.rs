//! A file system that can be made to hang: the program `hung_fs`, mounted below a temporary directory.
//!
//! This process never touches the mount while it hangs: it would hang with it.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use nix::mount::{MntFlags, umount2};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::fault::Fault;
use crate::process::{Process, programs, waits_readable};

/// The server's answer to a command comes at once, unless the machine is very busy.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Who keeps the locks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Locks {
    /// The kernel of this machine.
    Local,
    /// The file system's server, as on a cluster file system.
    Remote,
    /// Nobody: a lock call answers ENOLCK.
    None,
}

/// What the server has counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Figures {
    /// How often it was asked for content: once a proof of the file helper.
    pub reads: u64,
    /// How many locks it keeps.
    pub locks: usize,
}

/// A mounted file system. Ends with this value, hung or not.
pub struct HungFs {
    server: Child,
    process: Process,
    control: Mutex<(ChildStdin, ChildStdout)>,
    dir: TempDir,
}

impl HungFs {
    /// Mounts one.
    pub fn mount(locks: Locks) -> anyhow::Result<Self> {
        ensure!(Path::new("/dev/fuse").exists(), "/dev/fuse: not there; load the module fuse (package fuse3)");
        let dir = tempfile::Builder::new().prefix("hung-fs-").tempdir().context("make a mount point")?;
        let mode = match locks {
            Locks::Local => "local",
            Locks::Remote => "remote",
            Locks::None => "none",
        };
        let mut server = Command::new(programs::own("hung_fs")?)
            .arg(dir.path())
            .arg(mode)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start hung_fs")?;
        let process = Process::open(i32::try_from(server.id())?)?;
        let (commands, answers) = (server.stdin.take(), server.stdout.take());
        let control = Mutex::new((commands.context("its input")?, answers.context("its output")?));
        let fs = Self { server, process, control, dir };
        fs.wait_for_ok().context("mount a FUSE file system (needs root, /dev/fuse and the package fuse3)")?;
        Ok(fs)
    }

    /// The mount point.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Every request is read and not answered: the calling process cannot even be killed.
    pub fn frozen(&self) -> Fault<'_> {
        Fault::new("frozen", || self.command("everything"), || self.command("nothing"))
    }

    /// As `frozen`, but for writes alone.
    pub fn writes_hang(&self) -> Fault<'_> {
        Fault::new("writes hang", || self.command("writes"), || self.command("nothing"))
    }

    /// As `frozen`, but for lock calls alone. Only a file system that keeps the locks itself sees these.
    pub fn locks_hang(&self) -> Fault<'_> {
        Fault::new("locks hang", || self.command("locks"), || self.command("nothing"))
    }

    /// As `frozen`, but for reads of content alone.
    pub fn reads_hang(&self) -> Fault<'_> {
        Fault::new("reads hang", || self.command("reads"), || self.command("nothing"))
    }

    /// As `frozen`, but for questions for a file's attributes alone.
    pub fn attributes_hang(&self) -> Fault<'_> {
        Fault::new("attributes hang", || self.command("attributes"), || self.command("nothing"))
    }

    /// From now on the kernel may answer for the server for an hour.
    pub fn let_the_kernel_cache(&self) -> anyhow::Result<()> {
        self.command("cache")
    }

    /// Should this process die, the server unmounts that at its end too.
    pub(super) fn takes_along(&self, mount_point: &Path) -> anyhow::Result<()> {
        self.command(&format!("take along {}", mount_point.display()))
    }

    /// The server is stopped: requests are not even read, and the calling process can be killed.
    pub fn stopped(&self) -> Fault<'_> {
        Fault::new("server stopped", || self.process.stop(), || self.process.go_on())
    }

    /// The server drops every lock it keeps, as one that has evicted its client.
    pub fn locks_dropped(&self) -> Fault<'_> {
        Fault::new("locks dropped", || self.command("forget"), || Ok(()))
    }

    /// The server dies: every request fails from then on.
    pub fn killed(&self) -> Fault<'_> {
        Fault::new("server killed", || self.process.signal(Signal::KILL), || Ok(()))
    }

    /// What the server has counted so far.
    pub fn figures(&self) -> anyhow::Result<Figures> {
        let answer = self.ask("figures")?;
        let numbers: Vec<_> = answer.split_whitespace().skip(1).map(str::parse::<u64>).collect();
        let [Ok(reads), Ok(locks)] = numbers[..] else { bail!("hung_fs answered {answer:?}") };
        Ok(Figures { reads, locks: usize::try_from(locks)? })
    }

    fn command(&self, word: &str) -> anyhow::Result<()> {
        let answer = self.ask(word)?;
        ensure!(answer == "ok", "hung_fs answered {answer:?}");
        Ok(())
    }

    /// One question at a time: an answer belongs to the last one.
    fn ask(&self, word: &str) -> anyhow::Result<String> {
        let mut control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(control.0, "{word}").context("tell hung_fs")?;
        line_of(&mut control.1)
    }

    fn wait_for_ok(&self) -> anyhow::Result<()> {
        let mut control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = line_of(&mut control.1)?;
        ensure!(answer == "ok", "hung_fs answered {answer:?}");
        Ok(())
    }
}

/// Byte by byte: what is read ahead would be lost.
fn line_of(answers: &mut ChildStdout) -> anyhow::Result<String> {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        ensure!(waits_readable(answers.as_fd(), ANSWER_LIMIT)?, "hung_fs did not answer within {ANSWER_LIMIT:?}");
        let mut byte = [0];
        answers.read_exact(&mut byte).context("hung_fs ended; its reason stands on standard error")?;
        line.push(byte[0]);
    }
    line.pop();
    String::from_utf8(line).context("hung_fs answered in no text")
}

impl Drop for HungFs {
    fn drop(&mut self) {
        // The end of its server fails every request that waits. The forced unmount does the same should another
        // process have the device open; then nothing can hang in the path walk of the unmount itself.
        let _ = self.process.signal(Signal::KILL);
        let _ = self.server.wait();
        let _ = umount2(self.dir.path(), MntFlags::MNT_FORCE | MntFlags::MNT_DETACH);
    }
}
