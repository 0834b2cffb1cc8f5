//! The process that CTDB started: sole owner of the pipe, one thread, one `poll` loop, no file access.
//!
//! A process in an uninterruptible call cannot be relied on to die, and its descriptors stay open; so this one never
//! makes one. It watches everything that can end the holding of the lock, and for every cause the order is the
//! same: close the pipe, ask the worker to release, wait, log, exit. Releasing first would be theft: a SIGTERM may
//! come from systemd or an admin, while CTDB still believes.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::SigSet;
use nix::sys::signalfd::SignalFd;
use rustix::process::{Pid, Signal, WaitOptions, pidfd_send_signal, waitpid};

use crate::cause::{self, Cause};
use crate::clock::{BootTime, Timer};
use crate::options::Task;
use crate::pipe::{Pipe, Written};
use crate::status::Status;
use crate::stderr;
use crate::sys;
use crate::timing::Timing;
use crate::wire::{End, Order, Received, Report};

/// How long the worker's end may take, of the 1 s that P4 allows; the rest is for the line, and for scheduling.
const WAIT_FOR_WORKER: Duration = Duration::from_millis(700);

/// From the end of the worker's socket to its exit code, a matter of microseconds.
const REAP: Duration = Duration::from_millis(100);

/// The worker as the supervisor sees it.
pub(crate) struct Worker {
    pub(crate) pid: Pid,
    pub(crate) pidfd: OwnedFd,
    pub(crate) socket: End,
}

pub(crate) struct Supervisor {
    pub(crate) program: String,
    pub(crate) object: String,
    pub(crate) task: Task,
    pub(crate) acquire_timeout: Duration,
    pub(crate) timing: Timing,
    pub(crate) store_libraries: &'static [&'static str],
    pub(crate) pipe: Pipe,
    pub(crate) parent: Option<OwnedFd>,
    pub(crate) signals: SignalFd,
    pub(crate) worker: Worker,
    pub(crate) timer: Timer,
}

/// How far the try has come.
enum Phase {
    /// No answer yet; given up at this time.
    Trying { give_up: BootTime, trouble: Option<String> },
    /// The worker has the lock until then, and CTDB does not know yet.
    Taken { until: Option<BootTime> },
    /// CTDB was told.
    Held { until: Option<BootTime>, trouble: Option<String> },
}

impl Phase {
    /// When to stop if nothing is heard before.
    fn alarm(&self) -> Option<BootTime> {
        match self {
            Self::Trying { give_up, .. } => Some(*give_up),
            Self::Taken { until } | Self::Held { until, .. } => *until,
        }
    }
}

impl Supervisor {
    /// Watches until there is a cause to stop, then stops. Returns the exit code.
    pub(crate) fn run(self) -> u8 {
        let mut phase = Phase::Trying { give_up: BootTime::now() + self.acquire_timeout, trouble: None };
        let cause = loop {
            match self.turn(&mut phase) {
                Ok(None) => {}
                Ok(Some(cause)) => break cause,
                Err(error) => break Cause::Failed(format!("cannot watch over {}: {error}", self.object)),
            }
        };
        let cause = if matches!(self.task, Task::Break { .. }) { cause.of_a_break(&self.object) } else { cause };
        self.stop(cause, matches!(phase, Phase::Held { .. }))
    }

