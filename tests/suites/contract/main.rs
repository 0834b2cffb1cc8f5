//! The contract between CTDB and a cluster mutex helper (DESIGN, P1 to P8): every case over every row of the roster.
//!
//! A trial is called `ROW: CASE`, and a case is a sentence. The deliberately wrong helper runs beside them:
//! `wrong helper: CASE fails with bug NAME` passes when the case fails for the right reason.
//!
//! HELPER_DIR names the directory of the helpers (default: where cargo put them). SLOW=1 adds one trial a case in which
//! the wrong helper has no bug and must pass.

mod answers;
mod bugs;
mod crowd;
mod descriptors;
mod hung;
mod losses;
mod parents;
mod processes;
mod rival;
mod stopping;

use std::num::NonZero;
use std::time::Duration;

use anyhow::ensure;
use libtest_mimic::{Arguments, Failed, Trial};
use mutex_tests::process::helper::Helper;
use mutex_tests::roster::{self, Bench, Row};
use mutex_tests::services::{ceph, cephfs, etcd, gluster, moosefs};
use mutex_tests::wait::wait_for;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// A promise to be tried on any row.
#[derive(Clone, Copy)]
struct Case {
    /// What is promised.
    name: &'static str,
    /// The trial of it. Never panics, so that a wrong helper's failure can be looked at.
    run: fn(&Row) -> anyhow::Result<()>,
    /// Whether it says anything about this row.
    applies: fn(&Row) -> bool,
}

impl Case {
    const fn new(name: &'static str, run: fn(&Row) -> anyhow::Result<()>) -> Self {
        Self { name, run, applies: |_| true }
    }

    /// One that freezes the store.
    const fn hung(name: &'static str, run: fn(&Row) -> anyhow::Result<()>) -> Self {
        Self { name, run, applies: |row| row.hangable.is_some() }
    }
}

/// What a machine of two cores that runs other trials too adds to a measured time. A helper whose mistake is smaller
/// than this is not caught by a time; cases about order stop a process instead of comparing times.
const NOISE: Duration = Duration::from_millis(250);

/// "At once" (P4): no waiting for anything outside the process.
const AT_ONCE: Duration = NOISE;

/// How long a process may take to go, whatever the store does (P4).
const GONE: Duration = Duration::from_secs(1).saturating_add(NOISE);

/// Every case.
fn cases() -> Vec<Case> {
    [
        answers::CASES,
        stopping::CASES,
        parents::CASES,
        processes::CASES,
        losses::CASES,
        hung::CASES,
        descriptors::CASES,
        crowd::CASES,
        rival::CASES,
    ]
    .concat()
}

fn main() -> anyhow::Result<()> {
    // Many takers have a few descriptors each.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most.min(65_536), most)?;

    let mut trials = Vec::new();
    for row in 0..roster::rows().len() {
        for case in cases() {
            let row = roster::rows().swap_remove(row);
            if (case.applies)(&row) {
                let name = format!("{}: {}", row.name, case.name);
                trials.push(Trial::test(name, move || (case.run)(&row).map_err(failed)));
            }
        }
    }
    trials.extend(bugs::trials(&cases()));
    if std::env::var_os("SLOW").is_some() {
        trials.extend(bugs::trials_without_bug(&cases()));
    }
    let mut arguments = Arguments::from_args();
    // Most of a trial is waiting, for stores that hang and leases that end: two cores have time for three. Measured: 326 s
    // instead of 531 s, with half a core to spare.
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    arguments.test_threads.get_or_insert(cores + 1);
    let conclusion = libtest_mimic::run(&arguments, trials);
    // They have the services that outlive a case, and the line below runs no destructor.
    ceph::end_shared();
    cephfs::end_shared();
    etcd::end_shared();
    gluster::end_shared();
    moosefs::end_shared();
    conclusion.exit()
}

fn failed(error: anyhow::Error) -> Failed {
    format!("{error:#}").into()
}

/// Waits until nobody has the lock.
fn wait_free(bench: &Bench<'_>, limit: Duration) -> anyhow::Result<()> {
    // An unanswerable look counts as held: the limit then says that it never became free.
    wait_for("the lock to be free", limit, || (!bench.store().is_held().unwrap_or(true)).then_some(()))?;
    Ok(())
}

/// The lock is held at this moment.
fn ensure_held(bench: &Bench<'_>, when: &str) -> anyhow::Result<()> {
    ensure!(bench.store().is_held()?, "the lock is free {when}");
    Ok(())
}

/// The pipe ends at once, then the lock is free and the process gone.
fn ensure_lets_go(bench: &Bench<'_>, holder: &Helper) -> anyhow::Result<()> {
    holder.end(AT_ONCE)?;
    wait_free(bench, GONE)?;
    holder.gone(GONE)?;
    Ok(())
}
