//! The RPMs: built without a network, twice the same, and installed beside what distributions ship.
//!
//! `tests/build-packages` has built them into PACKAGES_DIR; without it, that is done here first, which takes minutes.
//!
//! | module | what is in it |
//! |---|---|
//! | `built` | what can be seen of a package without installing it |
//! | `licences` | those of the crates that are linked in |
//! | `root` | a scratch root for rpm, and packages made for it |
//! | `distributions` | the files that each distribution's ctdb packages own |
//! | `beside` | ours in the same root |
//! | `events` | the event script there |
//! | `opensuse` | the build for openSUSE, whose ctdb has its helpers elsewhere |

mod beside;
mod built;
mod distributions;
mod events;
mod licences;
mod opensuse;
mod root;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

/// A promise. Its name is the trial's.
type Case = (&'static str, fn() -> anyhow::Result<()>);

fn main() -> ExitCode {
    let trials = [built::CASES, licences::CASES, beside::CASES, opensuse::CASES]
        .concat()
        .into_iter()
        .map(|(name, run)| Trial::test(name, move || run().map_err(|error| format!("{error:#}").into())))
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