    /// One wait and what came of it.
    fn turn(&self, phase: &mut Phase) -> io::Result<Option<Cause>> {
        self.timer.set(phase.alarm())?;
        let byte_is_due = matches!(phase, Phase::Taken { .. });
        // Room for the byte is waited for together with everything that would forbid writing it, so that whatever
        // happened before the byte is looked at before the byte.
        let pipe_events = if byte_is_due { PollFlags::POLLOUT } else { PollFlags::empty() };
        let mut fds = vec![
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.pipe.fd(), pipe_events),
            PollFd::new(self.worker.socket.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.worker.pidfd.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.timer.as_fd(), PollFlags::POLLIN),
        ];
        fds.extend(self.parent.as_ref().map(|parent| PollFd::new(parent.as_fd(), PollFlags::POLLIN)));
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) => {}
            Err(nix::errno::Errno::EINTR) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let seen: Vec<PollFlags> = fds.iter().map(|fd| fd.revents().unwrap_or(PollFlags::empty())).collect();
        let [signal, pipe, socket, pidfd, _timer, parent @ ..] = seen.as_slice() else { return Ok(None) };

        if !signal.is_empty() {
            return Ok(Some(Cause::Signal));
        }
        if parent.iter().any(|parent| !parent.is_empty()) {
            return Ok(Some(Cause::ParentGone));
        }
        if pipe.intersects(PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL) {
            return Ok(Some(Cause::ReaderGone));
        }
        // The socket before the worker's death: what it said last counts.
        if !socket.is_empty() || !pidfd.is_empty() {
            if let Some(cause) = self.hear(phase) {
                return Ok(Some(cause));
            }
        }
        if !pidfd.is_empty() {
            return Ok(Some(Cause::WorkerGone));
        }
        // The clock, not the timer's descriptor: what was heard may have moved the alarm either way.
        if phase.alarm().is_some_and(|alarm| BootTime::now() >= alarm) {
            return Ok(Some(match phase {
                Phase::Trying { trouble, .. } => Cause::TimedOut(trouble.take()),
                Phase::Held { trouble, .. } => Cause::Expired(trouble.take()),
                Phase::Taken { .. } => Cause::Expired(None),
            }));
        }
        Ok(if pipe.contains(PollFlags::POLLOUT) { self.tell_ctdb(phase) } else { None })
    }

    /// Reads all that the worker has said.
    fn hear(&self, phase: &mut Phase) -> Option<Cause> {
        loop {
            let report = match self.worker.socket.receive_report() {
                Received::Message(report) => report,
                Received::Empty => return None,
                Received::Closed => return Some(Cause::WorkerGone),
            };
            tracing::debug!(?report, "worker");
            match (report, &mut *phase) {
                (Report::Held(until), _) => *phase = Phase::Taken { until },
                (Report::Renewed(renewed), Phase::Taken { until }) => *until = renewed,
                (Report::Renewed(until), Phase::Held { .. }) => *phase = Phase::Held { until, trouble: None },
                (Report::Waiting, Phase::Trying { give_up, .. }) => *give_up = BootTime::now() + self.acquire_timeout,
                (Report::Retrying(text), Phase::Trying { trouble, .. } | Phase::Held { trouble, .. }) => {
                    *trouble = Some(text);
                }
                (Report::Contended, _) => return Some(Cause::Contended),
                (Report::Lost(why), _) => return Some(Cause::Lost(why)),
                (Report::Failed(text), _) => return Some(Cause::Failed(text)),
                (Report::Answer(text), _) => return Some(Cause::Answered(text)),
                (Report::NotHeld(text), _) => return Some(Cause::NotHeld(text)),
                // Nothing else can arrive in these phases, or matters there.
                (Report::Renewed(_) | Report::Waiting | Report::Retrying(_) | Report::Releasing, _) => {}
            }
        }
    }

    fn tell_ctdb(&self, phase: &mut Phase) -> Option<Cause> {
        let Phase::Taken { until } = *phase else { return None };
        match self.pipe.write(Status::Held) {
            Written::Full => return None,
            Written::NoReader => return Some(Cause::ReaderGone),
            Written::Done => {}
        }
        self.worker.socket.send_order(Order::ByteWritten);
        *phase = Phase::Held { until, trouble: None };
        sys::give_back_libraries(self.store_libraries);
        self.tell_person("holding the lock; Ctrl-C releases it");
        None
    }

    /// The one order of stopping, for every cause.
    fn stop(self, cause: Cause, held: bool) -> u8 {
        if !held && self.task == Task::Hold {
            if let Some(status) = cause.status() {
                // Full or without a reader: the end of the pipe says enough.
                self.pipe.write(status);
            }
        }
        if let Cause::Answered(text) | Cause::NotHeld(text) = &cause {
            // Nothing is held, and whoever reads may be slow: from here on a signal simply ends us.
            let _ = SigSet::all().thread_unblock();
            self.pipe.print(text);
        }
        if !held {
            // Nobody believes in the lock: `2>&1` may still see the line.
            self.say_why(&cause, held);
        }
        let grace = if held { self.timing.grace() } else { Duration::ZERO };
        if !grace.is_zero() {
            // Those that came before the end of the pipe ask for that alone.
            self.forget_signals();
        }
        self.pipe.close();
        if !grace.is_zero() {
            self.worker.socket.send_order(Order::ReleaseLater);
            self.wait_for_grace(grace);
        }
        self.worker.socket.send_order(Order::Release);
        self.end_worker();
        if held {
            self.say_why(&cause, held);
        }
        match cause {
            Cause::Contended => self.tell_person("another holds the lock; --status says who"),
            Cause::Signal if held => self.tell_person("released"),
            _ => {}
        }
        cause.exit_code(held)
    }

    /// Waits for the worker to end, for what is left of the second that stopping may take, and kills it then where
    /// that is right.
    fn end_worker(&self) {
        if self.worker_ended_within(WAIT_FOR_WORKER) {
            return;
        }
        let mut lives = false;
        while let Received::Message(report) = self.worker.socket.receive_report() {
            lives |= report == Report::Releasing;
        }
        if must_be_killed(&self.timing, lives) {
            let _ = pidfd_send_signal(&self.worker.pidfd, Signal::KILL);
        }
    }

    /// Lets the reader end what it has to, until it says that it has: by a signal. Whoever else closed the pipe or is gone
    /// need not be who has something to end.
    fn wait_for_grace(&self, grace: Duration) {
        any_ready_within(&[self.worker.pidfd.as_fd(), self.signals.as_fd()], grace);
    }

    fn forget_signals(&self) {
        while let Ok(Some(_)) = self.signals.read_signal() {}
    }

    fn worker_ended_within(&self, time: Duration) -> bool {
        any_ready_within(&[self.worker.pidfd.as_fd()], time)
    }

    /// The line for the log, if there is one.
    fn say_why(&self, cause: &Cause, held: bool) {
        let next = self.timing.after_a_loss();
        let line = match cause {
            Cause::WorkerGone => Some(cause::worker_gone(&self.object, held, &self.how_the_worker_ended(), next)),
            _ => cause.line(&self.object, held, next),
        };
        if let Some(line) = line {
            stderr::say(&format!("{}: {line}", self.program));
        }
    }

    fn how_the_worker_ended(&self) -> String {
        self.worker_ended_within(REAP);
        match waitpid(Some(self.worker.pid), WaitOptions::NOHANG) {
            Ok(Some((_, status))) => match (status.terminating_signal(), status.exit_status()) {
                (Some(signal), _) => format!("was ended by signal {signal}"),
                (_, Some(code)) => format!("exited with code {code}"),
                _ => "ended".to_owned(),
            },
            _ => "ended".to_owned(),
        }
    }

    /// Words beside the byte, for somebody who tries the helper in a terminal.
    fn tell_person(&self, words: &str) {
        if self.task == Task::Hold && stderr::is_terminal() {
            stderr::mention(&format!("{}: {}: {words}", self.program, self.object));
        }
    }
}

