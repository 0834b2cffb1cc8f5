//! The process that talks to the store. It never sees CTDB's pipe, so a store that hangs it hangs nothing else.
//!
//! Two threads: the [`keeper`] calls the backend and may hang in it; the [`guard`] watches the supervisor and the
//! deadline, and never touches the store. SIGTERM, SIGINT and SIGHUP stay blocked for good: they reach the whole
//! process group, and a worker that obeyed them would release before the supervisor has closed the pipe.

mod guard;
mod keeper;
mod watch;

use std::os::fd::OwnedFd;
use std::sync::Arc;
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
        let reports = Arc::clone(&socket);
        let started = (|| {
            let (watch, orders) = Watch::new()?;
            let watch = Arc::new(watch);
            let guard = Guard {
                socket,
                supervisor: self.supervisor,
                parent: self.parent,
                watch: Arc::clone(&watch),
                linger: self.timing.linger(),
            };
            thread::Builder::new().name("guard".into()).stack_size(GUARD_STACK_BYTES).spawn(move || guard.run())?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
            Ok::<_, std::io::Error>((watch, orders, runtime))
        })();
        let (watch, orders, runtime) = match started {
            Ok(started) => started,
            Err(error) => {
                reports.send_report(&Report::Failed(format!("cannot start a worker for {}: {error}", self.object)));
                sys::exit_now(1)
            }
        };
        let identity = Identity {
            host: nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned(),
            pid: self.supervisor_pid,
            worker_pid: std::process::id(),
            since: String::new(),
        };
        runtime.block_on(async {
            let clock = match SystemClock::new() {
                Ok(clock) => clock,
                Err(error) => {
                    let text = format!("cannot set a timer for {}: {error}", self.object);
                    return reports.send_report(&Report::Failed(text));
                }
            };
            let keeper = Keeper {
                backend,
                clock,
                orders,
                object: self.object,
                timing: self.timing,
                identity,
                report: |report: Report| {
                    // The watch first: the supervisor must be killable from the moment it may believe.
                    watch.note(&report, &self.timing);
                    reports.send_report(&report);
                },
            };
            keeper.run(self.task, self.wait).await;
        });
        sys::exit_now(0)
    }
}
