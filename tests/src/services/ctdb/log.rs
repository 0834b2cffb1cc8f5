//! The log of a node.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::Context;

/// A place in each node's log.
pub type Mark = Vec<u64>;

/// The file that a node logs to; appended to by every ctdbd that is started on that node.
pub struct Log {
    node: usize,
    path: PathBuf,
}

/// A piece of a log.
pub struct Piece {
    /// Its complete lines.
    pub lines: Vec<Line>,
    /// The place behind the last of them.
    pub end: u64,
}

/// A line such as `2026-11-21T09:54:07.711219+00:00 n1 ctdb-recoverd[11828]: Took cluster lock, leader=0`.
pub struct Line {
    /// The node, counted from 0.
    pub node: usize,
    /// When it was logged.
    pub at: SystemTime,
    /// The process that logged it.
    pub pid: i32,
    /// What comes after that.
    pub text: String,
}

impl Line {
    /// The node's recovery daemon has got its helper's `0`.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.text.starts_with("Took cluster lock")
    }

    /// It has seen the end of its helper's pipe.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.text.starts_with("Cluster lock helper terminated")
    }

    /// It lets its helper go.
    #[must_use]
    pub fn is_released(&self) -> bool {
        self.text.starts_with("Releasing cluster lock")
    }

    /// It starts a helper to take the lock.
    #[must_use]
    pub fn is_try(&self) -> bool {
        self.text.starts_with("Attempting to take cluster lock")
    }

    /// It has heard of no leader for `leader timeout`: the start of an election period.
    #[must_use]
    pub fn is_leader_missed(&self) -> bool {
        self.text.starts_with("Leader broadcast timeout")
    }

    /// A monitor event has failed, and the node is unhealthy from now on.
    #[must_use]
    pub fn is_unhealthy(&self) -> bool {
        self.text.starts_with("Node became UNHEALTHY")
    }

    /// One has succeeded after that.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.text.starts_with("Node became HEALTHY")
    }

    /// The monitor event that was under way was ended for another event, and says nothing.
    #[must_use]
    pub fn is_monitoring_cancelled(&self) -> bool {
        self.text.starts_with("Monitoring event was cancelled")
    }

    /// `None` for what is not a log line of CTDB.
    fn parse(node: usize, line: &str) -> Option<Self> {
        let (time, rest) = line.split_once(' ')?;
        // ctdbd is started with TZ=UTC.
        let at = humantime::parse_rfc3339(&format!("{}Z", time.strip_suffix("+00:00")?)).ok()?;
        let (program, text) = rest.split_once("]: ")?;
        let (_, pid) = program.rsplit_once('[')?;
        Some(Self { node, at, pid: pid.parse().ok()?, text: text.to_owned() })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = humantime::format_rfc3339_micros(self.at);
        write!(out, "{at} node {} [{}] {}", self.node, self.pid, self.text)
    }
}

impl Log {
    pub(super) fn new(node: usize, path: PathBuf) -> Self {
        Self { node, path }
    }

    /// The place behind what has been logged so far.
    pub fn end(&self) -> anyhow::Result<u64> {
        match self.path.metadata() {
            Ok(about) => Ok(about.len()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error).with_context(|| format!("look at {}", self.path.display())),
        }
    }

    /// The complete lines after a place.
    pub fn since(&self, from: u64) -> anyhow::Result<Piece> {
        let text = match self.read(from) {
            Ok(text) => text,
            // Not started yet.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).with_context(|| format!("read {}", self.path.display())),
        };
        let complete = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
        let lines = String::from_utf8_lossy(&text[..complete]);
        let lines = lines.lines().filter_map(|line| Line::parse(self.node, line)).collect();
        Ok(Piece { lines, end: from + u64::try_from(complete)? })
    }

    /// Its last lines, for the message of a failure.
    #[must_use]
    pub fn tail(&self) -> String {
        let text = self.read(0).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].iter().map(|line| format!("  {line}\n")).collect()
    }

    fn read(&self, from: u64) -> std::io::Result<Vec<u8>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(from))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        Ok(text)
    }
}
