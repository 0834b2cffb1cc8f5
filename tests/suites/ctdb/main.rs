//! The helpers as the cluster lock of a real CTDB cluster of three nodes.
//!
//! One cluster a kind of lock serves all its trials, one after the other, and ends with the last of them; a trial that
//! fails ends it, and the next starts another. Two kinds run side by side, since most of it is waiting: more with
//! `--test-threads N`, one after the other with 1. Times are from just before the fault to the line
//! `Took cluster lock` in the new leader's log; where nobody can lead while the fault lasts, from its end.
//!
//! | module | what is in it |
//! |---|---|
//! | `bench` | the cluster that the trials share, and what has to be true after each |
//! | `kind` | the kinds of lock, and what each is in |
//! | `mounts` | a cluster file system that each node finds at the same path |
//! | `stopwatch` | from a fault to the new leader |
//! | `errand` | what is asked of a mount that may hang |
//! | `at_once` | the helper ended: CTDB elects at once |
//! | `successor` | the leader ended: CTDB elects when it has missed it |
//! | `file` | what is so with a lock in a file alone |
//! | `cluster_fs` | what is so with a lock file on a cluster file system alone |
//! | `hang` | the file system hung for a minute |
//! | `lease` | what is so with a lock that has a lease alone |
//! | `members` | what is so with a lock in etcd alone |
//! | `event_script` | the event script: a node whose store does not answer is unhealthy |
//! | `monitored` | the event script enabled on each node, and what its events have done |
//!
//! HELPER_DIR names the directory of the helpers (default: where cargo put them). SLOW=1 adds the runs that make up a
//! median, and for the long lease what does not depend on it.

mod at_once;
mod bench;
mod cluster_fs;
mod errand;
mod event_script;
mod file;
mod hang;
mod kind;
mod lease;
mod members;
mod monitored;
mod mounts;
mod stopwatch;
mod successor;

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use libtest_mimic::{Arguments, Failed, Trial};
use mutex_tests::lanes::{Lanes, Place, Turn};
use mutex_tests::times::Times;

use bench::{Bench, Notes, Running};
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

/// Kinds that run side by side. A cluster wants to be answered at once, and a machine of two cores has no room for more.
const LANES: usize = 2;

fn main() {
    let mut arguments = Arguments::from_args();
    let notes = Arc::new(Notes::default());
    let lanes = arguments.test_threads.unwrap_or(LANES).max(1);
    let trials = trials(&Lanes::new(lanes), &notes);
    // Each waits for its turn in a thread. With one lane the turns come in the order of the list.
    arguments.test_threads = Some(if lanes == 1 { 1 } else { trials.len() });
    let conclusion = libtest_mimic::run(&arguments, trials);
    print!("{}", notes.table());
    conclusion.exit();
}

/// A trial's place in its lane and in the table, and what it shares with the others of its kind.
struct Seat {
    place: Place,
    // In this order: the kind's last trial ends the cluster, and then the next kind's turn comes.
    bench: Arc<Bench>,
    turn: Turn,
    notes: Arc<Notes>,
}

/// What a trial does with its kind's cluster.
enum Step {
    Start,
    Case(fn(&Running) -> anyhow::Result<Times>),
}

fn trials(lanes: &Arc<Lanes>, notes: &Arc<Notes>) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (number, kind) in Kind::ALL.into_iter().enumerate() {
        let bench = Arc::new(Bench::new(kind));
        let last: Case = ("never two leaders that both hold the lock", never_two);
        let cases = kind.cases().into_iter().chain([last]).map(|(name, case)| (name, Step::Case(case)));
        for (index, (name, step)) in std::iter::once(("three nodes get healthy", Step::Start)).chain(cases).enumerate()
        {
            let name = format!("{}: {name}", kind.name());
            let place = (number, index);
            let seat = Seat { place, bench: Arc::clone(&bench), turn: lanes.turn(place), notes: Arc::clone(notes) };
            trials.push(Trial::test(name.clone(), move || seat.run(name, &step)));
        }
    }
    trials
}

impl Seat {
    fn run(self, name: String, step: &Step) -> Result<(), Failed> {
        self.turn.wait();
        let outcome = match step {
            Step::Start => self.bench.start(),
            Step::Case(case) => self.bench.run(*case),
        };
        match outcome {
            Ok(times) => {
                self.notes.add(self.place, name, times);
                Ok(())
            }
            Err(error) => Err(Failed::from(format!("{error:#}"))),
        }
    }
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
