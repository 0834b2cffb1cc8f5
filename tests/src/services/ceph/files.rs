//! The configuration, the keys, and where things lie in a cluster's directory.

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use super::{ADMIN, CONF_VARIABLE};

/// Who there is besides the daemons' clients, and what each may do.
const USERS: [(&str, &[&str]); 8] = [
    ("mon.", &["mon = \"allow *\""]),
    (ADMIN, &["mon = \"allow *\"", "mgr = \"allow *\"", "osd = \"allow *\"", "mds = \"allow *\""]),
    ("mgr.x", &["mon = \"allow profile mgr\"", "osd = \"allow *\"", "mds = \"allow *\""]),
    ("osd.0", &["mon = \"allow profile osd\"", "mgr = \"allow profile osd\"", "osd = \"allow *\""]),
    ("osd.1", &["mon = \"allow profile osd\"", "mgr = \"allow profile osd\"", "osd = \"allow *\""]),
    ("osd.2", &["mon = \"allow profile osd\"", "mgr = \"allow profile osd\"", "osd = \"allow *\""]),
    (
        "mds.a",
        &["mon = \"allow profile mds\"", "mgr = \"allow profile mds\"", "osd = \"allow *\"", "mds = \"allow *\""],
    ),
    (
        "mds.b",
        &["mon = \"allow profile mds\"", "mgr = \"allow profile mds\"", "osd = \"allow *\"", "mds = \"allow *\""],
    ),
];

/// A command on the cluster with this configuration.
pub(super) fn command(program: &str, conf: &Path) -> Command {
    let mut command = Command::new(program);
    // Options that somebody has for a cluster of theirs; and times are printed in the local zone.
    command.env(CONF_VARIABLE, conf).env_remove("CEPH_ARGS").env("TZ", "UTC");
    command
}

/// Where the daemons' keys are.
pub(super) fn keyring(dir: &Path) -> PathBuf {
    dir.join("keyring")
}

/// Where a client's key is.
pub(super) fn keyring_of(dir: &Path, user: &str) -> PathBuf {
    dir.join(format!("{user}.keyring"))
}

/// Where a daemon's output is.
pub(super) fn output_of(conf: &Path, program: &str, id: &str) -> PathBuf {
    let name = Path::new(program).with_extension(format!("{id}.out"));
    conf.with_file_name(name.file_name().unwrap_or_default())
}

/// Where a daemon answers questions.
pub(super) fn admin_socket_of(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.asok"))
}

/// Copies are in the OSD's memory, and go with it.
pub(super) const IN_MEMORY: &str = "osd objectstore = memstore
memstore device bytes = 1073741824
";

/// Copies are in a file, which outlives an OSD that is killed. The file lies in memory, and is as large as what is in it:
/// a megabyte. Its caches are 3 GB by default.
pub(super) const IN_FILES: &str = "osd objectstore = bluestore
bluestore block size = 4294967296
bluestore cache autotune = false
bluestore cache size = 16777216
";

/// What the configuration of a cluster says that others do not.
pub(super) struct Particulars<'a> {
    pub(super) fsid: &'a str,
    pub(super) address: Ipv4Addr,
    pub(super) port: u16,
    /// How many copies there are of an object.
    pub(super) copies: usize,
    /// Where OSDs keep them: lines for these.
    pub(super) store: &'a str,
    /// Lines for all its daemons and clients.
    pub(super) more: &'a str,
}

/// Writes the configuration and returns its path.
pub(super) fn write_conf(dir: &Path, particulars: &Particulars<'_>) -> anyhow::Result<PathBuf> {
    let Particulars { fsid, address, port, copies, store, more } = particulars;
    let place = dir.display();
    // By default a daemon that comes before its monitor looks for it every 3 s.
    let daemon = format!(
        "keyring = {}
public addr = {address}
ms bind msgr1 = false
run dir = {place}
admin socket = {place}/$name.asok
log file = {place}/$name.log
mon client hunt interval = 0.1
",
        keyring(dir).display()
    );
    // By default a map waits for a second for further changes, and the manager splits a new pool into 32 placement groups
    // a few seconds after its start: where the OSDs are frozen just then, they do not finish that within half a minute of
    // their thaw, and answer nothing meanwhile.
    let conf = format!(
        "[global]
fsid = {fsid}
mon host = [v2:{address}:{port}]
osd crush chooseleaf type = 0
{more}[client]
keyring = {place}/$name.keyring
[mon]
mon data = {place}/mon
mon allow pool size one = true
osd pool default size = {copies}
osd pool default min size = {copies}
osd pool default pg autoscale mode = off
paxos propose interval = 0.05
paxos min wait = 0.01
{daemon}[mgr]
mgr data = {place}/mgr
mgr initial modules =
{daemon}[osd]
osd data = {place}/osd$id
{store}{daemon}[mds]
{daemon}"
    );
    let path = dir.join("ceph.conf");
    fs::write(&path, conf).context("write ceph.conf")?;
    Ok(path)
}

/// Writes the keys: everybody has the same one, since making one takes a command.
pub(super) fn write_keys(dir: &Path, key: &str) -> anyhow::Result<()> {
    let mut all = String::new();
    for (user, capabilities) in USERS {
        write!(all, "[{user}]\nkey = {key}\n")?;
        for capability in capabilities {
            writeln!(all, "caps {capability}")?;
        }
    }
    fs::write(keyring(dir), all).context("write the keys")?;
    fs::write(keyring_of(dir, ADMIN), format!("[{ADMIN}]\nkey = {key}\n")).context("write the admin's key")
}
