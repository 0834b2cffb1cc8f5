//! From a fault to the new leader, by the nodes' logs.

use std::fmt;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use mutex_tests::services::ctdb::log::{Line, Mark};
use mutex_tests::services::ctdb::{Cluster, Taken};

use crate::IN_VAIN;

/// Started just before a fault: the end of the logs, and the time.
pub(crate) struct Stopwatch<'a> {
    cluster: &'a Cluster,
    mark: Mark,
    at: SystemTime,
}

impl<'a> Stopwatch<'a> {
    pub(crate) fn start(cluster: &'a Cluster) -> anyhow::Result<Self> {
        let mark = cluster.mark()?;
        Ok(Self { cluster, mark, at: SystemTime::now() })
    }

    /// Waits for the new leader.
    pub(crate) fn outcome(&self) -> anyhow::Result<(Taken, Duration)> {
        self.outcome_within(IN_VAIN)
    }

    /// The same, for no longer than this.
    pub(crate) fn outcome_within(&self, limit: Duration) -> anyhow::Result<(Taken, Duration)> {
        let taken = self.cluster.wait_taken(&self.mark, limit)?;
        let took = self.until(taken.at)?;
        Ok((taken, took))
    }

    /// When the old leader saw the end of its helper's pipe.
    pub(crate) fn lost(&self) -> anyhow::Result<SystemTime> {
        let lost = self.lines()?.into_iter().find(Line::is_lost).map(|line| line.at);
        lost.with_context(|| format!("the old leader's helper did not end, {}", self.transcript()))
    }

    pub(crate) fn until(&self, at: SystemTime) -> anyhow::Result<Duration> {
        at.duration_since(self.at).context("the log's time lies before the fault")
    }

    pub(crate) fn lines(&self) -> anyhow::Result<Vec<Line>> {
        self.cluster.log_since(&self.mark)
    }

    pub(crate) fn transcript(&self) -> String {
        format!("from {}:\n{}", humantime_of(self.at), self.cluster.transcript(&self.mark))
    }
}

fn humantime_of(at: SystemTime) -> impl fmt::Display {
    humantime::format_rfc3339_micros(at)
}
