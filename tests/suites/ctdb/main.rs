//! The helpers as the cluster lock of a real CTDB cluster of three nodes.
//!
//! One cluster a kind of lock serves all its trials, one after the other, and ends when those of the next kind begin; a
//! trial that fails ends it, and the next starts another. Times are from just before the fault to the line
//! `Took cluster lock` in the new leader's log; where nobody can lead while the fault lasts, from its end.
//!
//! | module | what is in it |
//! |---|---|
//! | `bench` | the cluster that the trials share, and what has to be true after each |
//! | `kind` | the kinds of lock, and what each is in |
//! | `stopwatch` | from a fault to the new leader |
//! | `at_once` | the helper ended: CTDB elects at once |
//! | `successor` | the leader ended: CTDB elects when it has missed it |
//! | `file` | what is so with a lock in a file alone |
//! | `lease` | what is so with a lock that has a lease alone |
//! | `members` | what is so with a lock in etcd alone |
//!
//! HELPER_DIR names the directory of the helpers (default: where cargo put them). SLOW=1 adds the runs that make up a
//! median, and for the long lease what does not depend on it.

mod at_once;
mod bench;
mod file;
mod kind;
mod lease;
mod members;
mod stopwatch;
mod successor;

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use libtest_mimic::{Arguments, Failed, Trial};
use mutex_tests::times::Times;

use bench::{Bench, Running};
use kind::Kind;

const NODES: usize = 3;

/// What is tried often.
const RUNS: u32 = 20;

/// CTDB misses the leader after `leader timeout`, 5 s from its last broadcast, and then elects. 1.5 s are the machine's.
/// A second period would come after 9 s or more.
const FIRST_PERIOD: Duration = Duration::from_millis(6500);

/// How long a trial waits before it says that what should have come did not come at all.
const IN_VAIN: Duration = Duration::from_secs(30);

/// After an election: until all nodes have heard of the new leader (it broadcasts once a second), and until nothing is left
/// of the others' tries and of the old leader's helper (P4: 1 s).
const SETTLED: Duration = Duration::from_secs(5);

/// Its name is the trial's.
type Case = (&'static str, fn(&Running) -> anyhow::Result<Times>);

fn main() {
    let mut arguments = Arguments::from_args();
    // The trials share the cluster: side by side they would only count each other's waiting.
    arguments.test_threads = Some(1);
    let bench = Arc::new(Bench::default());
    let trials = Kind::ALL.into_iter().flat_map(|kind| trials(&bench, kind)).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    print!("{}", bench.table());
    // `exit` runs no destructors.
    bench.end();
    conclusion.exit();
}

fn trials(bench: &Arc<Bench>, kind: Kind) -> Vec<Trial> {
    let healthy = trial(bench, kind, "three nodes get healthy", Bench::start);
    let last: Case = ("never two leaders that both hold the lock", never_two);
    let cases = kind.cases().into_iter().chain([last]);
    let cases = cases.map(|(name, case)| trial(bench, kind, name, move |bench, kind| bench.run(kind, case)));
    std::iter::once(healthy).chain(cases).collect()
}

fn trial(
    bench: &Arc<Bench>,
    kind: Kind,
    name: &str,
    run: impl FnOnce(&Bench, Kind) -> anyhow::Result<Times> + Send + 'static,
) -> Trial {
    let name = format!("{}: {name}", kind.name());
    let bench = Arc::clone(bench);
    Trial::test(name.clone(), move || match run(&bench, kind) {
        Ok(times) => {
            bench.note(name, times);
            Ok(())
        }
        Err(error) => Err(Failed::from(format!("{error:#}"))),
    })
}

/// Whether there is time for what is too long for CI.
fn slow() -> bool {
    std::env::var_os("SLOW").is_some()
}

/// Every trial checks this for itself; this one says that the watcher has looked, and has seen what the others did.
fn never_two(running: &Running) -> anyhow::Result<Times> {
    let watcher = running.cluster.watcher()?;
    let summary = watcher.summary();
    ensure!(summary.tenures >= 1 && summary.looks >= 1, "the watcher has seen nobody take the lock");
    ensure!(watcher.clashes().is_empty(), "{}", watcher.clashes().join("\n"));
    Ok(Times::default())
}
