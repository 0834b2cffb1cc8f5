//! The wrong helper of the contract suite: each bug fails its rule, and without one every rule holds.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;

use anyhow::{Context, bail, ensure};
use mutex_tests::process::programs;

use super::store::{FileOnFuse, with_commands};
use super::verdict::{LIMIT, ensure_all_ok, read, test, test_all};
use crate::tool;

/// Bug, rule, and a piece of why it is then not ok.
const BUGS: &[(&str, &str, &str)] = &[
    ("two-bytes", "one-byte", "more byte"),
    ("never-contended", "contended", "was answered 0"),
    ("slow-contention", "contended-quickly", "answers took 2"),
    ("chatty", "silent", "the holder said: wrong_helper: lock taken"),
    ("leaves-the-worker", "next-taker", "free"),
    ("gives-up-at-once", "keeps", "the pipe ended after 0."),
    ("silent-refusal", "bad-arguments", "it said 0 lines"),
    ("trusts-stderr", "stderr-unread", "without arguments it answered nothing"),
    ("needs-stderr", "stderr-unread", "a taker was answered 3"),
    ("ignores-sigterm", "sigterm-held", "the pipe had not ended"),
    ("ignores-sigint", "sigint-held", "the pipe had not ended"),
    ("ignores-sighup", "sighup-held", "the pipe had not ended"),
    ("leaves-the-worker", "sigterm-trying", "free"),
    ("forgets-the-parent", "parent-death", "the pipe had not ended"),
    ("forgets-the-reader", "reader-closed", "the process had not gone"),
    ("worker-outlives", "helper-killed", "the lock was not free"),
    ("worker-never-kills", "stopped-parent-death", "the pipe had not ended"),
    ("forgets-the-worker", "child-killed", "the pipe had not ended"),
    ("no-deadline", "child-stopped", "the pipe had not ended"),
    ("releases-first", "closes-first", "the pipe had not ended"),
    ("worker-obeys-signals", "group-sigterm", "another taker got the lock"),
    ("no-deadline", "frozen-held", "the pipe had not ended"),
    ("impatient", "frozen-stall", "the pipe ended"),
    ("releases-first", "frozen-sigterm", "the pipe had not ended"),
    ("waits-for-the-worker", "frozen-sigterm", "the process had not gone"),
    ("gives-up-with-3", "frozen-try", "answered 3"),
    ("leaves-the-worker", "frozen-cancelled", "after the thaw"),
    ("no-acknowledgement", "frozen-stale", "the lock was not free"),
    ("worker-never-kills", "frozen-stopped", "the pipe had not ended"),
    ("never-looks", "lost", "the pipe had not ended"),
    ("worker-never-kills", "lost-stopped", "the pipe had not ended"),
    ("refuses-pid-one", "parent-one", "the end of the pipe"),
    ("keeps-stderr", "no-log-in-child", "its standard error had not ended"),
    ("locks-another-byte", "excludes", "while this one holds, was answered 0"),
    ("looks-once", "second-look", "it missed the lock"),
    ("wrong-exit-code", "exit-code", "exit code 0 after a contention"),
    ("keeps-descriptors", "other-descriptors", "the pipe had not ended"),
];

/// The rules that are advice.
const ADVICE: &[&str] = &["second-look", "exit-code", "other-descriptors"];

/// The bug whose verdict is that nothing is tested: no rule sees it, as it cannot be told from a lock that is held, and
/// that is left alone. `taken_for_held` tries it: exit code 3, and "is held".
const TAKEN_FOR_HELD: &str = "always-contended";

/// So many at a time: each waits most of its time.
const AT_A_TIME: usize = 5;

/// Samba's helper on the same file, and without a bug.
fn other(store: &FileOnFuse) -> anyhow::Result<String> {
    let theirs = programs::packaged("/usr/libexec/ctdb/ctdb_mutex_fcntl_helper", "ctdb")?;
    Ok(format!("!{} {}", theirs.display(), store.path().display()))
}

/// LOCK with a bug, on a file.
fn lock(store: &FileOnFuse, bug: &str) -> anyhow::Result<String> {
    let (helper, file) = (programs::own("wrong_helper")?, store.path());
    Ok(format!("!{} {} 1 2 --acquire-timeout-seconds 3 --bug {bug}", helper.display(), file.display()))
}