/// Whether one of these becomes readable within this time.
fn any_ready_within(descriptors: &[BorrowedFd<'_>], time: Duration) -> bool {
    let limit = BootTime::now() + time;
    let mut fds: Vec<PollFd<'_>> = descriptors.iter().map(|&fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
    loop {
        let left = limit.since(BootTime::now());
        // Rounded up: a grace may be longer, not shorter.
        let timeout = PollTimeout::try_from(left.as_micros().div_ceil(1000)).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, timeout) {
            Err(nix::errno::Errno::EINTR) if !left.is_zero() => {}
            outcome => return outcome.is_ok_and(|ready| ready > 0),
        }
    }
}

/// Whether a worker that has not ended in time is killed; `lives`: it has read the order to release.
///
/// A file's lock is held by its process alone. Every other worker lingers by itself, to undo what the store may still
/// apply, unless it did not read the order: then it is stopped, and its lease has to end without it.
fn must_be_killed(timing: &Timing, lives: bool) -> bool {
    timing.ends_with_the_worker() || (timing.ends_without_the_worker() && !lives)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_with_a_lease_lingers_unless_it_is_stopped() {
        let lease = Timing::lease(Duration::from_secs(9), Duration::ZERO).unwrap();
        let file = Timing::proof(Duration::from_secs(5), Duration::from_secs(10)).unwrap();
        assert!(!must_be_killed(&lease, true));
        assert!(must_be_killed(&lease, false));
        assert!(must_be_killed(&file, true));
        let forever = Timing::without_expiry(Duration::from_secs(9), Duration::from_millis(500)).unwrap();
        assert!(!must_be_killed(&forever, false));
    }
}
