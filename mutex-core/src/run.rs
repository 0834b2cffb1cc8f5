//! From main() to the two processes.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use clap::error::ErrorKind;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tracing::Level;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;

use crate::backend::Backend;
use crate::clock::Timer;
use crate::options::{Options, Task};
use crate::parent::{self, Parent};
use crate::pipe::Pipe;
use crate::refusal::refusal;
use crate::status::{Status, exit_code};
use crate::stderr::{self, BestEffort};
use crate::supervisor::{self, Supervisor};
use crate::timing::Timing;
use crate::{sys, wire, worker};

/// What a helper hands to the core.
pub struct Helper<B> {
    /// The options that all helpers share.
    pub options: Options,
    /// What is locked, as it stands in every message: a path, `pool/object`, a key.
    pub object: String,
    /// When to renew and when to give up.
    pub timing: Timing,
    /// Beginnings of the names of libraries that the store alone needs (`librados.`): the supervisor gives back the
    /// memory of their code.
    pub store_libraries: &'static [&'static str],
    /// The store. Built without touching it: that is the worker's.
    pub backend: B,
}

/// The whole of a helper: reads the arguments, takes the lock, holds it, releases it.
///
/// `build` makes the helper from its arguments; an error means bad arguments (status `3`), and its text is the line
/// that the admin reads.
pub fn run<A, B>(build: impl FnOnce(A) -> anyhow::Result<Helper<B>>) -> ExitCode
where
    A: Parser,
    B: Backend,
{
    ExitCode::from(run_with(std::env::args_os(), build))
}

/// The same with arguments, and the exit code as a number.
pub(crate) fn run_with<A, B>(
    arguments: impl IntoIterator<Item = OsString>,
    build: impl FnOnce(A) -> anyhow::Result<Helper<B>>,
) -> u8
where
    A: Parser,
    B: Backend,
{
    sys::close_inherited_descriptors();
    sys::ignore_signals_of_writing();
    sys::share_one_heap();
    let mut command = A::command();
    let program = command.get_name().to_owned();
    let pipe = match Pipe::new() {
        Ok(pipe) => pipe,
        // Nothing to write the byte with; for CTDB the end without a byte is an error too.
        Err(error) => return fail(&program, &format!("cannot prepare the pipe: {error:#}; is there a /dev/null?")),
    };
    let parsed = command.try_get_matches_from_mut(arguments).and_then(|found| A::from_arg_matches(&found));
    drop(command);
    let helper = match parsed.map_err(Stop::from).and_then(|args| with_grace(build(args)?).map_err(Stop::from)) {
        Ok(helper) => helper,
        Err(Stop::Help(text)) => {
            pipe.print(&text);
            return exit_code::RELEASED;
        }
        Err(Stop::Error(line)) => return refuse(&program, &pipe, &line),
    };
    match start(&program, pipe, helper) {
        Ok(code) => code,
        // Only limits of the system stand behind these.
        Err((pipe, error)) => refuse(&program, &pipe, &format!("{error:#}; see the limits of this process (prlimit)")),
    }
}

/// The helper with its timing as `--grace-milliseconds` wants it.
fn with_grace<B>(mut helper: Helper<B>) -> anyhow::Result<Helper<B>> {
    helper.timing = helper.timing.with_grace(helper.options.grace_milliseconds)?;
    Ok(helper)
}

/// An end before there is a supervisor.
enum Stop {
    Help(String),
    Error(String),
}

impl From<clap::Error> for Stop {
    fn from(error: clap::Error) -> Self {
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Self::Help(error.render().to_string()),
            _ => Self::Error(format!("{}; see --help", refusal(error, false))),
        }
    }
}

impl From<anyhow::Error> for Stop {
    fn from(error: anyhow::Error) -> Self {
        Self::Error(format!("{error:#}; see --help"))
    }
}

/// Status `3`, a line, and the exit code.
fn refuse(program: &str, pipe: &Pipe, line: &str) -> u8 {
    // CTDB sends SIGTERM as soon as it has read the byte; the line comes after that, as both may go into one pipe.
    let _ = stopping().thread_block();
    pipe.write(Status::Error);
    fail(program, line)
}

fn fail(program: &str, line: &str) -> u8 {
    stderr::say(&format!("{program}: {line}"));
    exit_code::ERROR
}

