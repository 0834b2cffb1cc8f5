//! What the rules stand on: helpers started, the time that passes meanwhile, the store frozen and the lock broken.
//!
//! Every wait here also waits for the signals that end this program, and shows on a terminal that it waits.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{pipe2, write};
use rustix::process::Signal;

use super::process::{Family, child_of};
use super::report::Progress;
use super::rule::Stop;
use super::subject::Subject;
use super::{parent, shell};
use crate::helper::{Helper, Signals};
use crate::lock::Lock;
use crate::sys::own_session;

/// CTDB's patience with a probe.
pub(super) const PROBE: Duration = Duration::from_secs(5);
/// What a machine that is busy adds to a time that is promised.
pub(super) const NOISE: Duration = Duration::from_millis(250);
/// A process that has to go has a second for it.
pub(super) const SECOND: Duration = Duration::from_secs(1).saturating_add(NOISE);
/// No waiting for anything outside the process.
pub(super) const AT_ONCE: Duration = Duration::from_millis(500);
/// What a store may take beyond a lease to notice that it has run out, and then to give the lock.
pub(super) const STORE: Duration = Duration::from_secs(2);
/// Between two looks, and two signs of life on a terminal.
pub(super) const TICK: Duration = Duration::from_millis(250);
/// Between two tries for a lock that is held.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a process that was killed may take to go: where it hangs in a store, it is there until that is mended.
const KILLED: Duration = Duration::from_secs(5);

/// The bench.
pub(super) struct Bench {
    lock: Lock,
    lease: Duration,
    signals: Signals,
    progress: Progress,
    freeze: Option<String>,
    thaw: Option<String>,
    take_away: Option<String>,
    /// Another helper on the same lock.
    other: Option<Lock>,
    /// The families of the helpers that were started since the last sweep.
    families: RefCell<Vec<Family>>,
    frozen: Cell<bool>,
}

/// What the operator has given.
pub(super) struct Given {
    pub(super) lock: Lock,
    pub(super) lease: Duration,
    pub(super) freeze: Option<String>,
    pub(super) thaw: Option<String>,
    pub(super) take_away: Option<String>,
    pub(super) other: Option<Lock>,
}

impl Bench {
    /// One without a helper yet. From here on signals do not end this program by themselves.
    pub(super) fn new(given: Given, progress: Progress) -> anyhow::Result<Self> {
        let Given { lock, lease, freeze, thaw, take_away, other } = given;
        let (signals, families, frozen) = (Signals::block()?, RefCell::default(), Cell::new(false));
        Ok(Self { lock, lease, signals, progress, freeze, thaw, take_away, other, families, frozen })
    }

    /// How long the store keeps the lock of a holder that is gone, and the time within which CTDB must know of a loss.
    pub(super) fn lease(&self) -> Duration {
        self.lease
    }

    /// A lock that nobody renews is free by then.
    pub(super) fn lease_over(&self) -> Duration {
        self.lease + STORE
    }

    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    pub(super) fn signals(&self) -> &Signals {
        &self.signals
    }

    pub(super) fn can_freeze(&self) -> bool {
        self.freeze.is_some()
    }

    pub(super) fn can_break(&self) -> bool {
        self.take_away.is_some()
    }

    pub(super) fn has_other(&self) -> bool {
        self.other.is_some()
    }

