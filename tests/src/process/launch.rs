//! How a helper is started.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::pty::openpty;
use nix::unistd::{pipe2, write};

use super::helper::Helper;
use super::pipe::Pipe;
use super::{Process, programs};

/// Where the helper's standard error goes.
pub enum Stderr {
    /// Into a file that the case can read.
    File,
    /// Into a pipe that nobody reads any more.
    WithoutReader,
    /// Into a pipe that is full and is not read.
    Full,
    /// Nowhere: the descriptor is closed, and standard input too.
    Closed,
    /// Into the pipe of standard output.
    SamePipe,
    /// Onto a terminal that nobody reads and that has no room.
    FullTerminal,
    /// The same with room for a short line: poll() says that it can be written to.
    NearlyFullTerminal,
    /// Into this descriptor, a terminal's or whatever.
    Into(OwnedFd),
}

/// A helper about to be started. Without a further word it is started just as CTDB starts it.
pub struct Launch {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    stderr: Stderr,
    stdout: Option<OwnedFd>,
    own_group: bool,
    directory: Option<PathBuf>,
    /// Redirections that a shell makes before it becomes the helper.
    redirections: &'static str,
    with_another_reader: bool,
    /// A FIFO from which a shell reads a line before it becomes the helper.
    gate: Option<PathBuf>,
}

