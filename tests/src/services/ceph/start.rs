//! How a cluster comes up: in about a second, most of which is the `ceph` command and the OSDs' start.
//!
//! No OSD is announced to the monitor first: one that is not known yet announces itself. So everything can be started
//! side by side.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use super::clock::Clock;
use super::{
    AUTHTOOL, CEPH, CONF_VARIABLE, Ceph, MDS, MDS_PACKAGE, MGR, MON, MONMAPTOOL, OSD, POOL, PROGRAMS, RADOS,
    RADOS_TICK, Setup, files, mds,
};
use crate::process::programs;
use crate::services::addresses::Block;
use crate::services::ceph::daemon::Daemon;
use crate::services::command::{Running, run, start};
use crate::services::guard::Guard;
use crate::services::in_memory;
use crate::services::sites::{Site, Sites};

/// The port of every monitor. The other daemons find their own on the cluster's address.
const MON_PORT: u16 = 3300;

/// How many OSDs there are, each with a copy of every object.
const OSDS: usize = 2;

/// What is known of the file system's metadata lies here, the files' content in the pool that every cluster has.
const METADATA_POOL: &str = "metadata";

/// What a cluster must find in memory, where nothing waits for a disk: 60 MB a minute after its start.
const ROOM: u64 = 1 << 30;

/// How long any step may take on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A cluster with a file system.
#[derive(Clone, Copy)]
pub(in crate::services) struct ForFiles<'a> {
    /// That of the host where the thread is that starts it, and that runs its commands.
    pub(in crate::services) address: Ipv4Addr,
    /// How many MDSs it has, at most two; one serves, and the other one waits to take over.
    pub(in crate::services) mds: usize,
    /// Lines of configuration for its daemons and clients.
    pub(in crate::services) conf: &'a str,
}

/// By which wall clocks OSDs go.
#[derive(Clone, Copy)]
enum Clocks {
    TheMachines,
    TheirOwn,
}

/// What a cluster consists of.
struct Plan<'a> {
    setup: Setup,
    osds: usize,
    clocks: Clocks,
    /// Lines for OSDs that say where they keep what they have.
    store: &'a str,
    files: ForFiles<'a>,
    /// The address on loopback, if it is there.
    loopback: Option<Block>,
    /// Hosts for the OSDs, in their order, and one more for the monitor.
    hosts: Option<&'a Sites>,
}

impl Ceph {
    /// Starts a cluster, and waits until an object can be written in its pool.
    pub fn start(setup: Setup) -> anyhow::Result<Self> {
        let block = Block::reserve(1, MON_PORT)?;
        let address = *block.all().first().context("no address")?;
        Self::start_as(Plan { loopback: Some(block), ..Plan::at(setup, address) })
    }

    /// Starts one on the host with this address, where the thread is, with wall clocks that can be set.
    pub(in crate::services) fn start_with_clocks(setup: Setup, address: Ipv4Addr) -> anyhow::Result<Self> {
        Self::start_as(Plan { clocks: Clocks::TheirOwn, ..Plan::at(setup, address) })
    }

    /// Starts a cluster on the host where this thread is, which has this address; its commands find it from there alone.
    pub fn start_on_host(setup: Setup, address: Ipv4Addr) -> anyhow::Result<Self> {
        Self::start_as(Plan::at(setup, address))
    }

    /// Starts one with a file system and waits until that can be mounted. It has one OSD and no manager: neither has to
    /// do with locks.
    pub(in crate::services) fn start_with_files(files: ForFiles<'_>) -> anyhow::Result<Self> {
        programs::packaged(MDS, MDS_PACKAGE)?;
        let setup = Setup { mgr: false, min_size: 1 };
        Self::start_as(Plan { osds: 1, files, ..Plan::at(setup, files.address) })
    }

    /// Starts one whose OSDs have a host each, the first of these, and the monitor the one after them. What an OSD has
    /// written outlives it, and its wall clock can be set.
    pub(super) fn start_on(hosts: &Sites, setup: Setup, osds: usize, conf: &str) -> anyhow::Result<Self> {
        let address = hosts.address(Site::Server(osds));
        let files = ForFiles { address, mds: 0, conf };
        let plan = Plan {
            osds,
            clocks: Clocks::TheirOwn,
            store: files::IN_FILES,
            files,
            hosts: Some(hosts),
            ..Plan::at(setup, address)
        };
        Self::start_as(plan)
    }

