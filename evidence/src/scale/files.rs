//! Lock files on a FUSE file system whose server keeps the locks, as a cluster file system does.

use std::ffi::OsString;
use std::fs;
use std::time::Duration;

use anyhow::Context;
use mutex_tests::services::fuse::{HungFs, Locks};

use super::store::{Pace, Store};

/// The file system.
pub(super) struct Files(HungFs);

impl Files {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self(HungFs::mount(Locks::Remote)?))
    }
}

impl Store for Files {
    fn arguments(&self, lock: &str, pace: Pace) -> Vec<OsString> {
        let mut arguments = vec![self.0.path().join(lock).into()];
        if pace == Pace::Fastest {
            arguments.push("1".into());
        }
        arguments
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        Vec::new()
    }

    /// RECHECK-SECONDS.
    fn renew_every(&self, pace: Pace) -> Duration {
        Duration::from_secs(if pace == Pace::Fastest { 1 } else { 5 })
    }

    /// A proof reads the file once.
    fn renewals(&self) -> anyhow::Result<u64> {
        Ok(self.0.figures()?.reads)
    }

    fn counted_by(&self) -> &'static str {
        "reads that reached the FUSE server"
    }

    fn locked(&self, _locks: &[String]) -> anyhow::Result<Vec<String>> {
        Ok(match self.0.figures()?.locks {
            0 => Vec::new(),
            count => vec![format!("{count} locks that the file system's server keeps")],
        })
    }

    fn left(&self, locks: &[String]) -> anyhow::Result<Vec<String>> {
        let mut left = Vec::new();
        for entry in fs::read_dir(self.0.path()).context("list the file system")? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if !locks.contains(&name) {
                left.push(format!("the file {name}"));
            }
        }
        Ok(left)
    }
}
