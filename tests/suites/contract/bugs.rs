//! The table of the deliberately wrong helper: for each case a bug that must make it fail, and how.

use libtest_mimic::Trial;
use mutex_tests::roster;

use crate::{Case, failed};

/// Case, bug, and a piece of what the case then says: it must fail for the right reason.
const BUGS: &[(&str, &str, &str)] = &[
    ("the only taker is answered 0", "always-contended", "status 1, not 0"),
    ("a contender is answered 1 within a second", "never-contended", "a contender got 0"),
    ("a contender is answered 1 within a second", "slow-contention", "a contender's answer took"),
    ("one byte is written and only one", "two-bytes", "one byte too many"),
    ("nothing is said on success or contention", "chatty", "the holder said on standard error"),
    ("a released lock goes to the next taker", "leaves-the-worker", "status 1, not 0"),
    (
        "contended means looked twice: a lock freed in between is taken",
        "looks-once",
        "taken at the second look in 0 of 9",
    ),
    ("a call without arguments is answered 3, with one line", "silent-refusal", "exactly one line"),
    ("the exit code tells how it ended", "wrong-exit-code", "exit code 0 after contended"),
    ("SIGTERM closes the pipe at once, frees the lock and ends it", "ignores-sigterm", "the pipe did not end"),
    ("SIGINT closes the pipe at once, frees the lock and ends it", "ignores-sigint", "the pipe did not end"),
    ("SIGHUP closes the pipe at once, frees the lock and ends it", "ignores-sighup", "the pipe did not end"),
    ("the pipe is closed before the worker is asked to release", "releases-first", "a worker that cannot release"),
    (
        "a signal to the whole process group frees nothing before the pipe ends",
        "worker-obeys-signals",
        "while the pipe is open",
    ),
    (
        "a signal to every process at once frees nothing before the pipe ends",
        "worker-obeys-signals",
        "while the pipe is open",
    ),
    ("a try cancelled at any moment leaves nothing behind", "leaves-the-worker", "the lock to be free"),
    (
        "the parent killed while another process keeps the reader open: it lets go",
        "forgets-the-parent",
        "the pipe did not end",
    ),
    ("the reader closed while the parent lives: it lets go", "forgets-the-reader", "the reader is closed"),
    (
        "parent dead and reader closed before it looks: it takes nothing and goes",
        "forgets-the-reader",
        "nobody is there",
    ),
    ("with process 1 for a parent and a living reader it works", "refuses-pid-one", "ended before a byte came"),
    ("the supervisor killed: the lock is free at once and the worker gone", "worker-outlives", "the lock to be free"),
    ("the worker killed: the pipe ends within 50 ms", "forgets-the-worker", "the pipe did not end"),
    (
        "the supervisor stopped and the lock taken away: the pipe ends anyway",
        "worker-never-kills",
        "only the worker could end it",
    ),
    ("the worker stopped: the pipe ends as if the store had hung", "no-deadline", "the pipe did not end"),
    (
        "the supervisor stopped and the parent killed: the lock is free within 2 s",
        "worker-never-kills",
        "only the worker could end it",
    ),
    (
        "a supervisor stopped before the byte never writes a stale 0",
        "no-acknowledgement",
        "a supervisor that never answered",
    ),
    ("the lock taken away: the pipe ends in time, with one line that names it", "never-looks", "the pipe did not end"),
    ("a frozen store ends the pipe in time, and not too early", "no-deadline", "the pipe did not end"),
    ("a frozen store ends the pipe in time, and not too early", "gives-up-at-once", "a stall of only"),
    ("a stall shorter than promised costs nothing", "impatient", "should have been silent"),
    (
        "SIGTERM with a frozen store closes the pipe at once and ends the supervisor",
        "waits-for-the-worker",
        "to be gone",
    ),
    ("a try on a frozen store is silent until its limit, then 2 with one line", "gives-up-with-3", "status 3, not 2"),
    ("a try that timed out leaves nothing behind after the thaw", "leaves-the-worker", "after the thaw"),
    ("a cancelled try leaves nothing behind after the thaw", "leaves-the-worker", "after the thaw"),
    ("standard error without a reader changes nothing", "trusts-stderr", "before a byte came"),
    ("standard error that is full changes nothing", "trusts-stderr", "no byte within"),
    ("standard error on a terminal that is full changes nothing", "trusts-stderr", "no byte within"),
    ("standard error that is closed changes nothing", "needs-stderr", "status 3, not 0"),
    ("standard error on the same pipe as the byte does not keep it open", "keeps-stderr", "the pipe did not end"),
    ("an inherited copy of the pipe's writing end does not keep it open", "keeps-descriptors", "the pipe did not end"),
    (
        "an inherited copy of the pipe's reading end does not hide that CTDB is gone",
        "keeps-descriptors",
        "the only reader left",
    ),
    ("of many takers at once one is answered 0 and all others 1, within 5 s", "never-contended", "200 of 200 takers"),
    (
        "many takers while the holder releases: never twice in a row without a winner",
        "leaves-the-worker",
        "without a winner",
    ),
    ("it and the helper it replaces exclude each other", "locks-another-byte", "the rival got 0"),
];

/// One trial a row of the table, and one that says that every case has a row.
pub(crate) fn trials(cases: &[Case]) -> Vec<Trial> {
    let mut trials = Vec::new();
    for &(name, bug, says) in BUGS {
        let case = cases.iter().find(|case| case.name == name).copied();
        trials.push(Trial::test(format!("wrong helper: {name} fails with bug {bug}"), move || {
            let Some(case) = case else { return Err("no case has this name".into()) };
            match (case.run)(&roster::wrong_row(bug)) {
                Ok(()) => Err("the case passed".into()),
                Err(error) if format!("{error:#}").contains(says) => Ok(()),
                Err(error) => Err(format!("failed without {says:?}: {error:#}").into()),
            }
        }));
    }
    let without: Vec<&str> =
        cases.iter().map(|case| case.name).filter(|case| BUGS.iter().all(|(name, ..)| name != case)).collect();
    trials.push(Trial::test("every case has a bug that fails it", move || match without.is_empty() {
        true => Ok(()),
        false => Err(format!("no bug for: {without:#?}").into()),
    }));
    trials
}

/// The other half of the proof: without a bug the wrong helper is right.
pub(crate) fn trials_without_bug(cases: &[Case]) -> Vec<Trial> {
    let trial = |case: &Case| {
        let case = *case;
        Trial::test(format!("wrong helper: without a bug: {}", case.name), move || {
            (case.run)(&roster::wrong_row("none")).map_err(failed)
        })
    };
    cases.iter().map(trial).collect()
}