    fn start_as(plan: Plan<'_>) -> anyhow::Result<Self> {
        let Plan { setup, osds, clocks, store, files: ForFiles { address, mds, conf: more }, loopback, hosts } = plan;
        for (path, package) in PROGRAMS {
            programs::packaged(path, package)?;
        }
        let dir = in_memory::directory("mutex-ceph-", ROOM).context("make the cluster's directory")?;
        let guard = Guard::over(dir.path(), CONF_VARIABLE)?;
        let fsid = uuid()?;
        // While the cluster starts a write must reach every OSD: the second to come makes the first start over, for
        // seconds.
        let particulars = files::Particulars { fsid: &fsid, address, port: MON_PORT, copies: osds, store, more };
        let conf = files::write_conf(dir.path(), &particulars)?;
        let key = run(files::command(AUTHTOOL, &conf).arg("--gen-print-key"), START_LIMIT)?;
        files::write_keys(dir.path(), key.trim())?;
        let on_host = |daemon: Daemon, server: usize| -> anyhow::Result<Daemon> {
            let Some(hosts) = hosts else { return Ok(daemon) };
            let site = Site::Server(server);
            Ok(daemon.on(hosts.host(site)?.try_clone()?, hosts.address(site)))
        };
        let osd = |number: usize| {
            let osd = on_host(Daemon::new(OSD, number, &conf), number)?;
            match clocks {
                Clocks::TheMachines => Ok(osd),
                Clocks::TheirOwn => Clock::new(dir.path(), &format!("osd{number}")).map(|clock| osd.with_clock(clock)),
            }
        };
        let cluster = Self {
            mon: on_host(Daemon::new(MON, "a", &conf), osds)?,
            mgr: setup.mgr.then(|| Daemon::new(MGR, "x", &conf)),
            osds: (0..osds).map(osd).collect::<anyhow::Result<_>>()?,
            mds: mds::NAMES.into_iter().take(mds).map(|name| Daemon::new(MDS, name, &conf)).collect(),
            admin: hosts.map(|hosts| hosts.admin().try_clone()).transpose()?,
            conf,
            _guard: guard,
            dir,
            _address: loopback,
        };
        match cluster.bring_up(setup, &fsid, &format!("[v2:{address}:{MON_PORT}]")) {
            Ok(()) => Ok(cluster),
            Err(error) => Err(error.context(cluster.daemons_said()).context("start a Ceph cluster")),
        }
    }

    fn bring_up(&self, setup: Setup, fsid: &str, mon_address: &str) -> anyhow::Result<()> {
        let _inside = self.enter_admin()?;
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
        // The metadata's only where there is a file system.
        let pools = [POOL, METADATA_POOL].into_iter().take(1 + self.mds.len().min(1));
        let pools_made = pools.map(|pool| self.begin(&["osd", "pool", "create", pool, "1"]));
        let pools_made: Vec<_> = pools_made.collect::<anyhow::Result<_>>()?;
        for (osd, made) in self.osds.iter().zip(osds_made) {
            made.succeeded()?;
            osd.start()?;
        }
        if let Some(mgr) = &self.mgr {
            mgr.start()?;
        }
        self.mds.iter().try_for_each(Daemon::start)?;
        for made in pools_made {
            made.succeeded()?;
        }
        if !self.mds.is_empty() {
            self.begin(&["fs", "new", mds::FILE_SYSTEM, METADATA_POOL, POOL])?.succeeded()?;
            // It has written to both pools by then, or to the one that takes as long.
            return self.wait_mds_active();
        }
        self.write_something()?;
        if usize::from(setup.min_size) < self.osds.len() {
            self.ceph(&["osd", "pool", "set", POOL, "min_size", &setup.min_size.to_string()])?;
            self.write_something()?;
        }
        Ok(())
    }

    /// A command to a monitor that has just been started.
    fn begin(&self, arguments: &[&str]) -> anyhow::Result<Running> {
        start(self.command(CEPH).args(["--mon-client-hunt-interval", "0.1"]).args(arguments), START_LIMIT)
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

impl Plan<'_> {
    /// A plain one at this address.
    fn at(setup: Setup, address: Ipv4Addr) -> Self {
        Self {
            setup,
            osds: OSDS,
            clocks: Clocks::TheMachines,
            store: files::IN_MEMORY,
            files: ForFiles { address, mds: 0, conf: "" },
            loopback: None,
            hosts: None,
        }
    }
}

/// A new UUID.
fn uuid() -> anyhow::Result<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/uuid").context("read a new UUID")?;
    Ok(text.trim().to_owned())
}
