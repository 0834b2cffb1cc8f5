//! What can be done to a volume, beside what can be done to every cluster file system.

use super::{BRICKS, Gluster, VOLUME};
use crate::fault::Fault;

impl Gluster {
    /// The brick's process is gone, and with it the locks it kept. Healed by a start on its files; waits until every mount
    /// that can be is connected again.
    pub fn brick_killed(&self, brick: usize) -> Fault<'_> {
        self.killed("brick killed", vec![brick])
    }

    /// The same of two: without a quorum every call fails.
    pub fn quorum_killed(&self, survivor: usize) -> Fault<'_> {
        self.killed("quorum of bricks killed", all_but(survivor))
    }

    /// The same of all.
    pub fn bricks_killed(&self) -> Fault<'_> {
        self.killed("all bricks killed", (0..BRICKS).collect())
    }

    /// The brick does not answer, so nor does a lock call, which asks every one, until the client gives it up
    /// (`network.ping-timeout`).
    pub fn brick_frozen(&self, brick: usize) -> Fault<'_> {
        self.bricks_frozen("brick frozen", vec![brick])
    }

    /// The same of two.
    pub fn quorum_frozen(&self, survivor: usize) -> Fault<'_> {
        self.bricks_frozen("quorum of bricks frozen", all_but(survivor))
    }

    /// So many bricks are killed and started again, one after the other, as in an update. Each comes back without locks.
    /// Nothing to heal.
    pub fn bricks_rolled(&self, count: usize) -> Fault<'_> {
        Fault::new("bricks restarted one by one", move || self.restart(count), || Ok(()))
    }

    /// The taker's node has given up the last brick, which it does not reach, and the others are restarted one by one: the
    /// taker does not see the one brick that still has the lock. For a volume with a short `ping_timeout`.
    pub fn split(&self, taker: usize) -> Fault<'_> {
        const LAST: usize = BRICKS - 1;
        let inject = move || {
            self.separate(taker, LAST)?;
            self.mounts[taker].wait_connected_to(LAST)?;
            self.restart(LAST)?;
            self.mounts[taker].wait_connected_to(LAST)
        };
        Fault::new("a brick cut off from the taker, the others restarted", inject, move || self.unite(taker, LAST))
    }

    /// The node's mount and one brick do not hear of each other, and nobody is told.
    pub fn brick_cut_off(&self, node: usize, brick: usize) -> Fault<'_> {
        Fault::new("brick cut off from a mount", move || self.separate(node, brick), move || self.unite(node, brick))
    }

    /// What an admin does: `gluster volume clear-locks`, of every lock on a file, named from the volume's top.
    pub fn locks_cleared<'a>(&'a self, file: &'a str) -> Fault<'a> {
        Fault::new("locks cleared", move || self.clear_locks(file), || Ok(()))
    }

    /// Does that.
    pub fn clear_locks(&self, file: &str) -> anyhow::Result<()> {
        self.gluster(&["volume", "clear-locks", VOLUME, file, "kind", "granted", "posix"]).map(drop)
    }

    /// The process that serves the volume's description, not its files.
    pub fn glusterd_killed(&self) -> Fault<'_> {
        Fault::new("glusterd killed", || self.server.kill_glusterd(), || self.server.start_glusterd())
    }

    /// An option of the volume changed while it is used: every client puts its graph of translators together anew, and
    /// moves its open files and its locks there.
    pub fn option_changed(&self) -> Fault<'_> {
        let set = |value| self.gluster(&["volume", "set", VOLUME, "performance.quick-read", value]).map(drop);
        Fault::new("volume option changed", move || set("off"), move || set("on"))
    }

    fn killed(&self, name: &'static str, bricks: Vec<usize>) -> Fault<'_> {
        Fault::new(
            name,
            move || bricks.iter().try_for_each(|&brick| self.server.kill_brick(brick)),
            || self.start_bricks(),
        )
    }

    fn bricks_frozen(&self, name: &'static str, bricks: Vec<usize>) -> Fault<'_> {
        let again = bricks.clone();
        Fault::new(
            name,
            move || bricks.iter().try_for_each(|&brick| self.server.brick(brick)?.freeze()),
            move || again.iter().try_for_each(|&brick| self.server.brick(brick)?.go_on()),
        )
    }

    /// The first so many.
    fn restart(&self, count: usize) -> anyhow::Result<()> {
        (0..count).try_for_each(|brick| {
            self.server.kill_brick(brick)?;
            self.start_bricks()
        })
    }

    fn start_bricks(&self) -> anyhow::Result<()> {
        self.server.start_bricks()?;
        self.mounts.iter().filter(|mount| mount.is_well()).try_for_each(|mount| mount.wait_connected())
    }

    fn separate(&self, node: usize, brick: usize) -> anyhow::Result<()> {
        // No longer one to which every brick will be connected.
        self.mounts[node].set_cut_off(true);
        self.hosts.separate(node, brick)
    }

    fn unite(&self, node: usize, brick: usize) -> anyhow::Result<()> {
        self.mounts[node].set_cut_off(false);
        self.hosts.unite(node, brick)
    }
}

fn all_but(survivor: usize) -> Vec<usize> {
    (0..BRICKS).filter(|&brick| brick != survivor).collect()
}