pub(super) fn each_bug() -> anyhow::Result<()> {
    let (left, failures) = (Mutex::new(BUGS.iter()), Mutex::new(Vec::new()));
    let next = || left.lock().ok()?.next();
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(&(bug, rule, says)) = next() {
                    if let Err(error) = fails(bug, rule, says) {
                        failures
                            .lock()
                            .map(|mut failures| failures.push(format!("{bug}: {error:#}")))
                            .unwrap_or_default();
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().ok().context("a thread panicked")?;
    ensure!(failures.is_empty(), "{failures:#?}");
    stays_after_contention()?;
    taken_for_held()
}

/// The wrong helper has no bug for this: a shell around it, which does not go when it is told.
fn stays_after_contention() -> anyhow::Result<()> {
    let (dir, file) = tool::directory()?;
    let script = dir.path().join("helper");
    let wrong = programs::own("wrong_helper")?;
    fs::write(&script, format!("#!/bin/sh\ntrap '' TERM\n{} \"$@\"\nexec sleep 60\n", wrong.display()))?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    let lock = format!("!{} {} 1 2", script.display(), file.display());
    let verdicts = read(&test(&lock, 3, &["--json", "--rule", "contender-goes"])?.answer(LIMIT)?)?;
    let [verdict] = &verdicts[..] else { bail!("not one rule: {verdicts:?}") };
    let stayed = verdict.word == "not ok" && verdict.why.contains("the pipe had not ended");
    ensure!(stayed, "contender-goes is {}: {}", verdict.word, verdict.why);
    Ok(())
}

fn fails(bug: &str, rule: &str, says: &str) -> anyhow::Result<()> {
    let store = FileOnFuse::new()?;
    with_commands(&store, |commands| {
        let options = ["--json", "--with", &other(&store)?, "--rule", rule];
        let test = test_all(&lock(&store, bug)?, 3, &store, commands, &options)?;
        let verdicts = read(&test.env("WRONG_HELPER_BUG", bug).answer(LIMIT)?)?;
        let [verdict] = &verdicts[..] else { bail!("not one rule: {verdicts:?}") };
        let wanted = if ADVICE.contains(&rule) { "advice" } else { "not ok" };
        ensure!(verdict.word == wanted, "{rule} is {}, not {wanted}: {}", verdict.word, verdict.why);
        ensure!(verdict.why.contains(says), "{rule} is {wanted} without {says:?}: {}", verdict.why);
        Ok(())
    })
}

fn taken_for_held() -> anyhow::Result<()> {
    let store = FileOnFuse::new()?;
    let answer = tool::answer(["test", &lock(&store, TAKEN_FOR_HELD)?])?;
    tool::expect_code(&answer, 3)?;
    ensure!(answer.stderr.contains("is held"), "{:?} does not say that it is held", answer.stderr);
    Ok(())
}

pub(super) fn without_bug() -> anyhow::Result<()> {
    let store = FileOnFuse::new()?;
    with_commands(&store, |commands| {
        let options = ["--json", "--with", &other(&store)?];
        ensure_all_ok(&read(&test_all(&lock(&store, "none")?, 3, &store, commands, &options)?.answer(LIMIT)?)?)
    })
}

/// The names that occur in the contract suite's table, all of them in the one here but the one that is taken for held; and
/// this one has no other.
pub(super) fn complete() -> anyhow::Result<()> {
    let table = include_str!("../../contract/bugs.rs");
    let rows = table.split_once("const BUGS").and_then(|(_, rest)| rest.split_once("];")).context("no table")?.0;
    // Strings without blanks are bugs: the others are sentences.
    let strings = rows.split('"').skip(1).step_by(2);
    let contract: Vec<&str> = strings.filter(|text| is_name(text)).collect();
    ensure!(contract.len() > 30, "only {contract:?} found in the contract suite's table");
    let known: Vec<&str> = BUGS.iter().map(|(name, ..)| *name).chain([TAKEN_FOR_HELD]).collect();
    let missing: Vec<_> = contract.iter().filter(|bug| !known.contains(bug)).collect();
    ensure!(missing.is_empty(), "no verdict for these: {missing:?}");
    let strange: Vec<_> = known.iter().filter(|bug| !contract.contains(bug)).collect();
    ensure!(strange.is_empty(), "no bug of the contract suite: {strange:?}");
    every_rule_has_a_bug()
}

/// Every rule has a helper that fails it: the first of these a shell, the others the distribution's.
fn every_rule_has_a_bug() -> anyhow::Result<()> {
    const OTHERWISE: &[&str] = &["contender-goes", "no-pipe-in-child", "helper-stopped"];
    let answer = tool::answer(["test", "--list", "--json"])?;
    tool::expect_code(&answer, 0)?;
    let rules = tool::objects(&answer)?;
    let ids: Vec<&str> = rules.iter().filter_map(|rule| rule["id"].as_str()).collect();
    ensure!(ids.len() == rules.len() && !ids.is_empty(), "a rule without its id: {rules:?}");
    let without: Vec<_> =
        ids.iter().filter(|id| BUGS.iter().all(|(_, rule, _)| rule != *id) && !OTHERWISE.contains(id)).collect();
    ensure!(without.is_empty(), "no bug fails these rules: {without:?}");
    let advice: Vec<&str> =
        rules.iter().filter(|rule| rule["advice"] == true).filter_map(|rule| rule["id"].as_str()).collect();
    ensure!(advice == ADVICE, "advice are {advice:?}");
    Ok(())
}

fn is_name(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}
