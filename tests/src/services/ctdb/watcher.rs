//! Who believes to have the cluster lock, at every moment of a cluster's life.
//!
//! A recovery daemon believes from the moment at which it logs `Took cluster lock` until it logs that the helper
//! has ended or is let go, or until it dies, of which it logs nothing: so the log is read and the process watched.
//! Two tenures that overlap are a split brain.

use std::fmt;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};

use super::log::{Line, Log};
use super::node::Node;
use crate::process::Process;

/// A death is seen this much late. Successors of the dead come seconds after them.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A thread that looks until this value ends.
pub struct Watcher {
    seen: Arc<Mutex<Seen>>,
    /// Its end is the sign for the thread to end.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What has been seen.
#[derive(Default)]
struct Seen {
    looks: u64,
    tenures: Vec<Tenure>,
    trouble: Vec<String>,
}

/// A time in which a node believed to have the lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Belief {
    /// Which node, counted from 0.
    pub node: usize,
    /// When its helper's `0` was read.
    pub from: SystemTime,
    /// When it heard of the loss, let go or died; `None`: it still believes.
    pub to: Option<SystemTime>,
}

/// One recovery daemon's belief.
struct Tenure {
    node: usize,
    pid: i32,
    /// `None`: it had died before it could be looked at.
    process: Option<Process>,
    from: SystemTime,
    to: Option<SystemTime>,
}

/// A summary for people.
pub struct Summary {
    /// Looks taken.
    pub looks: u64,
    /// Times that a node had the lock.
    pub tenures: usize,
}

impl Watcher {
    pub(super) fn start(nodes: &[Node]) -> anyhow::Result<Self> {
        let mut logs: Vec<(Log, u64)> = nodes.iter().map(|node| (node.another_log(), 0)).collect();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let for_thread = Arc::clone(&seen);
        let (stop, stopped) = channel();
        let look_on = move || {
            while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                for_thread.lock().unwrap_or_else(PoisonError::into_inner).look(&mut logs);
            }
        };
        let thread = std::thread::Builder::new().name("watcher".to_owned()).spawn(look_on).context("start a thread")?;
        Ok(Self { seen, stop: Some(stop), thread: Some(thread) })
    }

    /// Every moment at which two had the lock, and everything that kept the watcher from looking.
    #[must_use]
    pub fn clashes(&self) -> Vec<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clashes()
    }

    /// Forgets the tenures that are over, where two had the lock for no longer than this; says for how long they had. For
    /// a store that tells the old holder of its loss later than it gives the lock to a new one.
    pub fn excuse(&self, bearable: Duration) -> anyhow::Result<Duration> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let longest = seen.longest_overlap(SystemTime::now());
        ensure!(
            longest <= bearable,
            "two had the lock for {longest:?}, not {bearable:?}: {}",
            seen.clashes().join("\n")
        );
        seen.tenures.retain(|tenure| tenure.to.is_none());
        Ok(longest)
    }

    /// Every belief that has been seen, in the order in which they began as far as each node goes.
    #[must_use]
    pub fn beliefs(&self) -> Vec<Belief> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.tenures.iter().map(|&Tenure { node, from, to, .. }| Belief { node, from, to }).collect()
    }

    /// How much has been seen.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        Summary { looks: seen.looks, tenures: seen.tenures.len() }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Seen {
    fn look(&mut self, logs: &mut [(Log, u64)]) {
        self.looks += 1;
        for (log, read_to) in logs {
            match log.since(*read_to) {
                Ok(piece) => {
                    *read_to = piece.end;
                    piece.lines.iter().for_each(|line| self.note(line));
                }
                Err(error) => self.trouble.push(format!("{error:#}")),
            }
        }
        for tenure in self.tenures.iter_mut().filter(|tenure| tenure.to.is_none()) {
            if tenure.process.as_ref().is_none_or(Process::is_gone) {
                tenure.end(SystemTime::now());
            }
        }
    }

    fn note(&mut self, line: &Line) {
        if line.is_taken() {
            let process = Process::open(line.pid).ok();
            self.tenures.push(Tenure { node: line.node, pid: line.pid, process, from: line.at, to: None });
        } else if line.is_lost() || line.is_released() {
            // Its last words can be read after its death has been seen.
            if let Some(tenure) = self.tenures.iter_mut().rfind(|tenure| tenure.is_of(line)) {
                tenure.end(line.at);
            }
        }
    }

    fn clashes(&self) -> Vec<String> {
        let mut clashes = self.trouble.clone();
        for (index, one) in self.tenures.iter().enumerate() {
            let others = self.tenures[..index].iter().filter(|other| one.overlaps(other));
            clashes.extend(others.map(|other| format!("both had the lock: {other}; {one}")));
        }
        clashes
    }

    fn longest_overlap(&self, now: SystemTime) -> Duration {
        let pairs = self.tenures.iter().enumerate().flat_map(|(index, one)| {
            let overlap = |other| one.overlap(other, now);
            self.tenures[..index].iter().map(overlap)
        });
        pairs.max().unwrap_or_default()
    }
}

impl Tenure {
    fn is_of(&self, line: &Line) -> bool {
        self.node == line.node && self.pid == line.pid
    }

    fn end(&mut self, at: SystemTime) {
        self.to = Some(self.to.map_or(at, |to| to.min(at)));
    }

    fn overlaps(&self, other: &Self) -> bool {
        let starts_before_end = |one: &Self, two: &Self| two.to.is_none_or(|to| one.from < to);
        starts_before_end(self, other) && starts_before_end(other, self)
    }

    fn overlap(&self, other: &Self, now: SystemTime) -> Duration {
        let end = self.to.unwrap_or(now).min(other.to.unwrap_or(now));
        end.duration_since(self.from.max(other.from)).unwrap_or_default()
    }
}

impl fmt::Display for Tenure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "node {} (process {}) from {}", self.node, self.pid, humantime::format_rfc3339_micros(self.from))?;
        match self.to {
            Some(to) => write!(out, " to {}", humantime::format_rfc3339_micros(to)),
            None => write!(out, " to now"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Seen, Tenure};
    use std::time::{Duration, SystemTime};

    fn tenure(node: usize, from: u64, to: Option<u64>) -> Tenure {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        Tenure { node, pid: 1, process: None, from: at(from), to: to.map(at) }
    }

    fn clashes(tenures: Vec<Tenure>) -> usize {
        Seen { tenures, ..Seen::default() }.clashes().len()
    }

    #[test]
    fn tenures_one_after_the_other_do_not_clash() {
        assert_eq!(clashes(vec![tenure(0, 1, Some(2)), tenure(1, 2, Some(3)), tenure(0, 4, None)]), 0);
    }

    #[test]
    fn the_longest_overlap_counts() {
        let longest = |tenures| {
            Seen { tenures, ..Seen::default() }.longest_overlap(SystemTime::UNIX_EPOCH + Duration::from_secs(9))
        };
        assert_eq!(longest(vec![tenure(0, 1, Some(2)), tenure(1, 2, None)]), Duration::ZERO);
        assert_eq!(
            longest(vec![tenure(0, 1, Some(5)), tenure(1, 2, None), tenure(2, 5, None)]),
            Duration::from_secs(4)
        );
    }

    #[test]
    fn tenures_that_overlap_clash() {
        assert_eq!(clashes(vec![tenure(0, 1, Some(3)), tenure(1, 2, None)]), 1);
        assert_eq!(clashes(vec![tenure(0, 1, None), tenure(1, 2, None), tenure(2, 5, Some(6))]), 3);
    }
}
