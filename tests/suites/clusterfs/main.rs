//! The file helper on real cluster file systems, one mount a node: CephFS, GlusterFS and MooseFS.
//!
//! | module | what is in it |
//! |---|---|
//! | `exclusion` | one lock for all mounts, with each lock type, and with Samba's file helper |
//! | `places` | `--require-fs`, `--health` and `-v` on each |
//! | `scenario` | a fault while the lock is held on one mount and wanted on another |
//! | `outcome` | what can become of the lock, and what the helper owes then |
//! | `party` | a helper in such a scenario |
//! | `table` | what was measured, as docs/cluster-file-systems.md has it |
//! | `cephfs`, `gluster`, `moosefs` | the faults of each |
//!
//! Each scenario has a file system of its own. HELPER_DIR names the directory of the helper (default: where cargo put
//! it). SLOW=1 adds what takes a minute or more. The table of what was measured is printed at the end (`--nocapture` is
//! not needed for it).

mod cephfs;
mod exclusion;
mod gluster;
mod moosefs;
mod outcome;
mod party;
mod places;
mod scenario;
mod table;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use libtest_mimic::{Arguments, Trial};
use mutex_tests::process::launch::Launch;
use mutex_tests::process::programs;
use mutex_tests::services::cluster_fs::ClusterFs;

use table::Table;

/// What a machine of two cores that runs other trials too adds to a measured time.
const NOISE: Duration = Duration::from_millis(250);

/// How long a process may take to go, whatever the file system does (P4).
const GONE: Duration = Duration::from_secs(1).saturating_add(NOISE);

/// Trials at once: they mostly wait.
const THREADS: usize = 6;

/// The lock types, all of which each of the three makes cluster-wide.
const LOCK_TYPES: [&str; 3] = ["posix", "ofd", "flock"];

/// Starts a file system.
type Start = fn() -> anyhow::Result<Box<dyn ClusterFs>>;

/// One of the three.
#[derive(Clone, Copy)]
struct FileSystem {
    /// Before the name of each of its trials.
    name: &'static str,
    /// A running one, for trials that do it no harm, each in a directory of its own.
    shared: fn() -> anyhow::Result<Arc<dyn ClusterFs>>,
    /// One of the trial's own.
    own: Start,
    /// Whether flock and the other two are one kind of lock there.
    one_kind: bool,
    /// One set up so that a posix lock is not to be relied on, and the word for why.
    caution: Option<(Start, &'static str)>,
    /// What ends the shared one.
    end_shared: fn(),
    /// Its scenarios, as trials.
    scenarios: fn(&Arc<Table>) -> Vec<Trial>,
}

const FILE_SYSTEMS: &[FileSystem] = &[cephfs::CEPHFS, gluster::GLUSTER, moosefs::MOOSEFS];

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(THREADS));
    let table = Arc::new(Table::default());
    let trials = |system: &FileSystem| {
        [exclusion::trials(*system), places::trials(*system), (system.scenarios)(&table)].into_iter().flatten()
    };
    let mut all: Vec<Trial> = FILE_SYSTEMS.iter().flat_map(trials).collect();
    all.push(table::in_the_documentation(&table));
    let conclusion = libtest_mimic::run(&arguments, all);
    print!("{table}");
    // `exit` runs no destructors.
    FILE_SYSTEMS.iter().for_each(|system| (system.end_shared)());
    conclusion.exit()
}

fn trial(name: String, run: impl FnOnce() -> anyhow::Result<()> + Send + 'static) -> Trial {
    Trial::test(name, move || run().map_err(|error| format!("{error:#}").into()))
}

/// The helper about to be started on a file, with these times in seconds.
fn helper(file: &Path, lock_type: &str, recheck: u64, ping_timeout: u64) -> anyhow::Result<Launch> {
    let times = [recheck, ping_timeout].map(|seconds| OsString::from(seconds.to_string()));
    let launch = Launch::new(programs::helper("ctdb_mutex_file_helper")?, [file.into()].into_iter().chain(times));
    Ok(launch.args(&["--lock-type", lock_type]))
}

/// Makes a new directory for lock files, on the node 0's mount; its path there, relative to the mount.
fn new_directory(fs: &dyn ClusterFs) -> anyhow::Result<PathBuf> {
    let dir = tempfile::Builder::new().prefix("locks-").tempdir_in(fs.mount_point(0)).context("make a directory")?;
    // It goes with the file system: to remove it would be to touch a mount that may hang.
    let dir = dir.keep();
    dir.file_name().map(PathBuf::from).context("a directory without a name")
}
