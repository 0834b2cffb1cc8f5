//! The probe before this one, and whether something of it still hangs.
//!
//! A process in a call to a dead file system cannot be ended: a probe's worker can stay when its supervisor and
//! `ctdb-mutex` are long gone, and with a probe every few seconds they become many. So FILE says which process group the
//! last probe was, and while one of that group lives no other is started.
//!
//! A lock on FILE that the helper inherits would be simpler, but a worker closes what it inherits. A process that waits for
//! the rest could be killed itself.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, ensure};
use nix::fcntl::OFlag;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// All processes of a probe begin within so many ticks of its first one's start; Linux counts 100 a second for all programs.
/// A group with its number that comes later is another one.
const BEGIN_TOGETHER: u64 = 1000;

/// What is ours is shorter.
const MOST: u64 = 256;

/// Another number with each boot: process numbers and times begin anew then.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// FILE, locked: no other probe begins with it.
pub(crate) struct ProbeFile {
    file: File,
    boot: String,
}

/// Whether a probe may begin.
pub(crate) enum Claim {
    Free(ProbeFile),
    /// Why not.
    Taken(String),
}

/// The probe that was noted last.
struct Noted {
    group: i32,
    start: u64,
}

/// What is to be known of a process (`/proc/PID/stat`, which can be read of one that hangs).
struct About {
    lives: bool,
    group: i32,
    start: u64,
}

impl ProbeFile {
    /// # Errors
    /// Where FILE cannot be used.
    pub(crate) fn claim(path: &Path) -> anyhow::Result<Claim> {
        let shown = path.display();
        let mut open = OpenOptions::new();
        open.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = open.custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits()).open(path);
        let file = file.with_context(|| format!("cannot open {shown}"))?;
        ensure!(file.metadata()?.is_file(), "{shown} is not a file");
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(Claim::Taken("another probe is running".to_owned())),
            Err(error) => return Err(error).with_context(|| format!("cannot lock {shown}")),
        }
        let boot = fs::read_to_string(BOOT).with_context(|| format!("cannot read {BOOT}"))?.trim().to_owned();
        let probes = Self { file, boot };
        let Some(noted) = probes.read().with_context(|| format!("cannot read {shown}"))? else {
            return Ok(Claim::Free(probes));
        };
        Ok(match noted.hangs()? {
            None => Claim::Free(probes),
            Some(pid) => {
                let since = probes.file.metadata()?.modified()?.elapsed().unwrap_or_default().as_secs();
                Claim::Taken(format!("the last probe still hangs, for {since} s now (process {pid})"))
            }
        })
    }

    /// What is noted; `None` where that is nothing of ours or of another boot.
    fn read(&self) -> anyhow::Result<Option<Noted>> {
        let mut bytes = Vec::new();
        (&self.file).take(MOST).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let parse = || {
            let [group, start, boot] = text.split_whitespace().collect::<Vec<_>>()[..] else { return None };
            (boot == self.boot).then_some(Noted { group: group.parse().ok()?, start: start.parse().ok()? })
        };
        Ok(parse())
    }

    /// Notes the probe whose first process this is.
    ///
    /// # Errors
    /// Where FILE cannot be written.
    pub(crate) fn note(&mut self, pid: u32) -> anyhow::Result<()> {
        let about = about(pid).with_context(|| format!("cannot read /proc/{pid}/stat"))?;
        let line = format!("{} {} {}\n", about.group, about.start, self.boot);
        self.file.rewind()?;
        // Shortened last: where there is no room it fails with the old content.
        self.file.write_all(line.as_bytes()).context("cannot write the probe file")?;
        self.file.set_len(line.len() as u64)?;
        Ok(())
    }
}

impl Noted {
    /// A process of it that lives.
    fn hangs(&self) -> anyhow::Result<Option<u32>> {
        for entry in fs::read_dir("/proc").context("cannot read /proc")? {
            let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let Some(about) = about(pid) else { continue };
            let began = about.start.checked_sub(self.start);
            if about.lives && about.group == self.group && began.is_some_and(|ticks| ticks <= BEGIN_TOGETHER) {
                return Ok(Some(pid));
            }
        }
        Ok(None)
    }
}

/// `None` where it is gone, or another user's and hidden.
fn about(pid: u32) -> Option<About> {
    let bytes = fs::read(format!("/proc/{pid}/stat")).ok()?;
    About::parse(&String::from_utf8_lossy(&bytes))
}

impl About {
    fn parse(stat: &str) -> Option<Self> {
        // The program's name, in brackets, can hold anything, brackets too. Behind it stands field 3 of proc(5).
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let field = |number: usize| fields.get(number - 3).copied();
        let threads: u64 = field(20)?.parse().ok()?;
        // A killed process is a zombie while one of its threads hangs.
        let lives = !matches!(field(3)?, "Z" | "X") || threads > 1;
        Some(Self { lives, group: field(5)?.parse().ok()?, start: field(22)?.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::About;

    fn stat(state: char, threads: u32) -> String {
        format!("7 (a) Z b) {state} 1 30535 15217 0 -1 4194368 71 0 0 0 0 0 0 0 20 0 {threads} 0 98097 5738496 708 0")
    }

    #[test]
    fn a_process_is_read_whatever_it_is_called() {
        let about = About::parse(&stat('D', 1)).expect("a line of the kernel's");
        assert!(about.lives);
        assert_eq!((about.group, about.start), (30535, 98097));
        assert!(About::parse("").is_none());
    }

    #[test]
    fn a_zombie_lives_while_another_thread_of_it_does() {
        assert!(!About::parse(&stat('Z', 1)).expect("a line").lives);
        assert!(About::parse(&stat('Z', 2)).expect("a line").lives);
    }
}
