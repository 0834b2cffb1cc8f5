//! What MooseFS does with the lock. It is the master's alone: all but the chunkserver's faults are without one.

use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::Trial;
use mutex_tests::services::cluster_fs::ClusterFs;
use mutex_tests::services::moosefs::{self, MooseFs, Setup};

use crate::FileSystem;
use crate::outcome::Outcome;
use crate::scenario::{HOLDER, LONG, Scenario};
use crate::table::Table;

pub(crate) const MOOSEFS: FileSystem = FileSystem {
    name: "MooseFS",
    shared: || Ok(moosefs::shared()?),
    own: || Ok(Box::new(plain()?)),
    one_kind: false,
    caution: Some((|| Ok(Box::new(with_local_locks()?)), "mfsnoposixlocks")),
    end_shared: moosefs::end_shared,
    scenarios,
};

/// In the first two minutes of a master no session ends by itself; later, 70 s after its mount was last heard of.
const BEYOND_THE_SESSION: Duration = Duration::from_secs(140);

fn plain() -> anyhow::Result<MooseFs> {
    MooseFs::start(Setup::default())
}

fn with_local_locks() -> anyhow::Result<MooseFs> {
    MooseFs::start(Setup { mount_options: "mfsnoposixlocks", ..Setup::default() })
}

fn with_chunkserver() -> anyhow::Result<MooseFs> {
    MooseFs::start(Setup { chunkserver: true, ..Setup::default() })
}

fn scenarios(table: &Arc<Table>) -> Vec<Trial> {
    let seconds = Duration::from_secs;
    let at_once = Duration::ZERO;
    let all = vec![
        Scenario::new(
            "master frozen for 0.8 s",
            plain,
            |fs| Ok(fs.frozen()),
            Duration::from_millis(800),
            Outcome::Kept,
        ),
        Scenario::new("master frozen for 5 s", plain, |fs| Ok(fs.frozen()), seconds(5), Outcome::Kept).patient(),
        Scenario::new("master frozen", plain, |fs| Ok(fs.frozen()), LONG, Outcome::Hangs),
        Scenario::new("master frozen for a minute", plain, |fs| Ok(fs.frozen()), seconds(60), Outcome::Hangs).slow(),
        Scenario::new(
            "master killed and restarted at once",
            plain,
            |fs| Ok(fs.master_killed()),
            at_once,
            Outcome::Kept,
        )
        .patient(),
        Scenario::new(
            "master killed and restarted after 4 s",
            plain,
            |fs| Ok(fs.master_killed()),
            seconds(4),
            Outcome::Kept,
        )
        .patient(),
        Scenario::new("master killed", plain, |fs| Ok(fs.master_killed()), LONG, Outcome::Hangs),
        Scenario::new(
            "master stopped and started at once",
            plain,
            |fs| Ok(fs.master_stopped()),
            at_once,
            Outcome::Kept,
        )
        .patient(),
        Scenario::new(
            "master restarted without the end of its log",
            plain,
            |fs| Ok(fs.locks_forgotten()),
            at_once,
            Outcome::Dropped,
        )
        .patient(),
        Scenario::new("chunkserver killed", with_chunkserver, |fs| Ok(fs.chunkserver_killed()), LONG, Outcome::Kept),
        Scenario::new("chunkserver frozen", with_chunkserver, |fs| Ok(fs.chunkserver_frozen()), LONG, Outcome::Kept),
        Scenario::new("mount cut off for 3 s", plain, |fs| Ok(fs.mount_cut_off(HOLDER)), seconds(3), Outcome::Kept)
            .patient(),
        Scenario::new("mount cut off", plain, |fs| Ok(fs.mount_cut_off(HOLDER)), LONG, Outcome::HangsAlone),
        Scenario::new(
            "mount cut off, its session removed by an admin",
            plain,
            |fs| Ok(fs.cut_off_and_removed(HOLDER)),
            LONG,
            Outcome::HangsAlone,
        )
        .patient(),
        Scenario::new("mfsmount frozen", plain, |fs| Ok(fs.client_frozen(HOLDER)), LONG, Outcome::HangsAlone),
        Scenario::new(
            "mfsmount frozen beyond its session",
            plain,
            |fs| Ok(fs.client_frozen(HOLDER)),
            BEYOND_THE_SESSION,
            Outcome::HangsAlone,
        )
        .slow(),
        Scenario::new("mfsmount killed", plain, |fs| Ok(fs.client_killed(HOLDER)), LONG, Outcome::LeftBehind),
        Scenario::new(
            "mfsmount killed, its session removed by an admin",
            plain,
            |fs| Ok(fs.client_killed_and_removed(HOLDER)),
            LONG,
            Outcome::Reported,
        ),
        Scenario::new("umount -l", plain, |fs| Ok(fs.unmounted(HOLDER)), LONG, Outcome::Reported),
    ];
    all.into_iter().filter_map(|scenario| scenario.trial(MOOSEFS.name, table)).collect()
}
