//! How long this machine kept a thread waiting that had something to do: whether a holder that was lost had a chance.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often the thread wants to run.
const EVERY: Duration = Duration::from_millis(10);

/// A thread that notes how late it wakes.
pub(super) struct Stalls {
    over: Arc<AtomicBool>,
    worst: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Stalls {
    pub(super) fn watch() -> Self {
        let (over, worst) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (is_over, noted) = (Arc::clone(&over), Arc::clone(&worst));
        let thread = thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                let start = Instant::now();
                thread::sleep(EVERY);
                let late = start.elapsed().saturating_sub(EVERY).as_millis();
                noted.fetch_max(u64::try_from(late).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        });
        Self { over, worst, thread: Some(thread) }
    }

    /// The longest delay so far, in milliseconds.
    pub(super) fn worst(&self) -> u64 {
        self.worst.load(Ordering::Relaxed)
    }
}

impl Drop for Stalls {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
