//! What happened, and when: the words of the parents and of the campaign, and all that the checker sees.
//!
//! One clock, `CLOCK_BOOTTIME`, which all processes of a machine share. A parent stamps its own words, so it does not
//! matter when they are read. Stamps are taken so that nobody is said to believe who does not: a belief begins after `0`
//! was read, and ends before SIGTERM is sent.

use std::fmt;
use std::time::Duration;

use anyhow::Context;
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// A point of `CLOCK_BOOTTIME`, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(pub u64);

impl Moment {
    /// The present.
    ///
    /// # Errors
    /// Where there is no such clock.
    pub fn now() -> anyhow::Result<Self> {
        let time = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME).context("read CLOCK_BOOTTIME")?);
        Ok(Self(nanos(time)))
    }

    /// The time since `earlier`; zero where that is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for Moment {
    type Output = Self;
    fn add(self, time: Duration) -> Self {
        Self(self.0.saturating_add(nanos(time)))
    }
}

impl std::ops::Sub<Duration> for Moment {
    type Output = Self;
    fn sub(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(time)))
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Moment,
    /// What.
    pub what: What,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// A parent said this of itself.
    Parent {
        /// Its node.
        node: usize,
        /// What it said.
        said: Said,
    },
    /// A parent is about to be started.
    ParentBegins {
        /// Its node.
        node: usize,
    },
    /// A parent is about to be killed: what it believes ends here, and what it says after this is nothing.
    ParentEnds {
        /// Its node.
        node: usize,
    },
    /// A parent has stopped: it believes nothing from here on.
    ParentStopped {
        /// Its node.
        node: usize,
        /// Every other process of the node has stopped with it.
        whole_node: bool,
    },
    /// A parent is about to go on. It believes again when it says [`Said::Still`].
    ParentGoesOn {
        /// Its node.
        node: usize,
    },
    /// A fault is about to come.
    Injecting {
        /// Its number in the schedule.
        fault: usize,
        /// Its kind.
        kind: String,
        /// The node that it hits, if it hits one.
        node: Option<usize>,
        /// What it hits, for people.
        whom: String,
    },
    /// It found nothing to hit, and did not come.
    Missed {
        /// Its number.
        fault: usize,
    },
    /// It is there.
    Injected {
        /// Its number.
        fault: usize,
    },
    /// It is about to go.
    Healing {
        /// Its number.
        fault: usize,
    },
    /// It has gone.
    Healed {
        /// Its number.
        fault: usize,
    },
    /// No fault is left, and the store has answered. From here somebody has to hold in time.
    Healthy,
    /// The next faults are about to come.
    QuietEnds,
}

/// What a parent says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Said {
    /// It has started a helper.
    Started {
        /// Its process number.
        helper: i32,
    },
    /// A byte was read.
    Byte(char),
    /// A byte was read after that, which CTDB ignores, and which is not to be.
    Extra(char),
    /// The pipe has ended.
    End {
        /// When its loop ran last before: where it was stopped since, it believed nothing since.
        looked: Moment,
    },
    /// Its loop has not run for a while, and now it has looked at the pipe of a lock that it holds: it is open.
    Still {
        /// When its loop ran last before.
        looked: Moment,
    },
    /// It is about to send SIGTERM: to release what it holds, or to cancel a try.
    Terminates,
    /// A helper could not be started.
    Failed,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parent { node, said } => match said {
                Said::Started { helper } => write!(f, "node {node}: starts helper {helper}"),
                Said::Byte(byte) => write!(f, "node {node}: reads {byte}"),
                Said::Extra(byte) => write!(f, "node {node}: reads {byte} after the first byte"),
                Said::End { .. } => write!(f, "node {node}: reads the end"),
                Said::Still { looked } => write!(f, "node {node}: finds the pipe open, last looked at {looked}"),
                Said::Terminates => write!(f, "node {node}: sends SIGTERM"),
                Said::Failed => write!(f, "node {node}: cannot start a helper"),
            },
            Self::ParentBegins { node } => write!(f, "node {node}: has a new parent"),
            Self::ParentEnds { node } => write!(f, "node {node}: its parent is killed"),
            Self::ParentStopped { node, whole_node: false } => write!(f, "node {node}: its parent is frozen"),
            Self::ParentStopped { node, whole_node: true } => write!(f, "node {node}: is frozen whole"),
            Self::ParentGoesOn { node } => write!(f, "node {node}: goes on"),
            Self::Injecting { fault, kind, whom, .. } => {
                let mark = if whom.is_empty() { "" } else { ", " };
                write!(f, "fault {fault}: {kind}{mark}{whom}: comes")
            }
            Self::Missed { fault } => write!(f, "fault {fault}: finds nothing to hit"),
            Self::Injected { fault } => write!(f, "fault {fault}: is there"),
            Self::Healing { fault } => write!(f, "fault {fault}: goes"),
            Self::Healed { fault } => write!(f, "fault {fault}: is gone"),
            Self::Healthy => write!(f, "no fault is left, and the store answers"),
            Self::QuietEnds => write!(f, "the quiet ends"),
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000_000, self.0 % 1_000_000_000 / 1000)
    }
}
