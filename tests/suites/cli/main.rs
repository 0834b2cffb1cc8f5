//! `ctdb-mutex`, the operator's tool: what it says, what it starts, and what it leaves behind.
//!
//! | module | what is in it |
//! |---|---|
//! | `tool` | the tool started, and what it said |
//! | `running` | the tool while it runs |
//! | `lock` | LOCK: from the command line, from ctdb.conf, and wrong |
//! | `hold` | `hold` |
//! | `status` | `status` |
//! | `health` | `health` |
//! | `probe_file` | `health --probe-file` |
//! | `probes` | the processes that ask a store for its health |
//! | `event_script` | CTDB's event script |
//! | `run` | `run` |
//! | `break_lock` | `break` |
//! | `verdicts` | `test`: its verdicts on our helpers, the distribution's and the wrong one |
//! | `bench` | `bench` |
//! | `terminal` | on a terminal |
//! | `help` | `--help` and its examples, completion |
//! | `keepalived` | the example with keepalived |
//!
//! HELPER_DIR names the directory of the tool and the helpers (default: where cargo put them). SLOW=1 adds what takes long.

mod bench;
mod break_lock;
mod event_script;
mod health;
mod help;
mod hold;
mod keepalived;
mod lock;
mod probe_file;
mod probes;
mod run;
mod running;
mod status;
mod terminal;
mod tool;
mod verdicts;

use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use mutex_tests::services::{ceph, etcd};

/// What a machine of two cores that runs other trials too adds to a measured time.
const NOISE: Duration = Duration::from_millis(250);

/// A promise. Its name is the trial's.
type Case = (&'static str, fn() -> anyhow::Result<()>);

/// Most trials wait for something most of the time.
const THREADS: usize = 6;

fn main() {
    let cases = [
        lock::CASES,
        hold::CASES,
        status::CASES,
        health::CASES,
        probe_file::CASES,
        event_script::CASES,
        run::CASES,
        break_lock::CASES,
        verdicts::CASES,
        bench::CASES,
        terminal::CASES,
        help::CASES,
        keepalived::CASES,
    ]
    .concat();
    let trials = cases
        .into_iter()
        .map(|(name, run)| Trial::test(name, move || run().map_err(|error| format!("{error:#}").into())))
        .collect();
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(THREADS));
    let conclusion = libtest_mimic::run(&arguments, trials);
    // They have the services that outlive a case, and the line below runs no destructor.
    ceph::end_shared();
    etcd::end_shared();
    conclusion.exit()
}
