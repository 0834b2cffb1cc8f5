//! How an instance comes up: in less than a second; with a chunkserver in ten, most of which that waits for itself.

use std::ffi::OsString;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::{
    CHUNKSERVER, CHUNKSERVER_PACKAGE, Daemon, Guard, HOSTS, MASTER, MASTER_PACKAGE, MOUNT, MOUNT_PACKAGE, MooseFs,
    Mount, NODES, Network, PLACE_VARIABLE, SERVERS, Setup, files,
};
use crate::process::programs;
use crate::services::command::run;
use crate::services::network::address;
use crate::wait::wait_for;

/// How long any step may take on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(30);

/// In the first ten seconds of a chunkserver, or of its master, a write takes up to nine.
const WARM_LIMIT: Duration = Duration::from_secs(60);

/// So many writes in a row, each no longer than that, and it is warm.
const WARM: (u32, Duration) = (8, Duration::from_millis(200));

impl MooseFs {
    /// Starts an instance, and waits until every node has it mounted.
    pub fn start(setup: Setup) -> anyhow::Result<Self> {
        programs::packaged(MASTER, MASTER_PACKAGE)?;
        programs::packaged(MOUNT, MOUNT_PACKAGE)?;
        if setup.chunkserver {
            programs::packaged(CHUNKSERVER, CHUNKSERVER_PACKAGE)?;
        }
        ensure!(Path::new("/dev/fuse").exists(), "/dev/fuse: not there; load the module fuse (package fuse3)");
        let network = Network::new(HOSTS)?;
        let dir = tempfile::Builder::new().prefix("mutex-moosefs-").tempdir().context("make a directory")?;
        let guard = Guard::over(dir.path(), PLACE_VARIABLE)?;
        let (place, servers) = (dir.path(), address(SERVERS));
        files::write_master(place, servers, setup)?;
        if setup.chunkserver {
            files::write_chunkserver(place, servers)?;
        }
        let server = |program, conf: &Path, name: &str, how: &[&str]| {
            let mut arguments: Vec<OsString> = vec!["-c".into(), conf.into(), "-f".into()];
            arguments.extend(how.iter().map(OsString::from));
            Daemon::new(program, arguments, place.join(name))
        };
        let mut mounts = Vec::new();
        for node in 0..NODES {
            mounts.push(Mount::new(place, node, servers, setup)?);
        }
        let conf = files::chunkserver_conf(place);
        let chunkserver = setup.chunkserver.then(|| server(CHUNKSERVER, &conf, "chunkserver", &["start"]));
        let fs = Self {
            mounts: mounts.try_into().ok().context("a mount for each node")?,
            chunkserver,
            // -a: makes good what the one before it left, however that ended.
            master: server(MASTER, &files::master_conf(place), "master", &["-a", "start"]),
            network,
            _guard: guard,
            dir,
        };
        match fs.bring_up() {
            Ok(()) => Ok(fs),
            Err(error) => Err(error.context(fs.daemons_said()).context("start MooseFS")),
        }
    }

    fn bring_up(&self) -> anyhow::Result<()> {
        self.start_master()?;
        if let Some(chunkserver) = &self.chunkserver {
            chunkserver.start(self.network.host(SERVERS))?;
        }
        for (node, mount) in self.mounts.iter().enumerate() {
            mount.start(self.host_of(node))?;
        }
        self.mounts.iter().try_for_each(Mount::wait_there)?;
        // Everybody may write to a new one, and the file helper takes no lock in such a directory.
        run(Command::new("/bin/chmod").arg("755").arg(self.mounts[0].point()), START_LIMIT)?;
        if self.chunkserver.is_some() { self.warm_up() } else { Ok(()) }
    }

    /// Starts the master, and waits until it answers.
    pub(super) fn start_master(&self) -> anyhow::Result<()> {
        let host = self.network.host(SERVERS);
        self.master.start(host)?;
        let _inside = host.enter()?;
        let port = SocketAddr::from((address(SERVERS), files::MASTER_PORT));
        let connects = || TcpStream::connect_timeout(&port, START_LIMIT).is_ok();
        let there = || (connects() || !self.master.is_alive()).then_some(());
        wait_for("the master of MooseFS to answer", START_LIMIT, there).with_context(|| self.master.said())?;
        ensure!(self.master.is_alive(), "{MASTER} has ended; {}", self.master.said());
        Ok(())
    }

    /// Waits until writes are quick.
    pub(super) fn warm_up(&self) -> anyhow::Result<()> {
        let file = self.mounts[0].point().join("warm");
        let start = Instant::now();
        let mut quick = 0;
        while quick < WARM.0 {
            ensure!(start.elapsed() < WARM_LIMIT, "the chunkserver of MooseFS is slow after {WARM_LIMIT:?}");
            let begun = Instant::now();
            let mut of = OsString::from("of=");
            of.push(&file);
            let arguments = ["if=/dev/zero", "bs=10", "count=1", "conv=fsync,notrunc"];
            run(Command::new("/bin/dd").args(arguments).arg(of), WARM_LIMIT)?;
            quick = if begun.elapsed() <= WARM.1 { quick + 1 } else { 0 };
        }
        Ok(())
    }

    fn daemons_said(&self) -> String {
        let mounts = self.mounts.iter().map(Mount::daemon);
        let all = mounts.chain(&self.chunkserver).chain([&self.master]);
        format!("its processes said: {}", all.map(Daemon::said).collect::<String>())
    }
}
