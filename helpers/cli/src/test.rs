//! `ctdb-mutex test`: the contract between CTDB and a helper as a test of any helper, ours or not.
//!
//! A rule is a trial from outside: it sees what CTDB sees, and does to the helper's processes, and by the operator's
//! commands to the store, what happens to them. No helper that is not ours is started with an option of ours.
//!
//! | module | what is in it |
//! |---|---|
//! | `rule` | what a rule is, and what comes of it |
//! | `answers` | rules: the byte, standard error |
//! | `stopping` | rules: signals, the parent, the pipe's reader |
//! | `processes` | rules: a process killed or stopped |
//! | `hung` | rules with --freeze |
//! | `lost` | rules with --break |
//! | `with` | the rule with --with |
//! | `advice` | rules that CTDB does not depend on |
//! | `bench` | what the rules stand on |
//! | `subject` | a helper under test |
//! | `process` | processes as /proc shows them |
//! | `parent` | a parent that can be killed |
//! | `shell` | the operator's commands |
//! | `report` | how it is said |

mod advice;
mod answers;
mod bench;
mod hung;
mod lost;
pub(crate) mod parent;
mod process;
mod processes;
mod report;
mod rule;
mod shell;
mod stopping;
mod subject;
mod with;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use mutex_core::status::exit_code;
use nix::sys::signal::Signal;

use crate::lock::Lock;
use crate::question;
use crate::say;
use bench::{Bench, Given, PROBE};
use report::{Count, Form};
use rule::{Needs, Rule, Stop, Verdict};

/// A rule failed.
const FAILED: u8 = 1;
/// The lease of most helpers; and for a file the sum of the file helper's own two times.
const LEASE: u64 = 9;
const LEASE_OF_A_FILE: u64 = 15;
/// How often the rules take the lock, about.
const TAKES_PER_RULE: usize = 3;

/// Hold a helper, ours or not, to CTDB's contract: one line a rule
///
/// Each rule starts the helper as CTDB does, some kill or stop its processes, and all look at what CTDB would
/// see of it: the byte, the end of the pipe, the lock free again. The lock is taken and released many times, so
/// CTDB must not be using it: a lock that is held is left alone. What is started is ended, at Ctrl-C too.
///
/// With commands of yours that freeze and thaw the store, and that take the lock away from whoever holds it, the
/// rules for those cases are tried too. /bin/sh runs them; the store is thawed in any case.
///
/// --with names another helper on the same lock, say the one that is to be replaced: each must be contended while
/// the other holds. CTDB must not be using that either.
///
/// Some rules CTDB does not depend on. Where one of these does not hold, that is advice, and no failure.
///
/// Exit code: 0 all rules hold, 1 one does not, 3 could not test.
#[derive(clap::Args)]
#[command(verbatim_doc_comment, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The lock as in ctdb.conf; default: the one that is configured there
    lock: Option<String>,

    /// The lease: how long the store keeps the lock of a holder that is gone, and the longest that
    /// the pipe of one may stay open that has lost it; of a file RECHECK-SECONDS + PING-TIMEOUT-SECONDS
    /// [default: 9; of a file 15]
    #[arg(long, value_name = "N", verbatim_doc_comment, value_parser = clap::value_parser!(u64).range(1..=3600))]
    lease_seconds: Option<u64>,

    /// A command that makes the store stop answering; returns once it has
    #[arg(long, value_name = "CMD", requires = "thaw")]
    freeze: Option<String>,

    /// A command that makes it answer again
    #[arg(long, value_name = "CMD", requires = "freeze")]
    thaw: Option<String>,

    /// A command that takes the lock away from its holder
    #[arg(long = "break", value_name = "CMD")]
    take_away: Option<String>,

    /// Another helper on the same lock, as in ctdb.conf
    #[arg(long, value_name = "LOCK2")]
    with: Option<String>,

    /// Try these rules alone
    #[arg(long = "rule", value_name = "ID,ID…", value_delimiter = ',')]
    rules: Vec<String>,

    /// Show the rules and what each needs, and test nothing
    #[arg(long, conflicts_with_all = ["rules", "tap"])]
    list: bool,

    /// Do not ask on a terminal
    #[arg(short, long)]
    yes: bool,

    /// As TAP, version 14
    #[arg(long, conflicts_with = "json")]
    tap: bool,

    /// As JSON, one object a line
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  $ ctdb-mutex test --yes --lease-seconds 3 --rule parent-death,reader-closed,helper-killed \
'!/usr/libexec/ctdb/ctdb_mutex_file_helper /clusterfs/ctdb/test.lock 1 2'
    three rules; without --rule all that need no command of yours: with the default times a minute, most of it the lease
  $ ctdb-mutex test --rule one-byte,contended,sigterm-held --tap --yes /clusterfs/ctdb/test.lock
    for a test harness
  $ ctdb-mutex test --rule lost --break '/usr/bin/rm /clusterfs/ctdb/test.lock' --yes /clusterfs/ctdb/test.lock
    one rule: the lock taken away while it is held
  $ ctdb-mutex test --rule excludes --yes '!/usr/libexec/ctdb/ctdb_mutex_file_helper /clusterfs/ctdb/test.lock' \
      --with '!/usr/libexec/ctdb/ctdb_mutex_fcntl_helper /clusterfs/ctdb/test.lock'
    before a cluster moves from one helper to another: whether both take the same lock
  $ ctdb-mutex test --list
    all rules

