//! How a file system comes up: a Ceph and its MDS in a second and a half, then all mounts side by side.

use std::fmt::Write as _;
use std::process::Command;

use anyhow::Context;

use super::{CEPH_FUSE, CephFs, Mount, NODES, Network, PACKAGE, SERVERS, Setup, host_of};
use crate::process::programs;
use crate::services::ceph::{ADMIN, Ceph, ForFiles};
use crate::services::network::address;

/// How often an MDS reports to the monitor: one that has been stopped for long answers nobody before the monitor has
/// heard of it again. Ceph's own value is 4 s.
const BEACON: &str = "mds beacon interval = 0.25\n";

/// A standby takes over after 4 s instead of 15 s, also in the monitor's first minute. The monitor must look more often
/// than that: else it takes the silence for its own.
const FAST_STANDBY: &str = "mds beacon grace = 4\nmon tick interval = 1\nmds beacon mon down grace = 0\n";

/// See [`Setup::no_blocklist`].
const NO_BLOCKLIST: &str = "mds session blocklist on evict = false\nmds session blocklist on timeout = false\n";

impl CephFs {
    /// Starts one, and waits until every node has it mounted.
    pub fn start(setup: Setup) -> anyhow::Result<Self> {
        programs::packaged(CEPH_FUSE, PACKAGE)?;
        let nodes = setup.nodes.unwrap_or(NODES);
        let network = Network::new(1 + nodes)?;
        let ceph = {
            let _inside = network.host(SERVERS).enter()?;
            let mds = if setup.standby { 2 } else { 1 };
            Ceph::start_with_files(ForFiles { address: address(SERVERS), mds, conf: &configuration(setup)? })?
        };
        let mount = |node: usize| Mount::new(&ceph.dir().join(format!("node{node}")));
        let mounts = (0..nodes).map(mount).collect::<anyhow::Result<_>>()?;
        let fs = Self { mounts, ceph, network, setup };
        fs.set_session_timeout()?;
        (0..nodes).try_for_each(|node| fs.start_mount(node))?;
        fs.mounts.iter().try_for_each(Mount::wait_mounted).context("mount a CephFS")?;
        Ok(fs)
    }

    fn set_session_timeout(&self) -> anyhow::Result<()> {
        let Some(timeout) = self.setup.session_timeout else { return Ok(()) };
        let seconds = timeout.as_secs().to_string();
        for variable in ["session_timeout", "session_autoclose"] {
            self.ceph(&["fs", "set", self.ceph.file_system(), variable, &seconds])?;
        }
        Ok(())
    }

    /// Starts the process behind a node's mount.
    pub(super) fn start_mount(&self, node: usize) -> anyhow::Result<()> {
        let mount = &self.mounts[node];
        mount.start(&mut self.mount_command(node), self.network.host(host_of(node)))
    }

    fn mount_command(&self, node: usize) -> Command {
        let mut command = self.ceph.command(CEPH_FUSE);
        let log = self.ceph.dir().join(format!("node{node}.log"));
        // All clients are the same user: a socket by its default name would be everybody's.
        command.args(["-f", "--name", ADMIN, "--admin-socket", "", "--log-file"]).arg(log);
        if self.setup.reconnect_stale {
            command.arg("--client-reconnect-stale=true");
        }
        command
    }
}

fn configuration(setup: Setup) -> anyhow::Result<String> {
    let mut lines = BEACON.to_owned();
    if setup.standby {
        lines.push_str(FAST_STANDBY);
    }
    if setup.no_blocklist {
        lines.push_str(NO_BLOCKLIST);
    }
    if let Some(timeout) = setup.reconnect_timeout {
        writeln!(lines, "mds reconnect timeout = {}", timeout.as_secs())?;
    }
    Ok(lines)
}
