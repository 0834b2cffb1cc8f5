//! What CephFS does with the lock. It is the MDS's, which hands it on to the next one; the OSDs have no part in it.

use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::Trial;
use mutex_tests::fault::Fault;
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::services::cephfs::{self, CephFs, Setup};
use mutex_tests::services::cluster_fs::ClusterFs;

use crate::outcome::Outcome;
use crate::scenario::{HOLDER, LONG, Scenario, Timing};
use crate::table::Table;
use crate::{FileSystem, GONE, NOISE, helper, trial};

pub(crate) const CEPHFS: FileSystem = FileSystem {
    name: "CephFS",
    shared: || Ok(cephfs::shared()?),
    own: || Ok(Box::new(plain()?)),
    one_kind: false,
    caution: None,
    end_shared: cephfs::end_shared,
    scenarios,
};

/// A standby has taken over by then, which it does after 4 s.
const BEYOND_THE_TAKEOVER: Duration = Duration::from_secs(9);

/// How long a restarted MDS waits for its clients, where the case is to be short, and when it has given the lock of one
/// that has not come to another: it looks every 5 s.
const RECONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const BEYOND_THE_RECONNECT: Duration = Duration::from_secs(20);

/// The least that the MDS takes for a session's, and when it has ended one that is silent.
const SESSION_TIMEOUT: Duration = Duration::from_secs(30);
const BEYOND_THE_SESSION: Duration = Duration::from_secs(50);

fn plain() -> anyhow::Result<CephFs> {
    CephFs::start(Setup::default())
}

fn with_standby() -> anyhow::Result<CephFs> {
    CephFs::start(Setup { standby: true, ..Setup::default() })
}

fn without_blocklist() -> anyhow::Result<CephFs> {
    CephFs::start(Setup { no_blocklist: true, ..Setup::default() })
}

fn reconnecting() -> anyhow::Result<CephFs> {
    CephFs::start(Setup { reconnect_stale: true, ..Setup::default() })
}

fn reconnecting_without_blocklist() -> anyhow::Result<CephFs> {
    CephFs::start(Setup { no_blocklist: true, reconnect_stale: true, ..Setup::default() })
}

fn impatient_after_a_restart() -> anyhow::Result<CephFs> {
    CephFs::start(Setup { reconnect_timeout: Some(RECONNECT_TIMEOUT), ..Setup::default() })
}

fn with_short_sessions() -> anyhow::Result<CephFs> {
    CephFs::start(Setup { session_timeout: Some(SESSION_TIMEOUT), ..Setup::default() })
}

fn scenarios(table: &Arc<Table>) -> Vec<Trial> {
    let all = [servers(), mounts(), sessions()].into_iter().flatten();
    let evicted = format!("{}: a try on the mount of an evicted client: silence, then 2 with one line", CEPHFS.name);
    all.filter_map(|scenario| scenario.trial(CEPHFS.name, table))
        .chain([trial(evicted, try_on_evicted_mount)])
        .collect()
}

/// CTDB's probe on that node fails the recovery with a quick `3`. A client that has just been evicted says of what it is
/// asked for first that it does not exist.
fn try_on_evicted_mount() -> anyhow::Result<()> {
    let fs = plain()?;
    let file = fs.mount_point(HOLDER).join("lock");
    let holder = helper(&file, "posix", 1, 2)?.start()?;
    holder.expect('0', ANSWER_LIMIT)?;
    let fault = fs.client_evicted(HOLDER);
    let _evicted = fault.inject()?;
    // Then the client knows.
    holder.end(Timing::FAST.reported() + NOISE)?;
    let taker = helper(&file, "posix", 1, 2)?.args(&["--acquire-timeout-seconds", "2"]).start()?;
    taker.expect('2', ANSWER_LIMIT)?;
    taker.gone(GONE)?;
    taker.one_line().map(drop)
}