For etcd, say, the store's commands are --freeze 'kill -STOP PID PID PID' --thaw 'kill -CONT PID PID PID'
--break 'etcdctl del --prefix /ctdb/test/', where KEY is /ctdb/test; PID those of its members.";

/// Every rule, in the order in which they are tried.
fn all_rules() -> Vec<Rule> {
    [answers::RULES, stopping::RULES, processes::RULES, with::RULES, hung::RULES, lost::RULES, advice::RULES].concat()
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let form = Form::new(args.json, args.tap);
    if args.list {
        form.list(&all_rules());
        return Ok(ExitCode::from(exit_code::RELEASED));
    }
    let rules = chosen(&args.rules)?;
    let lock = Lock::find(args.lock.as_deref())?;
    let other = args.with.as_deref().map(|text| Lock::find(Some(text)).context("--with")).transpose()?;
    let lease = args.lease_seconds.unwrap_or(if lock.is_a_file() { LEASE_OF_A_FILE } else { LEASE });
    form.plan(lock.text(), rules.len(), &plan(&lock, &rules, &args, lease));
    if !args.yes && !report::agreed() {
        bail!("nothing was done");
    }
    let shown = lock.clone();
    let Args { freeze, thaw, take_away, .. } = args;
    let given = Given { lock, lease: Duration::from_secs(lease), freeze, thaw, take_away, other };
    let bench = Bench::new(given, form.progress())?;
    let outcome = look_first(&bench, &shown).and_then(|()| {
        bench.sweep();
        try_all(&bench, form, &rules)
    });
    bench.sweep();
    match outcome {
        Ok(count) => {
            form.end(&count);
            Ok(ExitCode::from(if count.not_ok > 0 { FAILED } else { exit_code::RELEASED }))
        }
        Err(Stop::Told(signal)) => {
            bench.progress().end();
            form.bail_out(&format!("ended by {signal}"));
            say::complain(&format!("ended by {signal}; so is all that was started"));
            // As a shell shows a process that was ended by a signal.
            Ok(ExitCode::from(128_u8.saturating_add(u8::try_from(signal as i32).unwrap_or(Signal::SIGTERM as u8))))
        }
        Err(Stop::Cannot(error)) => {
            form.bail_out(&format!("{error:#}"));
            Err(error)
        }
        Err(Stop::Broken(why) | Stop::Skip(why)) => {
            form.bail_out(&why);
            Err(anyhow!(why))
        }
    }
}

/// The rules with these ids, or all.
fn chosen(ids: &[String]) -> anyhow::Result<Vec<Rule>> {
    let all = all_rules();
    if let Some(unknown) = ids.iter().find(|id| all.iter().all(|rule| rule.id != **id)) {
        bail!("no rule is called {unknown}; --list shows them all");
    }
    Ok(all.into_iter().filter(|rule| ids.is_empty() || ids.iter().any(|id| id == rule.id)).collect())
}

/// What is going to happen, in words.
fn plan(lock: &Lock, rules: &[Rule], args: &Args, lease: u64) -> Vec<String> {
    let count = rules.len();
    let mut words = vec![
        format!("{count} rules, the lease counted as {lease} s, for {}", lock.text()),
        format!("The helper is started some {} times, takes the lock and releases it, and its", count * TAKES_PER_RULE),
        "processes are killed and stopped. CTDB must not be using this lock.".to_owned(),
    ];
    let mut commands = vec![("--freeze", &args.freeze), ("--thaw", &args.thaw), ("--break", &args.take_away)];
    commands.retain(|(_, command)| command.is_some());
    if let Some(other) = &args.with {
        words.push(format!("The same with this one, as --with says: {other}"));
    }
    for (option, command) in commands {
        words.push(format!("Runs, as {option} says: {}", command.as_deref().unwrap_or_default()));
    }
    words
}

