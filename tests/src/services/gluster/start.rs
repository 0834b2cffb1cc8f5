//! How a volume comes up: in two seconds, one of which glusterd sleeps.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};

use super::server::{Server, brick_dir};
use super::{BRICKS, Gluster, Guard, Hosts, Mount, PLACE_VARIABLE, PROGRAMS, Setup, VOLUME, hosts};
use crate::process::programs;
use crate::services::cluster_fs::NODES;
use crate::services::in_memory;

/// Far more than three bricks with a few small files.
const ROOM: u64 = 1 << 28;

/// On a machine that is very busy one start in forty failed, in a command that glusterd did not answer.
const ATTEMPTS: usize = 3;

impl Gluster {
    /// Starts the servers, makes the volume and mounts it on every node.
    pub fn start(setup: Setup) -> anyhow::Result<Self> {
        for (path, package) in PROGRAMS {
            programs::packaged(path, package)?;
        }
        let mut failed = anyhow!("not tried");
        for _ in 0..ATTEMPTS {
            match Self::attempt(setup) {
                Ok(gluster) => return Ok(gluster),
                Err(error) => failed = error,
            }
        }
        Err(failed.context(format!("start GlusterFS, in the last of {ATTEMPTS} attempts")))
    }

    fn attempt(setup: Setup) -> anyhow::Result<Self> {
        let dir = in_memory::directory("mutex-gluster-", ROOM).context("make the volume's directory")?;
        let guard = Guard::over(dir.path(), PLACE_VARIABLE)?;
        let hosts = Hosts::new()?;
        let said = || Server::said(dir.path());
        let server = Server::start(dir.path(), hosts.server()).with_context(said)?;
        make_volume(&server, dir.path(), setup).with_context(said)?;
        let mounts = (0..NODES).map(|node| Mount::new(dir.path().join(format!("node{node}"))));
        let gluster = Self { mounts: mounts.collect::<Result<_, _>>()?, server, hosts, _guard: guard, dir };
        gluster.mount_all()?;
        Ok(gluster)
    }

    /// Side by side.
    fn mount_all(&self) -> anyhow::Result<()> {
        std::thread::scope(|scope| {
            let mounting: Vec<_> = (0..NODES).map(|node| scope.spawn(move || self.mount(node))).collect();
            mounting.into_iter().try_for_each(|one| one.join().map_err(|_| anyhow!("a thread panicked"))?)
        })
    }
}

fn make_volume(server: &Server, dir: &Path, setup: Setup) -> anyhow::Result<()> {
    let place = |brick| format!("{}:{}", hosts::of_brick(brick), brick_dir(dir, brick).display());
    let bricks: Vec<String> = (0..BRICKS).map(place).collect();
    let bricks: Vec<&str> = bricks.iter().map(String::as_str).collect();
    server.gluster(&[&["volume", "create", VOLUME, "replica", "3"], &bricks[..], &["force"]].concat())?;
    let options = options(setup);
    let options: Vec<&str> = options.iter().flat_map(|(name, value)| [*name, value.as_str()]).collect();
    server.gluster(&[&["volume", "set", VOLUME], &options[..]].concat())?;
    server.gluster(&["volume", "start", VOLUME]).map(drop)
}

fn options(setup: Setup) -> Vec<(&'static str, String)> {
    let on_off = |on: bool| if on { "on" } else { "off" }.to_owned();
    let seconds = |time: Duration| time.as_secs().to_string();
    let mut options = vec![
        ("client.strict-locks", on_off(setup.strict_locks)),
        ("network.ping-timeout", seconds(setup.ping_timeout)),
        // It heals what was written, never a lock.
        ("cluster.self-heal-daemon", on_off(false)),
    ];
    if let Some(time) = setup.tcp_user_timeout {
        options.extend([
            ("server.tcp-user-timeout", seconds(time)),
            // An idle connection is found out by probes: when the first, how often, how many.
            ("server.keepalive-time", "2".to_owned()),
            ("server.keepalive-interval", "1".to_owned()),
            ("server.keepalive-count", time.as_secs().saturating_sub(2).max(1).to_string()),
        ]);
    }
    options
}