impl Launch {
    /// A start of `program` with these arguments.
    pub fn new(program: impl Into<PathBuf>, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self {
            program: program.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            environment: Vec::new(),
            stderr: Stderr::File,
            stdout: None,
            own_group: false,
            directory: None,
            redirections: "",
            with_another_reader: false,
            gate: None,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(OsString::from));
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Sends standard error elsewhere than into a file.
    #[must_use]
    pub fn stderr(mut self, stderr: Stderr) -> Self {
        self.stderr = stderr;
        self
    }

    /// Standard output is this descriptor and not a pipe: the started helper's pipe then ends at once.
    #[must_use]
    pub fn stdout(mut self, stdout: OwnedFd) -> Self {
        self.stdout = Some(stdout);
        self
    }

    /// Makes the helper the leader of a process group.
    #[must_use]
    pub fn own_group(mut self) -> Self {
        self.own_group = true;
        self
    }

    /// The helper's working directory.
    #[must_use]
    pub fn in_directory(mut self, directory: &Path) -> Self {
        self.directory = Some(directory.to_owned());
        self
    }

    /// The helper inherits the pipe's writing end once more, as descriptor 9.
    #[must_use]
    pub fn with_another_writer(mut self) -> Self {
        self.redirections = "9>&1";
        self
    }

    /// The helper inherits the pipe's reading end, as descriptor 8.
    #[must_use]
    pub fn with_another_reader(mut self) -> Self {
        self.redirections = "8<&0 </dev/null";
        self.with_another_reader = true;
        self
    }

    /// Standard output is closed.
    #[must_use]
    pub fn stdout_closed(mut self) -> Self {
        self.redirections = ">&-";
        self
    }

    /// The process is started, and becomes the helper when a line has been written to this FIFO.
    #[must_use]
    pub fn behind_gate(mut self, fifo: &Path) -> Self {
        self.gate = Some(fifo.to_owned());
        self
    }

    /// Starts it as a child of this process.
    pub fn start(self) -> anyhow::Result<Helper> {
        let started = self.spawn(None)?;
        let process = Process::open(started.id()?)?;
        let Started { child, pipe, log, kept_open } = started;
        Ok(Helper::new(process, Some(child), pipe, log, kept_open))
    }

    /// Starts it as a child of a parent that can be killed.
    pub fn start_under(self, kind: ParentKind) -> anyhow::Result<(Parent, Helper)> {
        let started = self.spawn(Some(kind))?;
        let outer = Process::open(started.id()?)?;
        let Started { child, pipe, log, kept_open } = started;
        let limit = Duration::from_secs(5);
        let process = match kind {
            ParentKind::Ordinary => outer,
            ParentKind::PidOne => outer.child(limit)?,
        };
        let helper = process.child(limit)?;
        let parent = Parent { child, process };
        Ok((parent, Helper::new(helper, None, pipe, log, kept_open)))
    }

    fn spawn(self, parent: Option<ParentKind>) -> anyhow::Result<Started> {
        let (pipe, writer) = Pipe::new()?;
        let writer = self.stdout.unwrap_or(writer);
        let log = tempfile::tempfile().context("make a file for standard error")?;
        let mut redirections = self.redirections.to_owned();
        let mut kept_open = Vec::new();
        let stderr = match self.stderr {
            Stderr::File => log.try_clone()?.into(),
            Stderr::WithoutReader => pipe2(OFlag::O_CLOEXEC)?.1,
            Stderr::Full => {
                let (reader, writer) = full_pipe()?;
                kept_open.push(reader);
                writer
            }
            Stderr::Closed => {
                redirections.push_str(" 2>&- <&-");
                log.try_clone()?.into()
            }
            Stderr::SamePipe => writer.try_clone()?,
            Stderr::FullTerminal | Stderr::NearlyFullTerminal => {
                let room = if matches!(self.stderr, Stderr::FullTerminal) { 0 } else { 200 };
                let (reader, terminal) = terminal_with_room(room)?;
                kept_open.push(reader);
                terminal
            }
            Stderr::Into(descriptor) => descriptor,
        };
        let stdin = if self.with_another_reader { Stdio::from(pipe.another_reader()?) } else { Stdio::null() };

        let mut line: Vec<OsString> = Vec::new();
        if let Some(kind) = parent {
            line.push(programs::own("stand_in_parent")?.into());
            line.push(kind.argument().into());
        }
        if !redirections.is_empty() || self.gate.is_some() {
            let gate = if self.gate.is_some() { r#"read go <"$GATE" && "# } else { "" };
            line.extend(["/bin/sh", "-c"].map(OsString::from));
            line.push(format!(r#"{gate}exec "$0" "$@" {redirections}"#).into());
        }
        line.push(self.program.into());
        line.extend(self.arguments);

        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).stdout(writer).stderr(stderr);
        // A stand-in ends with its standard input, so with us.
        command.stdin(if parent.is_some() { Stdio::piped() } else { stdin });
        command.envs(self.environment);
        if let Some(gate) = &self.gate {
            command.env("GATE", gate);
        }
        if let Some(directory) = self.directory {
            command.current_dir(directory);
        }
        if self.own_group {
            command.process_group(0);
        }
        let child = command.spawn().with_context(|| format!("start {}", line[0].to_string_lossy()))?;
        Ok(Started { child, pipe, log, kept_open })
    }
}

struct Started {
    child: Child,
    pipe: Pipe,
    log: File,
    kept_open: Vec<OwnedFd>,
}

impl Started {
    fn id(&self) -> anyhow::Result<i32> {
        i32::try_from(self.child.id()).context("process number")
    }
}

/// A pipe into which not one byte more goes.
fn full_pipe() -> anyhow::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    // The size of a full pipe in pages differs from that in bytes: single bytes fill the rest.
    fill(&writer, &[4096, 1], usize::MAX)?;
    Ok((reader, writer))
}

/// Both ends of a terminal that takes about so many bytes more.
fn terminal_with_room(room: usize) -> anyhow::Result<(OwnedFd, OwnedFd)> {
    let open = || openpty(None, None).context("open a terminal");
    // What is read from a full one does not tell how much room that makes: another shows what fits.
    let all = fill(&open()?.slave, &[1], usize::MAX)?;
    let terminal = open()?;
    fill(&terminal.slave, &[1], all.saturating_sub(room))?;
    Ok((terminal.master, terminal.slave))
}

/// Writes pieces of these sizes, each for as long as it is taken, but not more than `most` bytes; says how many.
fn fill(writer: &OwnedFd, pieces: &[usize], most: usize) -> anyhow::Result<usize> {
    fcntl(writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let mut all = 0;
    for &piece in pieces {
        while all < most {
            let Ok(written) = write(writer.as_fd(), &vec![b'x'; piece]) else { break };
            all += written;
        }
    }
    // The flag is the description's, so the helper's too: its writes must block.
    fcntl(writer, FcntlArg::F_SETFL(OFlag::empty()))?;
    Ok(all)
}

/// What stands between this process and the helper.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ParentKind {
    /// An ordinary process.
    Ordinary,
    /// Process 1 of a PID namespace, as in a container.
    PidOne,
}

impl ParentKind {
    fn argument(self) -> &'static str {
        match self {
            Self::Ordinary => "ordinary",
            Self::PidOne => "pid-one",
        }
    }
}

/// A parent of a helper, in ctdbd's place. It holds no end of the pipe. Ends with this value.
pub struct Parent {
    child: Child,
    process: Process,
}

impl Parent {
    /// The parent itself.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Kills it and waits until it is gone: the helper has another parent then.
    pub fn kill(&self) -> anyhow::Result<()> {
        self.process.end();
        self.process.wait_gone(Duration::from_secs(2))?;
        Ok(())
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        self.process.end();
        // Neither ever touches a store: they end at once.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
