//! The Debian packages: installed in a minimal Debian beside the real ctdb, and used there.
//!
//! | module | what is in it |
//! |---|---|
//! | `system` | a Debian in a directory, with ctdb, and what can be done in it |
//! | `life` | installed, verified, enabled, refused, removed |
//! | `cluster` | three ctdbd started from there, with a lock of each kind; an upgrade under a holder |
//! | `contract` | the command of -tests |
//! | `same` | the files of each package beside those of its RPM |
//! | `selinux` | the module in Debian's own policy |
//!
//! PACKAGES_DIR names the directory that `tests/build-packages` has filled; without it that is run first.

mod cluster;
mod contract;
mod life;
mod same;
mod selinux;
mod system;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use mutex_tests::services::{ceph, etcd};

/// Its name is the trial's.
type Case = (&'static str, fn() -> anyhow::Result<()>);

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    let cases = [life::CASES, same::CASES, contract::CASES, selinux::CASES, cluster::CASES].concat();
    let trials: Vec<Trial> = cases
        .into_iter()
        .map(|(name, case)| Trial::test(name, move || case().map_err(|error| Failed::from(format!("{error:#}")))))
        .collect();
    // Clusters mostly wait.
    arguments.test_threads = arguments.test_threads.or(Some(4));
    let conclusion = libtest_mimic::run(&arguments, trials);
    ceph::end_shared();
    etcd::end_shared();
    system::end_shared();
    conclusion.exit_code()
}
