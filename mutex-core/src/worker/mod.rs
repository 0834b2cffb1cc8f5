//! The process that talks to the store. It never sees CTDB's pipe, so a store that hangs it hangs nothing else.
//!
//! Two threads: the [`keeper`] calls the backend and may hang in it; the [`guard`] watches the supervisor and the
//! deadline, and never touches the store. SIGTERM, SIGINT and SIGHUP stay blocked for good: they reach the whole
//! process group, and a worker that obeyed them would release before the supervisor has closed the pipe.

mod guard;
mod keeper;
mod watch;

use std::future::{Future, poll_fn};
use std::os::fd::OwnedFd;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::{Duration, SystemTime};

use crate::backend::{Backend, Identity};
use crate::clock::SystemClock;
use crate::options::Task;
use crate::sys;
use crate::timing::Timing;
use crate::wire::{End, Report};

use guard::Guard;
use keeper::Keeper;
use watch::Watch;

/// The guard calls `poll` and little else.
const GUARD_STACK_BYTES: usize = 64 * 1024;

/// Runs a future up to its first wait.
async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}

/// What the worker inherits.
pub(crate) struct Worker {
    pub(crate) task: Task,
    pub(crate) object: String,
    pub(crate) timing: Timing,
    pub(crate) wait: Duration,
    pub(crate) acquire_timeout: Duration,
    pub(crate) supervisor_pid: u32,
    pub(crate) supervisor: OwnedFd,
    pub(crate) parent: Option<OwnedFd>,
    pub(crate) socket: End,
}

impl Worker {
    /// Does its task and ends the process: nothing of the supervisor's half of main() may run here.
    pub(crate) fn run(self, backend: impl Backend) -> ! {
        if self.timing.ends_with_the_worker() && sys::die_with_parent(self.supervisor_pid).is_err() {
            // The supervisor is gone: nothing was tried.
            sys::exit_now(0);
        }
        let reports = Arc::new(self.socket);
        // A question leaves nothing to undo.
        let linger = if self.task == Task::Hold { self.timing.linger_after_a_try() } else { Duration::ZERO };
        let started = Watch::new(linger).and_then(|(watch, receiver)| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let clock = runtime.block_on(async { SystemClock::new() })?;
            Ok((Arc::new(watch), receiver, runtime, clock))
        });
        let (watch, orders, runtime, clock) = match started {
            Ok(started) => started,
            Err(error) => {
                let text = format!("cannot start a worker for {}: {error}; see the limits of processes", self.object);
                reports.send_report(&Report::Failed(text));
                sys::exit_now(1)
            }
        };
        let keeper = Keeper {
            backend,
            clock,
            orders,
            object: self.object,
            timing: self.timing,
            try_limit: self.timing.call().min(self.acquire_timeout / 2),
            identity: Identity {
                host: nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned(),
                pid: self.supervisor_pid,
                worker_pid: std::process::id(),
                since: SystemTime::now(),
            },
            report: |report: Report| {
                // The watch first: the supervisor must be killable from the moment it may believe.
                watch.note(&report, &self.timing);
                reports.send_report(&report);
            },
        };
        let start_guard = || {
            let (socket, watch) = (Arc::clone(&reports), Arc::clone(&watch));
            let (supervisor, parent, grace) = (self.supervisor, self.parent, self.timing.grace());
            let guard = Guard { socket, supervisor, parent, watch, grace };
            let thread = thread::Builder::new().name("guard".into()).stack_size(GUARD_STACK_BYTES);
            if let Err(error) = thread.spawn(move || guard.run()) {
                // Nothing stays held unguarded: for the supervisor a lock that was taken is lost.
                reports.send_report(&Report::Lost(format!("cannot start a thread ({error}); see the limit of tasks")));
                sys::exit_now(1);
            }
        };
        runtime.block_on(async {
            let mut keeping = pin!(keeper.run(self.task, self.wait));
            if self.timing.ends_with_the_worker() {
                // The guard starts when the keeper first waits: a store that answers at once is answered for 0.1 ms
                // earlier, and the second look at a contended lock costs nothing. Until then, also while the store
                // hangs the keeper's first try, the kernel kills the worker with the supervisor. What it does not
                // see is a parent that dies while the supervisor is stopped and the try hangs: three at once.
                if poll_once(keeping.as_mut()).await.is_ready() {
                    return;
                }
                start_guard();
                sys::outlive_parent();
            } else {
                start_guard();
            }
            keeping.await;
        });
        // Not by returning: to drop the runtime would wait for a backend's blocking calls, which may never end.
        sys::exit_now(0)
    }
}