/// The lock must be free: whoever holds it is left alone.
fn look_first(bench: &Bench, lock: &Lock) -> Result<(), Stop> {
    let mut taker = bench.start()?;
    match taker.answer(PROBE)? {
        Some(b'0') => taker.dismiss(),
        Some(b'1') => {
            let holder = holder(lock).map(|said| format!(" ({said})")).unwrap_or_default();
            Err(anyhow!("the lock {} is held{holder}: nothing was tested", lock.text()).into())
        }
        _ => {
            let limit = PROBE.as_secs();
            let broken = taker.broken(&format!("{} was answered {} within {limit} s", lock.text(), taker.answered()));
            let Stop::Broken(why) = broken else { return Err(broken) };
            Err(anyhow!("{why}: nothing was tested").into())
        }
    }
}

/// What the helper itself says about the holder, where it can be asked.
fn holder(lock: &Lock) -> Option<String> {
    if !lock.is_ours().ok()? {
        return None;
    }
    let answer = question::ask(lock, &["--status"], PROBE).ok()?;
    let said = answer.stdout.lines().map(str::trim).collect::<Vec<_>>().join(", ");
    (!said.is_empty()).then_some(said)
}

fn try_all(bench: &Bench, form: Form, rules: &[Rule]) -> Result<Count, Stop> {
    let mut count = Count::default();
    // Why no further rule can be tried.
    let mut left_held: Option<String> = None;
    for (number, rule) in rules.iter().enumerate() {
        bench.progress().begin(rule);
        let (verdict, time, killed) = match &left_held {
            Some(why) => (Verdict::Skipped(why.clone()), None, Vec::new()),
            None => try_one(bench, rule)?,
        };
        bench.progress().end();
        match verdict {
            Verdict::Ok => count.ok += 1,
            Verdict::NotOk(_) => count.not_ok += 1,
            Verdict::Advice(_) => count.advice += 1,
            Verdict::Skipped(_) => count.skipped += 1,
        }
        form.verdict(number + 1, rule, &verdict, time, &killed);
        if left_held.is_none() && (matches!(verdict, Verdict::NotOk(_) | Verdict::Advice(_)) || !killed.is_empty()) {
            match make_free(bench) {
                Err(Stop::Broken(_)) => left_held = Some(format!("{} left the lock held", rule.id)),
                done => done?,
            }
        }
    }
    Ok(count)
}

/// The verdict on one rule, its time, and who had to be killed after it.
fn try_one(bench: &Bench, rule: &Rule) -> Result<(Verdict, Option<Duration>, Vec<u32>), Stop> {
    let possible = match rule.needs {
        Needs::Nothing => true,
        Needs::Freeze => bench.can_freeze(),
        Needs::Break => bench.can_break(),
        Needs::With => bench.has_other(),
    };
    if !possible {
        return Ok((Verdict::Skipped(format!("needs {}", rule.needs.options())), None, Vec::new()));
    }
    let outcome = (rule.run)(bench);
    let killed = bench.sweep();
    bench.ensure_not_told()?;
    match outcome {
        Ok(time) => Ok((Verdict::Ok, Some(time), killed)),
        Err(Stop::Broken(why)) if rule.advice => Ok((Verdict::Advice(why), None, killed)),
        Err(Stop::Broken(why)) => Ok((Verdict::NotOk(why), None, killed)),
        Err(Stop::Skip(why)) => Ok((Verdict::Skipped(why), None, killed)),
        Err(stop) => Err(stop),
    }
}

/// After a rule that may have left the lock held: waits for a lease, and then lets the operator's command do it.
fn make_free(bench: &Bench) -> Result<(), Stop> {
    let free = bench.ensure_free(bench.lease_over());
    bench.sweep();
    match free {
        Err(Stop::Broken(_)) if bench.can_break() => {
            bench.break_lock()?;
            let free = bench.ensure_free(bench.lease_over());
            bench.sweep();
            free.map(drop)
        }
        free => free.map(drop),
    }
}
