//! What GlusterFS does with the lock. Each brick has it in memory, and a brick that is started again has none; a taker
//! needs every brick that it is connected to.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use libtest_mimic::Trial;
use mutex_tests::fault::Fault;
use mutex_tests::services::cluster_fs::ClusterFs;
use mutex_tests::services::gluster::{self, Gluster, Setup};

use crate::FileSystem;
use crate::outcome::Outcome;
use crate::scenario::{HOLDER, LONG, Scenario, TAKER};
use crate::table::Table;

pub(crate) const GLUSTER: FileSystem = FileSystem {
    name: "GlusterFS",
    shared: || Ok(gluster::shared()?),
    own: || Ok(Box::new(plain()?)),
    one_kind: true,
    caution: Some((|| Ok(Box::new(lax()?)), "client.strict-locks")),
    end_shared: gluster::end_shared,
    scenarios,
};

/// The bricks have dropped a client that is silent, and clients that give bricks up have.
const BEYOND_TCP: Duration = Duration::from_secs(9);

/// As `LONG`, where the bricks have their default `server.tcp-user-timeout` of 42 s.
const BEYOND_DEFAULT_TCP: Duration = Duration::from_secs(50);

/// Nobody gives up a brick that is silent.
fn plain() -> anyhow::Result<Gluster> {
    Gluster::start(Setup::default())
}

/// Clients give up a brick that is silent for 3 to 6 s.
fn giving_up() -> anyhow::Result<Gluster> {
    Gluster::start(Setup { ping_timeout: Duration::from_secs(3), ..Setup::default() })
}

/// As GlusterFS is by default.
fn lax() -> anyhow::Result<Gluster> {
    Gluster::start(Setup { strict_locks: false, ..Setup::default() })
}

/// Bricks are as patient with clients as by default.
fn patient_bricks() -> anyhow::Result<Gluster> {
    Gluster::start(Setup { tcp_user_timeout: None, ..Setup::default() })
}

/// Every lock there is, on any file.
fn cleared(volume: &Gluster) -> anyhow::Result<Fault<'_>> {
    let mut files = Vec::new();
    for dir in fs::read_dir(volume.directory().join("brick0")).context("list a brick")? {
        let name = dir?.file_name().to_string_lossy().into_owned();
        if name.starts_with("locks-") {
            files.extend(crate::LOCK_TYPES.map(|lock_type| format!("/{name}/{lock_type}")));
        }
    }
    let clear = move || files.iter().try_for_each(|file| volume.clear_locks(file));
    Ok(Fault::new("locks cleared", clear, || Ok(())))
}

fn scenarios(table: &Arc<Table>) -> Vec<Trial> {
    let seconds = Duration::from_secs;
    let at_once = Duration::ZERO;
    let all = vec![
        Scenario::new(
            "volume frozen for 0.8 s",
            plain,
            |fs| Ok(fs.frozen()),
            Duration::from_millis(800),
            Outcome::Kept,
        ),
        Scenario::new("volume frozen for 5 s", plain, |fs| Ok(fs.frozen()), seconds(5), Outcome::Kept).patient(),
        Scenario::new("volume frozen", plain, |fs| Ok(fs.frozen()), LONG, Outcome::Hangs),
        Scenario::new("volume frozen for a minute", plain, |fs| Ok(fs.frozen()), seconds(60), Outcome::Hangs).slow(),
        Scenario::new("one brick frozen", plain, |fs| Ok(fs.brick_frozen(0)), LONG, Outcome::Hangs),
        Scenario::new(
            "one brick frozen, and given up",
            giving_up,
            |fs| Ok(fs.brick_frozen(0)),
            BEYOND_TCP,
            Outcome::Kept,
        )
        .patient(),
        Scenario::new(
            "two bricks frozen, and given up",
            giving_up,
            |fs| Ok(fs.quorum_frozen(0)),
            BEYOND_TCP,
            Outcome::Dropped,
        )
        .patient(),
        Scenario::new("first brick killed", plain, |fs| Ok(fs.brick_killed(0)), LONG, Outcome::Kept),
        Scenario::new("last brick killed", plain, |fs| Ok(fs.brick_killed(2)), LONG, Outcome::Kept),
        Scenario::new("two bricks killed", plain, |fs| Ok(fs.quorum_killed(0)), LONG, Outcome::Reported),
        Scenario::new(
            "all bricks killed and restarted at once",
            plain,
            |fs| Ok(fs.bricks_killed()),
            at_once,
            Outcome::Reported,
        ),
        Scenario::new(
            "two bricks restarted, one after the other",
            plain,
            |fs| Ok(fs.bricks_rolled(2)),
            at_once,
            Outcome::Dropped,
        ),
        Scenario::new(
            "all bricks restarted, one after the other, client.strict-locks off",
            lax,
            |fs| Ok(fs.bricks_rolled(3)),
            at_once,
            Outcome::PassedOn,
        ),
        Scenario::new(
            "two bricks restarted, one after the other, the third cut off from the taker",
            giving_up,
            |fs| Ok(fs.split(TAKER)),
            BEYOND_TCP,
            Outcome::Dropped,
        )
        .patient(),
        Scenario::new("locks cleared by an admin", plain, cleared, LONG, Outcome::Dropped),
        Scenario::new("glusterd killed", plain, |fs| Ok(fs.glusterd_killed()), LONG, Outcome::Kept),
        Scenario::new("volume option changed", plain, |fs| Ok(fs.option_changed()), LONG, Outcome::Kept).patient(),
        Scenario::new("mount cut off for 3 s", plain, |fs| Ok(fs.mount_cut_off(HOLDER)), seconds(3), Outcome::Kept)
            .patient(),
        Scenario::new("mount cut off", plain, |fs| Ok(fs.mount_cut_off(HOLDER)), BEYOND_TCP, Outcome::HangsAlone),
        Scenario::new(
            "mount cut off, bricks as patient as by default",
            patient_bricks,
            |fs| Ok(fs.mount_cut_off(HOLDER)),
            BEYOND_DEFAULT_TCP,
            Outcome::HangsAlone,
        )
        .slow(),
        Scenario::new(
            "mount cut off from one brick, and that given up",
            giving_up,
            |fs| Ok(fs.brick_cut_off(HOLDER, 0)),
            BEYOND_TCP,
            Outcome::Kept,
        )
        .patient(),
        Scenario::new("glusterfs frozen", plain, |fs| Ok(fs.client_frozen(HOLDER)), LONG, Outcome::HangsAlone),
        Scenario::new(
            "glusterfs frozen for a minute",
            plain,
            |fs| Ok(fs.client_frozen(HOLDER)),
            seconds(60),
            Outcome::HangsAlone,
        )
        .slow(),
        Scenario::new("glusterfs killed", plain, |fs| Ok(fs.client_killed(HOLDER)), LONG, Outcome::Reported),
        Scenario::new("umount -l", plain, |fs| Ok(fs.unmounted(HOLDER)), LONG, Outcome::Reported),
    ];
    all.into_iter().filter_map(|scenario| scenario.trial(GLUSTER.name, table)).collect()
}
