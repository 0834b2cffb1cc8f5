//! The manual pages: what they say is so, and what they show can be run.
//!
//! | module | what is in it |
//! |---|---|
//! | `pages` | the pages, and the programs that need one |
//! | `mdoc` | what is read out of a page's source |
//! | `lint` | what the formatters say of them |
//! | `options` | each page beside its program's `--help` |
//! | `references` | the pages that a page refers to |
//! | `log_lines` | the log lines that a page explains, beside the sources |
//! | `times` | the times that pages name, beside those that helpers keep |
//! | `hung` | the log lines of a store that hangs, as it does |
//! | `defaults` | the defaults of options, beside `--help` |
//! | `exit_codes` | the exit codes of the pages, beside `--help` |
//! | `examples` | each page's examples, run |
//! | `needs` | what a page's examples need |
//! | `files` | the files that examples show |
//! | `stage` | the machine that examples see: documented paths that lead to the bench |
//! | `users`, `ceph_users` | etcd's and Ceph's users, made by an example |
//! | `running` | one command of an example |
//!
//! HELPER_DIR names the directory of the programs (default: where cargo put them), MAN_DIR that of the pages (default: `man/`
//! of the tree).
//!
//! An example is a literal block. The comment directly above it, which readers do not see, says what it is:
//!
//! - `.\" run …`: shell commands, one a line, each of which must succeed; behind it `exit N` (else 0), `held` (another holds
//!   that lock meanwhile), `lost` (and loses it by that), `Ctrl-C` (it stays until then), `yes` (on standard input), and
//!   `file`, `rados` or `etcd`, the store that it needs where the line does not show it;
//! - `.\" file /path`: that file. A lock in ctdb.conf is then taken; what a systemd drop-in sets, and the etcd helper's
//!   configuration, is then used;
//! - `.\" log`: lines of the product's log, with `<placeholders>`;
//! - `.\" shape`: no example, such as what a command says. It has no command in it.

mod ceph_users;
mod defaults;
mod examples;
mod exit_codes;
mod files;
mod hung;
mod lint;
mod log_lines;
mod mdoc;
mod needs;
mod options;
mod pages;
mod references;
mod running;
mod stage;
mod times;
mod users;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use mutex_tests::services::{ceph, cephfs};

/// A promise. Its name is the trial's.
type Case = (&'static str, fn() -> anyhow::Result<()>);

/// They wait most of their time.
const AT_ONCE: usize = 8;

fn main() -> ExitCode {
    let pages = match pages::all() {
        Ok(pages) => pages,
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::FAILURE;
        }
    };
    // Those that take long first.
    let mut trials: Vec<Trial> = pages.into_iter().map(examples_of).collect();
    let cases = [
        hung::CASES,
        lint::CASES,
        options::CASES,
        references::CASES,
        log_lines::CASES,
        times::CASES,
        exit_codes::CASES,
        defaults::CASES,
    ]
    .concat();
    trials.extend(cases.into_iter().map(|(name, run)| Trial::test(name, move || outcome(run()))));
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    let conclusion = libtest_mimic::run(&arguments, trials);
    ceph::end_shared();
    cephfs::end_shared();
    conclusion.exit_code()
}

fn examples_of(page: pages::Page) -> Trial {
    Trial::test(format!("the examples of {} do what they show", page.title()), move || {
        outcome(examples::run_all(&page))
    })
}

fn outcome(result: anyhow::Result<()>) -> Result<(), Failed> {
    result.map_err(|error| format!("{error:#}").into())
}
