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

/// What the worker inherits.
pub(crate) struct Worker {
    pub(crate) task: Task,
    pub(crate) object: String,
    pub(crate) timing: Timing,
    pub(crate) wait: std::time::Duration,
    pub(crate) supervisor_pid: u32,
    pub(crate) supervisor: OwnedFd,
    pub(crate) parent: Option<OwnedFd>,
    pub(crate) socket: End,
}

impl Worker {
    /// Does its task and ends the process: nothing of the supervisor's half of main() may run here.
    pub(crate) fn run(self, backend: impl Backend) -> ! {
        let socket = Arc::new(self.socket);
        let started = Watch::new().and_then(|watch| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
            let clock = runtime.block_on(async { SystemClock::new() })?;
            Ok((watch, runtime, clock))
        });
        let ((watch, orders), runtime, clock) = match started {
            Ok(started) => started,
            Err(error) => {
                socket.send_report(&Report::Failed(format!("cannot start a worker for {}: {error}", self.object)));
                sys::exit_now(1)
            }
        };
        let watch = Arc::new(watch);
        let guard = Guard {
            socket: Arc::clone(&socket),
            supervisor: self.supervisor,
            parent: self.parent,
            watch: Arc::clone(&watch),
            linger: self.timing.linger(),
        };
        let keeper = Keeper {
            backend,
            clock,
            orders,
            object: self.object,
            timing: self.timing,
            identity: Identity {
                host: nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned(),
                pid: self.supervisor_pid,
                worker_pid: std::process::id(),
                since: String::new(),
            },
            report: |report: Report| {
                // The watch first: the supervisor must be killable from the moment it may believe.
                watch.note(&report, &self.timing);
                socket.send_report(&report);
            },
        };
        runtime.block_on(async {
            let mut keeping = pin!(keeper.run(self.task, self.wait));
            // The guard starts when the keeper first waits, which spares a store that answers at once the time of
            // starting a thread. A store that hangs the keeper before leaves nothing to guard: no lock is held, and
            // the supervisor ends the try.
            if poll_once(keeping.as_mut()).await.is_pending() {
                let started = thread::Builder::new().name("guard".into()).stack_size(GUARD_STACK_BYTES);
                if started.spawn(move || guard.run()).is_err() {
                    // Unguarded nothing is held: the supervisor sees the worker end, and closes the pipe.
                    sys::exit_now(1);
                }
                keeping.await;
            }
        });
        sys::exit_now(0)
    }
}

/// Runs a future up to its first wait.
async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}
