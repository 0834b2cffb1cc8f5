//! The configuration, where things lie in an instance's directory, and the master's log of changes.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

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

/// Cuts the log of changes of a master that does not run where the lock on this inode was last taken: what it would have
/// after a loss of power. Each line is a number, a time and a change, `9: 1795304990|POSIXLOCK(2,1,5181,W,0,1,2015)`:
/// inode, mount, owner, and W for a lock.
pub(super) fn forget_lock(master_data: &Path, inode: u64) -> anyhow::Result<()> {
    let path = master_data.join("changelog.0.mfs");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let takes_it = |line: &str| {
        let change = line.split_once('|').map_or("", |(_, change)| change);
        let arguments = change.strip_prefix("POSIXLOCK(").or_else(|| change.strip_prefix("FLOCK("));
        let mut arguments = arguments.into_iter().flat_map(|all| all.split([',', ')']));
        arguments.next() == Some(inode.to_string().as_str()) && arguments.nth(2) == Some("W")
    };
    let mut kept = 0;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if takes_it(line) {
            kept = at;
        }
        at += line.len();
    }
    if kept == 0 {
        bail!("no lock on inode {inode} in {}: {text:?}", path.display());
    }
    fs::write(&path, &text[..kept]).with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::forget_lock;

    #[test]
    fn the_log_ends_before_the_last_lock() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let log = dir.path().join("changelog.0.mfs");
        let lines = [
            "1: 17|CREATE(1,l,1,438,18,0,0,0):2\n",
            "2: 17|POSIXLOCK(2,1,51,W,0,1,20)\n",
            "3: 17|POSIXLOCK(2,1,51,U,0,1,20)\n",
            "4: 17|FLOCK(2,1,52,W)\n",
            "5: 17|POSIXLOCK(3,1,51,W,0,1,20)\n",
            "6: 17|POSIXLOCK(2,1,53,U,0,1,20)\n",
        ];
        fs::write(&log, lines.concat())?;
        forget_lock(dir.path(), 2)?;
        assert_eq!(fs::read_to_string(&log)?, lines[..3].concat());
        assert!(forget_lock(dir.path(), 3).is_err());
        Ok(())
    }
}