    /// The helper started.
    pub(super) fn start(&self) -> Result<Subject<'_>, Stop> {
        self.subject(self.command(self.lock.arguments()), None)
    }

    /// The helper of --with started.
    pub(super) fn start_other(&self) -> Result<Subject<'_>, Stop> {
        let other = self.other.as_ref().context("no --with")?;
        let mut command = Command::new(other.program());
        own_session(command.args(other.arguments()));
        self.subject(command, None)
    }

    /// The helper started with another descriptor of the pipe's writing end, by a shell that becomes it.
    pub(super) fn start_with_another_writer(&self) -> Result<Subject<'_>, Stop> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", r#"exec "$0" "$@" 9>&1"#]).arg(self.lock.program()).args(self.lock.arguments());
        own_session(&mut command);
        self.subject(command, None)
    }

    /// The helper started with its standard error there.
    pub(super) fn start_with_stderr(&self, stderr: OwnedFd) -> Result<Subject<'_>, Stop> {
        self.subject(self.command(self.lock.arguments()), Some(stderr))
    }

    /// The helper started without any argument.
    pub(super) fn start_bare(&self, stderr: Option<OwnedFd>) -> Result<Subject<'_>, Stop> {
        self.subject(self.command(&[]), stderr)
    }

    /// The helper started by a parent that can be killed, which is what the started process then is.
    pub(super) fn start_under_parent(&self) -> Result<Subject<'_>, Stop> {
        let (helper, mut family) = self.start_parent(parent::command(&self.lock))?;
        let pid = self.child(&mut family)?.context("the helper did not start")?;
        self.families.borrow_mut().extend([family, Family::of(pid)?]);
        Ok(Subject::new(self, helper, pid)?)
    }

    /// The same below a parent that is process 1 of a PID namespace; skipped where none can be made.
    pub(super) fn start_under_first(&self) -> Result<Subject<'_>, Stop> {
        let (helper, mut family) = self.start_parent(parent::first_command(&self.lock))?;
        let Some(first) = self.child(&mut family)? else {
            return Err(Stop::Skip("needs a PID namespace, which root can make".to_owned()));
        };
        self.families.borrow_mut().push(family);
        let mut family = Family::of(first)?;
        let pid = self.child(&mut family)?.context("the helper did not start")?;
        self.families.borrow_mut().push(Family::of(pid)?);
        Ok(Subject::new(self, helper, pid)?)
    }

    fn start_parent(&self, mut command: Command) -> Result<(Helper, Family), Stop> {
        own_session(&mut command);
        let helper = Helper::start_command(command, None)?;
        let family = Family::of(helper.pid())?;
        Ok((helper, family))
    }

    /// The child of the first of a family, as soon as it has one; `None` where it goes without.
    fn child(&self, family: &mut Family) -> Result<Option<u32>, Stop> {
        let mut child = None;
        self.wait_until(PROBE, || {
            child = child_of(family.first());
            child.is_some() || family.left().is_empty()
        })?;
        Ok(child)
    }

    fn command(&self, arguments: &[String]) -> Command {
        let mut command = Command::new(self.lock.program());
        own_session(command.args(arguments));
        command
    }

    fn subject(&self, command: Command, stderr: Option<OwnedFd>) -> Result<Subject<'_>, Stop> {
        let helper = Helper::start_command(command, stderr)?;
        let pid = helper.pid();
        self.families.borrow_mut().push(Family::of(pid)?);
        Ok(Subject::new(self, helper, pid)?)
    }

    /// A helper that has answered `0`; one that was contended is followed by the next for as long as a lease lasts.
    pub(super) fn take(&self) -> Result<Subject<'_>, Stop> {
        self.take_within(self.lease_over(), Self::start)
    }

    /// The same below a parent that can be killed.
    pub(super) fn take_under_parent(&self) -> Result<Subject<'_>, Stop> {
        self.take_within(self.lease_over(), Self::start_under_parent)
    }

    /// The same below process 1 of a PID namespace.
    pub(super) fn take_under_first(&self) -> Result<Subject<'_>, Stop> {
        self.take_within(self.lease_over(), Self::start_under_first)
    }

    /// The same with a limit and a way to start it; the last try may begin as late as the limit.
    pub(super) fn take_within<'a>(
        &'a self,
        limit: Duration,
        start: impl Fn(&'a Self) -> Result<Subject<'a>, Stop>,
    ) -> Result<Subject<'a>, Stop> {
        let begun = Instant::now();
        loop {
            let last = begun.elapsed() > limit;
            let mut taker = start(self)?;
            let answer = taker.answer(PROBE)?;
            if answer == Some(b'0') {
                return Ok(taker);
            }
            taker.dismiss()?;
            if answer != Some(b'1') {
                return Err(taker.broken(&format!("a taker was answered {}", taker.answered())));
            }
            if last {
                return Err(Stop::Broken(format!("the lock was not free {:.1} s later", limit.as_secs_f32())));
            }
            self.pause(PAUSE)?;
        }
    }

    /// The lock can be taken within this time, and is given back. Says how long it took to become free.
    pub(super) fn ensure_free(&self, limit: Duration) -> Result<Duration, Stop> {
        let begun = Instant::now();
        let mut taker = self.take_within(limit, Self::start)?;
        let took = taker.started().duration_since(begun);
        taker.dismiss()?;
        Ok(took)
    }

    /// Freezes the store until the returned value ends.
    pub(super) fn freeze(&self) -> Result<Frozen<'_>, Stop> {
        let text = self.freeze.as_deref().context("no --freeze")?;
        // Before it is done: half a freeze needs a thaw too.
        self.frozen.set(true);
        let frozen = Frozen { bench: self };
        self.shell("--freeze", text)?;
        Ok(frozen)
    }

    /// Takes the lock away from its holder.
    pub(super) fn break_lock(&self) -> Result<(), Stop> {
        self.shell("--break", self.take_away.as_deref().context("no --break")?)
    }

    fn shell(&self, option: &str, text: &str) -> Result<(), Stop> {
        let done = shell::run(option, text, Some(&self.signals));
        self.ensure_not_told()?;
        Ok(done?)
    }

    fn thaw(&self) -> anyhow::Result<()> {
        if !self.frozen.replace(false) {
            return Ok(());
        }
        // Whatever this program was told: a store is not left frozen.
        shell::run("--thaw", self.thaw.as_deref().unwrap_or_default(), None)
    }

    /// Waits.
    pub(super) fn pause(&self, time: Duration) -> Result<(), Stop> {
        self.wait_readable(None::<&OwnedFd>, time).map(drop)
    }

    /// Waits until this can be read, which a pidfd is once its process is gone; `false` after the limit.
    pub(super) fn wait_readable(&self, fd: Option<&impl AsFd>, limit: Duration) -> Result<bool, Stop> {
        let deadline = Instant::now() + limit;
        loop {
            self.ensure_not_told()?;
            let left = deadline.saturating_duration_since(Instant::now());
            let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
            fds.extend(fd.map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)));
            // Rounded up: a poll of nothing is a busy loop.
            let slice = left.min(TICK) + Duration::from_micros(999);
            match poll(&mut fds, PollTimeout::try_from(slice).unwrap_or(PollTimeout::MAX)) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(io::Error::from(error).into()),
            }
            if fds.get(1).and_then(PollFd::any) == Some(true) {
                return Ok(true);
            }
            if left.is_zero() {
                return Ok(false);
            }
            self.progress.tick();
        }
    }

    /// Looks again and again; `false` after the limit.
    pub(super) fn wait_until(&self, limit: Duration, mut condition: impl FnMut() -> bool) -> Result<bool, Stop> {
        let deadline = Instant::now() + limit;
        while !condition() {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            self.pause(Duration::from_millis(5))?;
        }
        Ok(true)
    }

    /// An error once this program was told to end.
    pub(super) fn ensure_not_told(&self) -> Result<(), Stop> {
        self.signals.next().map_or(Ok(()), |signal| Err(Stop::Told(signal)))
    }

    /// What is done with the processes of a helper.
    pub(super) fn with_family<T>(&self, first: u32, deed: impl FnOnce(&mut Family) -> T) -> Option<T> {
        let mut families = self.families.borrow_mut();
        let family = families.iter_mut().find(|family| family.first() == first)?;
        family.look();
        Some(deed(family))
    }

    /// Ends every process of every helper that was started: asked first, as CTDB asks, and killed after a second. Says
    /// whom it had to kill.
    pub(super) fn sweep(&self) -> Vec<u32> {
        let mut families = self.families.take();
        for family in &mut families {
            family.look();
            for member in family.members() {
                member.signal(Signal::CONT);
                if member.pid() == family.first() {
                    member.signal(Signal::TERM);
                }
            }
        }
        let all_gone = |families: &mut Vec<Family>, limit: Duration| {
            let deadline = Instant::now() + limit;
            loop {
                families.iter_mut().for_each(Family::look);
                reap();
                if families.iter().all(|family| family.left().is_empty()) || Instant::now() >= deadline {
                    return;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        all_gone(&mut families, SECOND);
        let mut killed: Vec<u32> = families.iter().flat_map(Family::left).map(|process| process.pid()).collect();
        killed.sort_unstable();
        families.iter().flat_map(Family::left).for_each(|process| process.signal(Signal::KILL));
        if !killed.is_empty() {
            all_gone(&mut families, KILLED);
        }
        killed
    }
}

/// The store is frozen for as long as this lives.
#[must_use = "the store is thawed when this value ends"]
pub(super) struct Frozen<'a> {
    bench: &'a Bench,
}

impl Frozen<'_> {
    /// Thaws it.
    pub(super) fn thaw(self) -> Result<(), Stop> {
        let done = self.bench.thaw();
        self.bench.ensure_not_told()?;
        Ok(done?)
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.bench.thaw() {
            crate::say::error(&error.context("the store may still be frozen"));
        }
    }
}

/// Takes note of children that have ended.
fn reap() {
    while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        if status == WaitStatus::StillAlive {
            return;
        }
    }
}

/// A pipe that takes not one byte more, and its reader.
pub(super) fn full_pipe() -> Result<(OwnedFd, OwnedFd), Stop> {
    let made = || -> io::Result<_> {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
        fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        // A pipe is full in pages before it is in bytes.
        for size in [4096, 1] {
            while write(&writer, &vec![b'x'; size]).is_ok() {}
        }
        // The flag is the description's, so the helper's too: its writes must block.
        fcntl(&writer, FcntlArg::F_SETFL(OFlag::empty()))?;
        Ok((reader, writer))
    };
    Ok(made()?)
}

/// Nowhere.
pub(super) fn nowhere() -> Result<OwnedFd, Stop> {
    Ok(File::options().write(true).open("/dev/null")?.into())
}
