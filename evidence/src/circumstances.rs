//! When, where and with which versions something was measured.

use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

/// The circumstances of a measurement. Figures without them say nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Circumstances {
    /// The day, UTC.
    pub date: String,
    /// The command that measures it again.
    pub command: String,
    /// The commit, with a plus where the tree had changes.
    pub commit: String,
    /// The kernel, cores and memory.
    pub machine: String,
    /// How busy it was: the load of the last 15 minutes, at the end of the measurement. Older records do not have it.
    #[serde(default)]
    pub load: Option<f64>,
    /// Each program and its version, ours first.
    pub versions: Vec<(String, String)>,
}

impl Circumstances {
    /// Those of now; `packages` are Debian's, whose versions count.
    ///
    /// # Errors
    /// Where the machine cannot be asked, or a package is not installed.
    pub fn now(command: impl Into<String>, packages: &[&str]) -> anyhow::Result<Self> {
        let mut versions = vec![("ctdb-mutex-helpers".to_owned(), env!("CARGO_PKG_VERSION").to_owned())];
        for &package in packages {
            let version = output(Command::new("dpkg-query").args(["-W", "-f", "${Version}", package]))
                .with_context(|| format!("ask for the version of {package}; install it"))?;
            versions.push((package.to_owned(), version));
        }
        let date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let date = date.split('T').next().unwrap_or(&date).to_owned();
        Ok(Self { date, command: command.into(), commit: commit()?, machine: machine()?, load: None, versions })
    }

    /// With the load that the machine had until now.
    ///
    /// # Errors
    /// Where it is not told.
    pub fn with_load(self) -> anyhow::Result<Self> {
        Ok(Self { load: Some(load(2)?), ..self })
    }

    /// The day and the commit.
    #[must_use]
    pub fn when(&self) -> String {
        format!("{}, commit {}", self.date, self.commit)
    }

    /// As a line of a page.
    #[must_use]
    pub fn line(&self) -> String {
        let versions: Vec<_> = self.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
        let Self { date, command, commit, machine, .. } = self;
        let load = self.load.map_or_else(String::new, |load| format!(" with a load of {load:.1}"));
        format!("{date}, commit {commit}, {machine}{load}; {}; `{command}`", versions.join(", "))
    }
}

/// The commit, with a plus where the tree has changes other than to records.
///
/// # Errors
/// Where git does not tell.
pub fn commit() -> anyhow::Result<String> {
    let commit = output(Command::new("git").args(["rev-parse", "--short=12", "HEAD"]))?;
    // The records themselves change with every measurement.
    let changes = output(Command::new("git").args(["status", "--porcelain", "--", ":!/docs"]))?;
    Ok(if changes.is_empty() { commit } else { format!("{commit}+") })
}

fn machine() -> anyhow::Result<String> {
    let kernel = nix::sys::utsname::uname().context("ask for the kernel")?;
    let cores = std::thread::available_parallelism().context("count the cores")?;
    let memory = std::fs::read_to_string("/proc/meminfo").context("read /proc/meminfo")?;
    let total = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"));
    let gib = total.and_then(|kib| kib.parse::<u64>().ok()).context("/proc/meminfo has no MemTotal")?.div_ceil(1 << 20);
    Ok(format!("Linux {}, {cores} cores, {gib} GiB", kernel.release().to_string_lossy()))
}

/// An average of the load: 0, over a minute; 1, over five; 2, over fifteen.
///
/// # Errors
/// Where the machine does not tell.
pub fn load(which: usize) -> anyhow::Result<f64> {
    let averages = std::fs::read_to_string("/proc/loadavg").context("read /proc/loadavg")?;
    averages.split(' ').nth(which).and_then(|load| load.parse().ok()).context("/proc/loadavg has too few numbers")
}

fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("run {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