/// Forks the worker and supervises it. The pipe comes back with an error, for the byte.
fn start<B: Backend>(program: &str, pipe: Pipe, helper: Helper<B>) -> Result<u8, (Pipe, anyhow::Error)> {
    let Helper { options, object, timing, store_libraries, backend } = helper;
    let task = options.task();
    if options.verbose && !pipe.is_shared_with_stderr() {
        log_to_stderr(program);
    }
    tracing::info!("{object}: {timing}");
    let prepared = match Prepared::new() {
        Ok(Some(prepared)) if task != Task::Hold || !pipe.has_no_reader() => prepared,
        // Nobody is there to hold the lock for: take nothing.
        Ok(_) => return Ok(exit_code::RELEASED),
        Err(error) => return Err((pipe, error.context(format!("cannot start for {object}")))),
    };
    let Prepared { signals, parent, supervisor, ours, theirs, timer } = prepared;
    let supervisor_pid = std::process::id();
    sys::give_back_stack();
    let child = match sys::fork() {
        Ok(Some(child)) => child,
        Ok(None) => {
            drop((ours, signals, timer));
            pipe.forget(options.verbose);
            let (wait, acquire_timeout) = (options.wait_seconds, options.acquire_timeout());
            worker::Worker {
                task,
                object,
                timing,
                wait,
                acquire_timeout,
                supervisor_pid,
                supervisor,
                parent,
                socket: theirs,
            }
            .run(backend)
        }
        Err(error) => {
            return Err((pipe, anyhow::Error::new(error).context(format!("cannot start a worker for {object}"))));
        }
    };
    drop((theirs, supervisor));
    let opened = Pid::from_raw(child.as_raw())
        .context("the worker has no number")
        .and_then(|pid| Ok((pid, pidfd_open(pid, PidfdFlags::empty()).context("cannot watch the worker process")?)));
    let (pid, pidfd) = match opened {
        Ok(opened) => opened,
        // The worker sees our end of the socket close, and goes.
        Err(error) => return Err((pipe, error)),
    };
    let supervisor = Supervisor {
        program: program.to_owned(),
        acquire_timeout: options.acquire_timeout(),
        worker: supervisor::Worker { pid, pidfd, socket: ours },
        object,
        task,
        timing,
        store_libraries,
        pipe,
        parent,
        signals,
        timer,
    };
    Ok(supervisor.run())
}

/// The signals that mean "release and go".
fn stopping() -> SigSet {
    SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP])
}

/// All that has to be there before the fork.
struct Prepared {
    signals: SignalFd,
    parent: Option<std::os::fd::OwnedFd>,
    supervisor: std::os::fd::OwnedFd,
    ours: wire::End,
    theirs: wire::End,
    timer: Timer,
}

impl Prepared {
    /// `None` where the parent is gone already.
    fn new() -> anyhow::Result<Option<Self>> {
        let parent = match Parent::find().context("cannot watch the parent process")? {
            Parent::Watched(pidfd) => Some(pidfd),
            Parent::Unwatched => None,
            Parent::Gone => return Ok(None),
        };
        let stopping = stopping();
        stopping.thread_block().context("cannot block signals")?;
        let signals = SignalFd::with_flags(&stopping, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let (ours, theirs) = wire::pair().context("cannot make a socket pair")?;
        let supervisor = parent::own_pidfd().context("cannot open a pidfd")?;
        Ok(Some(Self { signals, parent, supervisor, ours, theirs, timer: Timer::new()? }))
    }
}

/// `-v`. Both processes write; neither waits for a reader. What libraries of the store have to say stays unsaid: it is
/// much, and nobody has looked through it for secrets.
fn log_to_stderr(program: &str) {
    let ours = [env!("CARGO_CRATE_NAME").to_owned(), program.replace('-', "_")];
    let is_ours = filter_fn(move |about| {
        let crate_name = about.target().split("::").next().unwrap_or_default();
        *about.level() <= Level::DEBUG && ours.iter().any(|name| name == crate_name)
    });
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_target(false)
        .log_internal_errors(false)
        .with_writer(|| BestEffort)
        .with_filter(is_ours);
    // Called once, before anything else could have set one.
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(lines));
}
