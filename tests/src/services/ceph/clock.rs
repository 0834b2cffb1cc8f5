//! The wall clocks of OSDs: as far off as a case wants, and changed while they run.
//!
//! An OSD counts the end of a lock by its wall clock, and no namespace has one of its own. So libfaketime stands between
//! an OSD and CLOCK_REALTIME, and looks into a file at each call how far the clock is off. What an OSD measures by
//! CLOCK_MONOTONIC, such as its heartbeats, stays true.
//!
//! With libfaketime's cache a change would be seen only at its next look, a second or more later, and a case that steps
//! the clock needs to know the moment. The command `faketime` was not used: it gives an offset once, at the start.

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use tempfile::NamedTempFile;

use super::Ceph;
use crate::fault::Fault;
use crate::process::programs;

/// The package of the library.
const PACKAGE: &str = "libfaketime";

/// How far a wall clock is off.
#[derive(Clone, Copy, Debug)]
pub enum Off {
    /// It shows a time that is still to come.
    Ahead(Duration),
    /// It shows a time that is over.
    Behind(Duration),
}

/// The wall clock of one daemon, right until it is set.
pub(super) struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    /// One for a daemon of the cluster in this directory.
    ///
    /// # Errors
    /// The name of the package where libfaketime is not there.
    pub(super) fn new(dir: &Path, daemon: &str) -> anyhow::Result<Self> {
        let clock = Self { library: library()?, file: dir.join(format!("{daemon}.clock")) };
        clock.set(Off::Ahead(Duration::ZERO))?;
        Ok(clock)
    }

    /// Gives it to a daemon about to be started.
    pub(super) fn give(&self, command: &mut Command) {
        let settings: [(&str, OsString); 4] = [
            ("LD_PRELOAD", self.library.clone().into()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.clone().into()),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ];
        command.envs(settings);
    }

    /// Sets it, from the daemon's next look on.
    fn set(&self, off: Off) -> anyhow::Result<()> {
        let text = match off {
            Off::Ahead(by) => format!("+{:.6}\n", by.as_secs_f64()),
            Off::Behind(by) => format!("-{:.6}\n", by.as_secs_f64()),
        };
        // In one step: who looks meanwhile must not see half of it.
        let dir = self.file.parent().context("a clock's file lies in no directory")?;
        let mut new = NamedTempFile::new_in(dir).context("make a clock's file")?;
        new.write_all(text.as_bytes())?;
        new.persist(&self.file).context("set a daemon's clock")?;
        Ok(())
    }

    /// Removes what libfaketime leaves in /dev/shm for a process that was killed: another one that gets its number later
    /// would not start.
    pub(super) fn clean_up_after(pid: u32) {
        for name in [format!("faketime_shm_{pid}"), format!("sem.faketime_sem_{pid}")] {
            // One that ended by itself has left nothing.
            let _ = fs::remove_file(Path::new("/dev/shm").join(name));
        }
    }
}

fn library() -> anyhow::Result<PathBuf> {
    // For programs with threads.
    const NAME: &str = "faketime/libfaketimeMT.so.1";
    let elsewhere = Path::new("/usr/lib64").join(NAME);
    if elsewhere.is_file() {
        return Ok(elsewhere);
    }
    programs::packaged(&format!("/usr/lib/{}-linux-gnu/{NAME}", std::env::consts::ARCH), PACKAGE)
}

impl Ceph {
    /// The wall clocks of these OSDs are off, by steps: at once, and back at the heal. Only where the cluster was started
    /// with clocks that can be set.
    pub fn osd_clock_off<'a>(&'a self, osds: &'a [usize], off: Off) -> Fault<'a> {
        Fault::new(
            "OSD clock off",
            move || self.set_clocks(osds, off),
            move || self.set_clocks(osds, Off::Ahead(Duration::ZERO)),
        )
    }

    /// Sets them, while they are off too.
    pub fn set_clocks(&self, osds: &[usize], off: Off) -> anyhow::Result<()> {
        ensure!(!osds.is_empty(), "no OSD's clock is to be set");
        for &number in osds {
            let osd = self.osds.get(number).with_context(|| format!("there is no OSD {number}"))?;
            osd.clock().with_context(|| format!("OSD {number} has the machine's clock"))?.set(off)?;
        }
        Ok(())
    }
}
