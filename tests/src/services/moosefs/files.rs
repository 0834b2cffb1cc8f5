//! The configuration, where things lie in an instance's directory, and the master's log of changes.

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::Setup;

/// Where mounts and chunkservers find the master.
const MOUNT_PORT: u16 = 9421;
const CHUNKSERVER_PORT: u16 = 9420;

/// What a master without a past starts from, as its package brings it.
const NO_METADATA: &str = "MFSM NEW";

/// The port of the master for mounts and admins.
pub(super) const MASTER_PORT: u16 = MOUNT_PORT;

/// Where the master keeps what it knows.
pub(super) fn master_data(dir: &Path) -> PathBuf {
    dir.join("master")
}

pub(super) fn master_conf(dir: &Path) -> PathBuf {
    dir.join("master.cfg")
}

pub(super) fn chunkserver_conf(dir: &Path) -> PathBuf {
    dir.join("chunkserver.cfg")
}

/// Where a node's mount is.
pub(super) fn mount_point(dir: &Path, node: usize) -> PathBuf {
    dir.join(format!("node{node}"))
}

/// Writes the master's configuration, and what it starts from.
pub(super) fn write_master(dir: &Path, address: Ipv4Addr, setup: Setup) -> anyhow::Result<()> {
    let (data, place) = (master_data(dir), dir.display());
    fs::create_dir(&data).context("make the master's directory")?;
    fs::write(data.join("metadata.mfs"), NO_METADATA).context("write the master's first metadata")?;
    fs::write(dir.join("exports.cfg"), "* / rw,alldirs,admin,maproot=0:0\n").context("write exports.cfg")?;
    let conf = format!(
        "{}EXPORTS_FILENAME = {place}/exports.cfg
TOPOLOGY_FILENAME = /dev/null
DATA_PATH = {}
MATOML_LISTEN_HOST = {address}
MATOCS_LISTEN_HOST = {address}
MATOCS_LISTEN_PORT = {CHUNKSERVER_PORT}
MATOCL_LISTEN_HOST = {address}
MATOCL_LISTEN_PORT = {MOUNT_PORT}
SESSION_SUSTAIN_TIME = {}
CHANGELOG_SAVE_MODE = {}
",
        as_anybody(),
        data.display(),
        setup.sustain.as_secs(),
        setup.log_mode,
    );
    fs::write(master_conf(dir), conf).context("write master.cfg")
}

/// Writes the chunkserver's configuration.
pub(super) fn write_chunkserver(dir: &Path, address: Ipv4Addr) -> anyhow::Result<()> {
    let place = dir.display();
    for data in ["chunkserver", "disk"] {
        fs::create_dir(dir.join(data)).context("make a directory of the chunkserver")?;
    }
    fs::write(dir.join("disks.cfg"), format!("{place}/disk\n")).context("write disks.cfg")?;
    // By default a disk with less than 256 MiB to spare counts as full.
    let conf = format!(
        "{}DATA_PATH = {place}/chunkserver
HDD_CONF_FILENAME = {place}/disks.cfg
HDD_LEAVE_SPACE_DEFAULT = 1MiB
MASTER_HOST = {address}
MASTER_PORT = {CHUNKSERVER_PORT}
CSSERV_LISTEN_HOST = {address}
",
        as_anybody()
    );
    fs::write(chunkserver_conf(dir), conf).context("write chunkserver.cfg")
}

/// By default it becomes the user `mfs`, takes the machine for itself, and the last to be killed when memory is short.
fn as_anybody() -> &'static str {
    "WORKING_USER = root\nWORKING_GROUP = root\nNICE_LEVEL = 0\nDISABLE_OOM_KILLER = 0\n"
}

/// Takes every locking and unlocking out of the log of changes of a master that does not run, and leaves it whole
/// otherwise. A line is a number, a time and a change: `9: 1795304990|POSIXLOCK(2,1,5181,W,0,1,2015)`.
pub(super) fn forget_locks(master_data: &Path) -> anyhow::Result<()> {
    let path = master_data.join("changelog.0.mfs");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let kept: Vec<&str> = text.lines().filter(|line| !is_of_a_lock(line)).collect();
    ensure!(kept.len() < text.lines().count(), "no lock in {}: {text:?}", path.display());
    let first = kept.first().and_then(|line| line.split_once(':')?.0.parse::<u64>().ok());
    let first = first.with_context(|| format!("no number in {}", path.display()))?;
    let mut short = String::new();
    // A gap would be a log that does not belong together.
    for (number, line) in (first..).zip(kept) {
        let (_, change) = line.split_once(':').with_context(|| format!("no number in {line:?}"))?;
        writeln!(short, "{number}:{change}")?;
    }
    fs::write(&path, short).with_context(|| format!("write {}", path.display()))
}

fn is_of_a_lock(line: &str) -> bool {
    line.split_once('|').is_some_and(|(_, change)| change.starts_with("POSIXLOCK(") || change.starts_with("FLOCK("))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::forget_locks;

    #[test]
    fn the_log_is_whole_but_for_its_locks() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let log = dir.path().join("changelog.0.mfs");
        let before = "7: 17|CREATE(1,l,1,438,18,0,0,0):2
8: 17|POSIXLOCK(2,1,51,W,0,1,20)
9: 17|FLOCK(3,1,52,W)
10: 17|POSIXLOCK(2,1,53,U,0,1,20)
11: 17|ACQUIRE(1,2)
";
        fs::write(&log, before)?;
        forget_locks(dir.path())?;
        assert_eq!(fs::read_to_string(&log)?, "7: 17|CREATE(1,l,1,438,18,0,0,0):2\n8: 17|ACQUIRE(1,2)\n");
        assert!(forget_locks(dir.path()).is_err());
        Ok(())
    }
}