/// Something happens to the servers.
fn servers() -> Vec<Scenario<CephFs>> {
    let frozen: for<'a> fn(&'a CephFs) -> anyhow::Result<Fault<'a>> = |fs| Ok(fs.frozen());
    let mds_frozen: for<'a> fn(&'a CephFs) -> anyhow::Result<Fault<'a>> = |fs| Ok(fs.mds_frozen());
    let mds_killed: for<'a> fn(&'a CephFs) -> anyhow::Result<Fault<'a>> = |fs| Ok(fs.mds_killed());
    let osds_frozen: for<'a> fn(&'a CephFs) -> anyhow::Result<Fault<'a>> = |fs| Ok(fs.osds_frozen());
    let seconds = Duration::from_secs;
    vec![
        Scenario::new("MDS frozen for 0.8 s", plain, mds_frozen, Duration::from_millis(800), Outcome::Kept),
        Scenario::new("MDS frozen for 5 s", plain, mds_frozen, seconds(5), Outcome::Kept).patient(),
        Scenario::new("MDS frozen", plain, mds_frozen, LONG, Outcome::Hangs),
        Scenario::new("all servers frozen", plain, frozen, LONG, Outcome::Hangs),
        Scenario::new("all servers frozen for a minute", plain, frozen, seconds(60), Outcome::Hangs).slow(),
        Scenario::new("MDS killed and restarted at once", plain, mds_killed, Duration::ZERO, Outcome::Kept).patient(),
        Scenario::new("MDS killed and restarted after 4 s", plain, mds_killed, seconds(4), Outcome::Kept).patient(),
        Scenario::new("MDS killed", plain, mds_killed, LONG, Outcome::Hangs),
        Scenario::new("MDS killed, a standby takes over", with_standby, mds_killed, BEYOND_THE_TAKEOVER, Outcome::Kept)
            .patient(),
        Scenario::new(
            "MDS frozen, and thawed when a standby has taken over",
            with_standby,
            mds_frozen,
            BEYOND_THE_TAKEOVER,
            Outcome::Kept,
        )
        .patient(),
        Scenario::new("OSDs frozen", plain, osds_frozen, LONG, Outcome::Hangs),
    ]
}

/// Something happens to the holder's mount.
fn mounts() -> Vec<Scenario<CephFs>> {
    let cut_off: for<'a> fn(&'a CephFs) -> anyhow::Result<Fault<'a>> = |fs| Ok(fs.mount_cut_off(HOLDER));
    let client_frozen: for<'a> fn(&'a CephFs) -> anyhow::Result<Fault<'a>> = |fs| Ok(fs.client_frozen(HOLDER));
    vec![
        Scenario::new("mount cut off for 3 s", plain, cut_off, Duration::from_secs(3), Outcome::Kept).patient(),
        Scenario::new("mount cut off", plain, cut_off, LONG, Outcome::HangsAlone),
        Scenario::new(
            "mount cut off beyond its session",
            with_short_sessions,
            cut_off,
            BEYOND_THE_SESSION,
            Outcome::HangsAlone,
        )
        .slow(),
        Scenario::new(
            "mount cut off, and its session lost in an MDS restart",
            impatient_after_a_restart,
            |fs| Ok(fs.mount_cut_off_as_the_mds_restarts(HOLDER)),
            BEYOND_THE_RECONNECT,
            Outcome::HangsAlone,
        ),
        Scenario::new("ceph-fuse frozen", plain, client_frozen, LONG, Outcome::HangsAlone),
        Scenario::new(
            "ceph-fuse frozen beyond its session",
            with_short_sessions,
            client_frozen,
            BEYOND_THE_SESSION,
            Outcome::HangsAlone,
        )
        .slow(),
        Scenario::new("ceph-fuse killed", plain, |fs| Ok(fs.client_killed(HOLDER)), LONG, Outcome::LeftBehind),
        Scenario::new(
            "ceph-fuse killed, its session evicted by an admin",
            plain,
            |fs| Ok(fs.client_killed_and_evicted(HOLDER)),
            LONG,
            Outcome::Reported,
        ),
        Scenario::new("umount -l", plain, |fs| Ok(fs.unmounted(HOLDER)), LONG, Outcome::Reported),
    ]
}

/// The MDS sends the holder's client away. What that one is told depends on the configuration.
fn sessions() -> Vec<Scenario<CephFs>> {
    let evicted: for<'a> fn(&'a CephFs) -> anyhow::Result<Fault<'a>> = |fs| Ok(fs.client_evicted(HOLDER));
    // Then the client has all that it knows of the file in its own memory.
    let quiet = |scenario| Scenario { quiet: true, ..scenario };
    vec![
        Scenario::new("client evicted", plain, evicted, LONG, Outcome::Dropped),
        quiet(Scenario::new("client evicted, nobody else at the file", plain, evicted, LONG, Outcome::Dropped)),
        Scenario::new("client evicted, client_reconnect_stale", reconnecting, evicted, LONG, Outcome::Dropped),
        quiet(Scenario::new(
            "client evicted, no blocklist, nobody else at the file",
            without_blocklist,
            evicted,
            LONG,
            Outcome::DroppedInSilence,
        )),
        Scenario::new(
            "client evicted, no blocklist, client_reconnect_stale",
            reconnecting_without_blocklist,
            evicted,
            LONG,
            Outcome::Dropped,
        ),
    ]
}
