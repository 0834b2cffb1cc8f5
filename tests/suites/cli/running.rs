//! The tool while it runs, its output in a file: what it has said so far.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use mutex_tests::process::helper::Helper;
use mutex_tests::process::launch::Launch;
use mutex_tests::wait::wait_for;
use rustix::process::Signal;
use tempfile::NamedTempFile;

use crate::tool::LIMIT;

/// A started tool. Its processes end with this value.
pub(crate) struct Running {
    pub(crate) helper: Helper,
    output: NamedTempFile,
}

impl Running {
    /// Starts it.
    pub(crate) fn start(launch: Launch) -> anyhow::Result<Self> {
        let output = NamedTempFile::new().context("make a file for what it says")?;
        let helper = launch.stdout(output.reopen()?.into()).start()?;
        Ok(Self { helper, output })
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(self.output.path())?)
    }

    /// Waits for the line of an event.
    pub(crate) fn event(&self, event: &str) -> anyhow::Result<String> {
        let line = || {
            let said = self.said().ok()?;
            // Whole lines alone.
            let mut lines = said.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
            lines.find(|line| line.split(' ').next() == Some(event)).map(str::to_owned)
        };
        let found = wait_for(&format!("the event {event}"), LIMIT, line);
        let (line, _) = found.with_context(|| format!("it said {:?} and {:?}", self.said(), self.helper.stderr()))?;
        Ok(line)
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        self.helper.signal(signal)
    }

    /// Waits for its end with this exit code.
    pub(crate) fn ends_with(&mut self, code: i32) -> anyhow::Result<()> {
        let ended = self.helper.exit_code(LIMIT)?;
        let (out, err) = (self.said()?, self.helper.stderr()?);
        ensure!(ended == code, "exit code {ended}, not {code}; it said {out:?} and {err:?}");
        Ok(())
    }
}

/// The value of a fact in a line, without its quotes.
pub(crate) fn fact(line: &str, name: &str) -> anyhow::Result<String> {
    let start = format!(" {name}=");
    let (_, rest) = line.split_once(&start).with_context(|| format!("no {name} in {line:?}"))?;
    let value = match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => rest.split(' ').next(),
    };
    Ok(value.unwrap_or_default().to_owned())
}

/// A helper that is a script of /bin/sh, none of ours.
pub(crate) fn script(dir: &Path, name: &str, lines: &str) -> anyhow::Result<PathBuf> {
    let path = dir.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{lines}\n"))?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o755))?;
    Ok(path)
}
