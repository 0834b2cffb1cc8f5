//! The program `hung_fs`, and what is said to it.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use nix::mount::{MntFlags, umount2};
use rustix::process::Signal;

use super::fuse::Locks;
use crate::process::{Process, programs, waits_readable};

/// The server's answer to a command comes at once, unless the machine is very busy.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The variable that the server has the directory of its mounts in, for whoever must find it.
pub(super) const DIRECTORY: &str = "HUNG_FS_DIRECTORY";

/// A running server. It ends with this value, and so do its mounts, whatever hangs.
pub(super) struct Server {
    child: Child,
    process: Process,
    control: Mutex<Control>,
    mount_points: Vec<PathBuf>,
}

/// Its two pipes.
struct Control {
    commands: ChildStdin,
    answers: ChildStdout,
    /// How many commands it has not answered: it may be stopped.
    owed: u32,
    /// By how many it is stopped.
    stopped: u32,
}

impl Server {
    /// Starts one that mounts itself at these places, which are empty directories below `dir`.
    pub(super) fn start(
        dir: &Path,
        mount_points: Vec<PathBuf>,
        locks: Locks,
        session_time: Option<Duration>,
    ) -> anyhow::Result<Self> {
        ensure!(Path::new("/dev/fuse").exists(), "/dev/fuse: not there; load the module fuse (package fuse3)");
        let mode = match locks {
            Locks::Local => "local",
            Locks::Remote => "remote",
            Locks::None => "none",
        };
        let mut child = Command::new(programs::own("hung_fs")?)
            .arg(mode)
            .arg(session_time.unwrap_or(Duration::ZERO).as_millis().to_string())
            .args(&mount_points)
            .env(DIRECTORY, dir.join(""))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start hung_fs")?;
        let process = Process::open(i32::try_from(child.id())?)?;
        let (commands, answers) = (child.stdin.take(), child.stdout.take());
        let control = Control {
            commands: commands.context("its input")?,
            answers: answers.context("its output")?,
            owed: 1,
            stopped: 0,
        };
        let server = Self { child, process, control: Mutex::new(control), mount_points };
        server
            .control()
            .catch_up()
            .context("mount a FUSE file system (needs root, /dev/fuse and the package fuse3)")?;
        Ok(server)
    }

    /// Tells it something, and waits for its answer; while it is stopped, it hears of that later.
    pub(super) fn command(&self, words: &str) -> anyhow::Result<()> {
        let mut control = self.control();
        writeln!(control.commands, "{words}").context("tell hung_fs")?;
        control.owed += 1;
        if control.stopped > 0 { Ok(()) } else { control.catch_up() }
    }

    /// Stops it: requests are not even read, and the processes that make them can be killed. Counted.
    pub(super) fn stop(&self) -> anyhow::Result<()> {
        let mut control = self.control();
        control.stopped += 1;
        if control.stopped == 1 { self.process.freeze() } else { Ok(()) }
    }

    /// Takes one `stop` back.
    pub(super) fn go_on(&self) -> anyhow::Result<()> {
        let mut control = self.control();
        control.stopped = control.stopped.saturating_sub(1);
        if control.stopped > 0 {
            return Ok(());
        }
        self.process.go_on()?;
        control.catch_up()
    }

    /// Kills it.
    pub(super) fn kill(&self) -> anyhow::Result<()> {
        self.process.signal(Signal::KILL)
    }

    fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Control {
    /// Waits for every answer that is owed.
    fn catch_up(&mut self) -> anyhow::Result<()> {
        while self.owed > 0 {
            let in_time = waits_readable(self.answers.as_fd(), ANSWER_LIMIT)?;
            ensure!(in_time, "hung_fs did not answer within {ANSWER_LIMIT:?}");
            let mut answer = [0; 3];
            self.answers.read_exact(&mut answer).context("hung_fs ended; its reason stands on standard error")?;
            ensure!(&answer == b"ok\n", "hung_fs answered {answer:?}");
            self.owed -= 1;
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The end of its server fails every request that waits. The forced unmount does the same should another
        // process have the device open; then nothing can hang in the path walk of the unmount itself.
        let _ = self.kill();
        let _ = self.child.wait();
        for place in &self.mount_points {
            let _ = umount2(place, MntFlags::MNT_FORCE | MntFlags::MNT_DETACH);
        }
    }
}
