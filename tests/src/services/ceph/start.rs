//! How a cluster comes up: in about a second, most of which is the `ceph` command and the OSDs' start.
//!
//! No OSD is announced to the monitor first: one that is not known yet announces itself. So everything can be started
//! side by side.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use super::{
    AUTHTOOL, CEPH, CONF_VARIABLE, Ceph, MGR, MON, MONMAPTOOL, OSD, POOL, PROGRAMS, RADOS, RADOS_TICK, Setup, files,
};
use crate::process::programs;
use crate::services::addresses::Block;
use crate::services::ceph::daemon::Daemon;
use crate::services::command::{run, start};
use crate::services::guard::Guard;

/// The port of every monitor. The other daemons find their own on the cluster's address.
const MON_PORT: u16 = 3300;

/// While the cluster starts a write must reach both OSDs: the second to come makes the first start over, for seconds.
const MIN_SIZE_AT_START: u8 = 2;

/// How long any step may take on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(30);

impl Ceph {
    /// Starts a cluster, and waits until an object can be written in its pool.
    pub fn start(setup: Setup) -> anyhow::Result<Self> {
        for (path, package) in PROGRAMS {
            programs::packaged(path, package)?;
        }
        let address = Block::reserve(1, MON_PORT)?;
        let dir = tempfile::Builder::new().prefix("mutex-ceph-").tempdir().context("make the cluster's directory")?;
        let guard = Guard::over(dir.path(), CONF_VARIABLE)?;
        let own = *address.all().first().context("no address")?;
        let fsid = uuid()?;
        let conf = files::write_conf(dir.path(), &fsid, own, MON_PORT)?;
        let key = run(files::command(AUTHTOOL, &conf).arg("--gen-print-key"), START_LIMIT)?;
        files::write_keys(dir.path(), key.trim())?;
        let cluster = Self {
            mon: Daemon::new(MON, "a", &conf),
            mgr: setup.mgr.then(|| Daemon::new(MGR, "x", &conf)),
            osds: [0, 1].map(|number| Daemon::new(OSD, number, &conf)),
            conf,
            _guard: guard,
            dir,
            _address: address,
        };
        match cluster.bring_up(setup, &fsid, &format!("[v2:{own}:{MON_PORT}]")) {
            Ok(()) => Ok(cluster),
            Err(error) => Err(error.context(cluster.daemons_said()).context("start a Ceph cluster")),
        }
    }

    fn bring_up(&self, setup: Setup, fsid: &str, mon_address: &str) -> anyhow::Result<()> {
        let dir = self.dir.path();
        let mon_map = dir.join("monmap");
        let begin = |program: &str, arguments: &[&str], last: &Path| {
            start(self.command(program).args(arguments).arg(last), START_LIMIT)
        };
        let mon_map_made = begin(MONMAPTOOL, &["--create", "--addv", "a", mon_address, "--fsid", fsid], &mon_map)?;
        let mut osds_made = Vec::new();
        for osd in &self.osds {
            let data = dir.join(format!("osd{}", osd.id()));
            fs::create_dir(data).context("make an OSD's directory")?;
            osds_made.push(begin(OSD, &["--mkfs", "--id", osd.id(), "--osd-uuid"], Path::new(&uuid()?))?);
        }
        for data in ["mon", "mgr"] {
            fs::create_dir(dir.join(data)).context("make a daemon's directory")?;
        }
        mon_map_made.succeeded()?;
        let mut make_mon = self.command(MON);
        make_mon.args(["--mkfs", "--id", "a", "--keyring"]).arg(files::keyring(dir));
        run(make_mon.arg("--monmap").arg(mon_map), START_LIMIT)?;
        self.mon.start()?;
        let mut make_pool = self.command(CEPH);
        make_pool.args(["--mon-client-hunt-interval", "0.1", "osd", "pool", "create", POOL, "1"]);
        let pool_made = start(&mut make_pool, START_LIMIT)?;
        for (osd, made) in self.osds.iter().zip(osds_made) {
            made.succeeded()?;
            osd.start()?;
        }
        if let Some(mgr) = &self.mgr {
            mgr.start()?;
        }
        pool_made.succeeded()?;
        self.write_something()?;
        if setup.min_size < MIN_SIZE_AT_START {
            self.ceph(&["osd", "pool", "set", POOL, "min_size", &setup.min_size.to_string()])?;
            self.write_something()?;
        }
        Ok(())
    }

    fn write_something(&self) -> anyhow::Result<()> {
        run(self.command(RADOS).args(RADOS_TICK).args(["--pool", POOL, "put", "first", "/dev/null"]), START_LIMIT)
            .map(drop)
    }

    /// The last words of each daemon, for a message.
    fn daemons_said(&self) -> String {
        let entries = fs::read_dir(self.dir.path()).into_iter().flatten().flatten();
        let outputs = entries.filter(|entry| entry.path().extension().is_some_and(|kind| kind == "out"));
        let said = |entry: fs::DirEntry| {
            let text = fs::read_to_string(entry.path()).ok()?;
            Some(format!("{}: {}; ", entry.file_name().to_string_lossy(), text.trim_end().lines().last()?))
        };
        let all: String = outputs.filter_map(said).collect();
        format!("its daemons said: {all}")
    }
}

/// A new UUID.
fn uuid() -> anyhow::Result<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/uuid").context("read a new UUID")?;
    Ok(text.trim().to_owned())
}
