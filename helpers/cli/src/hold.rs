//! `ctdb-mutex hold`: a helper started as CTDB starts it, and what comes of it, in words.
//!
//! This process holds the lock, not who reads its output: a closed reader, as of `hold | head -1`, changes nothing, and
//! neither does the end of the shell that started it. SIGHUP, with which a terminal goes, releases, unless it was started to
//! ignore that (nohup). If this process is killed, the helper sees its parent die and releases.

use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use mutex_core::status::{Status, exit_code};
use nix::sys::signal::Signal;
use serde_json::{Map, Value};

use crate::helper::{self, Event, Helper, Signals};
use crate::lock::Lock;
use crate::say::{self, Voice};
use crate::{holder, question};

/// Take the lock as CTDB would, hold it until Ctrl-C, and say what happens
///
/// The helper is started as CTDB starts it: its byte and the end of its pipe are all that counts. Its own lines go to
/// standard error, as they would go to CTDB's log. Ctrl-C, SIGTERM and SIGHUP (unless ignored: nohup) release the lock; a
/// closed reader of this output does not: `ctdb-mutex hold | head -1` goes on holding.
///
/// On the lock of a cluster that has a leader it is answered contended, and does no harm. Where there is no leader, none can
/// be found while this holds the lock.
///
/// Exit code: 0 released on request, 1 contended, 2 timed out, 3 error, 4 lost.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The lock as in ctdb.conf, one argument; default: the one that is configured there
    lock: Option<String>,

    /// Keep trying for N seconds while another holds the lock
    #[arg(long, value_name = "N", default_value = "0", value_parser = mutex_core::seconds)]
    wait_seconds: Duration,

    /// Give a helper that says nothing at most N seconds; CTDB gives it 120
    #[arg(long, value_name = "N", default_value = "120", value_parser = mutex_core::at_least_a_second)]
    timeout_seconds: Duration,

    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  $ ctdb-mutex hold /clusterfs/ctdb/lock  # Ctrl-C
  $ ctdb-mutex hold '!/usr/libexec/ctdb/ctdb_mutex_rados_helper ceph client.admin rbd lockctdb 4'  # Ctrl-C
    all of LOCK in one pair of quotes of the shell
  $ ctdb-mutex hold '!/usr/libexec/ctdb/ctdb_mutex_fcntl_helper /clusterfs/ctdb/lock' --wait-seconds 3 --json  # Ctrl-C
    any helper will do; for a program to read
  $ ctdb-mutex hold '!/usr/libexec/ctdb/ctdb_mutex_file_helper /clusterfs/missing/lock'  # exit 3
    what CTDB would have in its log";

/// From the request to end until the helper is killed: ours are gone within a second.
const LET_GO: Duration = Duration::from_secs(5);
/// What a helper may still say after a byte that is not `0`, before it is told to go, as CTDB does at once.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// The same after a loss: ours give the store a second first (P4).
const AFTER_LOSS: Duration = Duration::from_millis(1500);
/// Between two tries of a helper that cannot wait by itself.
const TRY_EVERY: Duration = Duration::from_secs(1);
/// The question who holds the lock: the store has just answered.
const ASK: Duration = Duration::from_secs(1);
/// The option with which ours wait by themselves.
const WAIT: &str = "--wait-seconds";

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let lock = Lock::find(args.lock.as_deref())?;
    // One whose file cannot be read is not ours: ours are installed readable.
    let ours = lock.is_ours().unwrap_or(false);
    let signals = Signals::block()?;
    let hold = Hold { voice: Voice::new(args.json), lock, ours, signals, begun: Instant::now() };
    hold.run(args.wait_seconds, args.timeout_seconds).map(ExitCode::from)
}

struct Hold {
    voice: Voice,
    lock: Lock,
    ours: bool,
    signals: Signals,
    begun: Instant,
}

/// What a try came to.
enum Tried {
    Byte(u8),
    /// The pipe ended first.
    Nothing,
    Silence,
    Told(Signal),
}

impl Hold {
    fn run(&self, wait: Duration, timeout: Duration) -> anyhow::Result<u8> {
        let itself = self.ours && !wait.is_zero() && !self.has_option(WAIT);
        let seconds = wait.as_secs().to_string();
        let more = if itself { vec![WAIT, &seconds] } else { Vec::new() };
        let limit = if itself { timeout + wait } else { timeout };
        let mut told = wait.is_zero();
        loop {
            let mut helper = Helper::start(&self.lock, &more)?;
            let mut lines = Vec::new();
            if !told && itself {
                told = true;
                self.say_waiting(wait);
            }
            let tried = self.first(&mut helper, limit, &mut lines)?;
            let took = helper.started().elapsed();
            if let Tried::Byte(byte) = tried {
                match Status::from_byte(byte) {
                    Some(Status::Held) => return self.hold(helper),
                    Some(Status::Contended) if !itself && self.begun.elapsed() < wait => {
                        self.end(&mut helper, LAST_WORDS, &mut lines)?;
                        if !told {
                            told = true;
                            self.say_waiting(wait);
                        }
                        if let Some(signal) = self.pause(wait)? {
                            self.say_cancelled(signal);
                            return Ok(exit_code::RELEASED);
                        }
                        continue;
                    }
                    _ => {}
                }
            }
            return self.not_held(helper, tried, took, lines);
        }
    }

    fn has_option(&self, option: &str) -> bool {
        self.lock.arguments().iter().any(|word| word.split('=').next() == Some(option))
    }

    /// Waits for the byte.
    fn first(&self, helper: &mut Helper, limit: Duration, lines: &mut Vec<String>) -> anyhow::Result<Tried> {
        let deadline = helper.started() + limit;
        loop {
            match helper.next(Some(&self.signals), Some(deadline))? {
                Event::Byte(byte) => return Ok(Tried::Byte(byte)),
                Event::End | Event::Gone => return Ok(Tried::Nothing),
                Event::Deadline => return Ok(Tried::Silence),
                Event::Signal(signal) => return Ok(Tried::Told(signal)),
                Event::Line(line) => pass_on(line, lines),
            }
        }
    }

    /// The time until the next try; a signal ends it.
    fn pause(&self, wait: Duration) -> std::io::Result<Option<Signal>> {
        let until = (Instant::now() + TRY_EVERY).min(self.begun + wait);
        self.signals.wait(Some(until))
    }

    /// Everything but `0`.
    fn not_held(&self, mut helper: Helper, tried: Tried, took: Duration, mut lines: Vec<String>) -> anyhow::Result<u8> {
        let milliseconds = ("milliseconds", millis(took));
        let status = match tried {
            Tried::Told(signal) => {
                self.let_go(&mut helper, &mut lines)?;
                self.say_cancelled(signal);
                return Ok(exit_code::RELEASED);
            }
            Tried::Silence => {
                self.let_go(&mut helper, &mut lines)?;
                let limit = took.as_secs();
                let words =
                    format!("timed out: the helper said nothing for {limit} s and was told to end, as CTDB does");
                self.voice.event("timed-out", &[milliseconds, ("by", "ctdb-mutex".into())], &words);
                return Ok(exit_code::TIMED_OUT);
            }
            Tried::Byte(byte) => Status::from_byte(byte).ok_or(format!("it wrote {:?}", char::from(byte))),
            Tried::Nothing => Err("its pipe ended without a byte".to_owned()),
        };
        self.end(&mut helper, LAST_WORDS, &mut lines)?;
        let ended = helper.status().map_or_else(|| "killed".to_owned(), helper::ended);
        let after = format!("after {}", shown(took));
        match status {
            Ok(Status::Contended) => {
                let mut facts = vec![milliseconds];
                let holder = self.holder();
                let by = holder.as_ref().and_then(|holder| holder::in_words(holder, SystemTime::now()));
                facts.extend(holder.map(|holder| ("holder", Value::Object(holder))));
                let by = by.unwrap_or_else(|| "another, of whom this helper tells nothing".to_owned());
                self.voice.event("contended", &facts, &format!("contended {after}: held by {by}"));
                Ok(exit_code::CONTENDED)
            }
            Ok(Status::TimedOut) => {
                let words = format!("timed out {after}: the store does not answer; CTDB tries again");
                self.voice.event("timed-out", &[milliseconds, ("by", "helper".into())], &words);
                Ok(exit_code::TIMED_OUT)
            }
            other => {
                let what = match other {
                    Err(what) => format!("{what}, which CTDB takes for an error"),
                    Ok(_) => "the helper says so".to_owned(),
                };
                let silent = if lines.is_empty() { "; it gave no reason" } else { "" };
                let words = format!("error {after}: {what} ({ended}){silent}");
                let facts = [milliseconds, ("what", what.into()), ("ended", ended.into()), ("lines", lines.into())];
                self.voice.event("error", &facts, &words);
                Ok(exit_code::ERROR)
            }
        }
    }

    /// Who holds it, where the helper is one that can be asked.
    fn holder(&self) -> Option<Map<String, Value>> {
        let answer = self.ours.then(|| question::ask(&self.lock, &["--status", "--json"], ASK).ok())??;
        let mut report: Map<String, Value> = serde_json::from_str(&answer.stdout).ok()?;
        holder::add_lease_left(&mut report, SystemTime::now());
        report.get_mut("holder").and_then(Value::as_object_mut).map(std::mem::take)
    }

    /// The lock is held.
    fn hold(&self, mut helper: Helper) -> anyhow::Result<u8> {
        let taken = Instant::now();
        let took = self.begun.elapsed();
        let facts = [("milliseconds", millis(took)), ("pid", helper.pid().into()), ("lock", self.lock.text().into())];
        let words = format!("taken in {}: holding {}; Ctrl-C releases it", shown(took), self.lock.text());
        self.voice.event("taken", &facts, &words);
        let mut lines = Vec::new();
        let mut warned = false;
        loop {
            match helper.next(Some(&self.signals), None)? {
                Event::Line(line) => pass_on(line, &mut lines),
                Event::Byte(_) if warned => {}
                Event::Byte(_) => {
                    warned = true;
                    say::complain("warning: the helper writes more than its one byte; CTDB ignores what follows");
                }
                Event::Signal(signal) => {
                    let let_go = Instant::now();
                    let killed = self.let_go(&mut helper, &mut lines)?;
                    let (took, held) = (let_go.elapsed(), let_go - taken);
                    let facts = [
                        ("milliseconds", millis(took)),
                        ("held_seconds", seconds(held)),
                        ("signal", signal.as_str().into()),
                        ("killed", killed.into()),
                    ];
                    let gone = if killed { "had to be killed after" } else { "gone in" };
                    let words = format!("released after {}: the helper {gone} {}", long(held), shown(took));
                    self.voice.event("released", &facts, &words);
                    return Ok(exit_code::RELEASED);
                }
                Event::End | Event::Gone => {
                    let held = taken.elapsed();
                    let words = format!("LOST after {}: CTDB would elect a new leader now", long(held));
                    self.voice.event("lost", &[("held_seconds", seconds(held))], &words);
                    // It says why after the end of the pipe.
                    self.end(&mut helper, AFTER_LOSS, &mut lines)?;
                    return Ok(exit_code::LOST);
                }
                Event::Deadline => {}
            }
        }
    }

    /// Lets go as CTDB does: the pipe, then SIGTERM. Whether it had to be killed.
    fn let_go(&self, helper: &mut Helper, lines: &mut Vec<String>) -> anyhow::Result<bool> {
        helper.close_pipe();
        helper.signal(rustix::process::Signal::TERM);
        if self.gone(helper, LET_GO, lines)? {
            return Ok(false);
        }
        say::complain("warning: the helper does not end; killed");
        helper.signal(rustix::process::Signal::KILL);
        self.gone(helper, LET_GO, lines)?;
        Ok(true)
    }

    /// Lets one end by itself, for its last words, and then as CTDB does.
    fn end(&self, helper: &mut Helper, patience: Duration, lines: &mut Vec<String>) -> anyhow::Result<()> {
        // CTDB reads no further.
        helper.close_pipe();
        if !self.gone(helper, patience, lines)? {
            self.let_go(helper, lines)?;
        }
        Ok(())
    }

    /// Whether it ends within this time; a signal meanwhile, the second Ctrl-C say, ends the patience.
    fn gone(&self, helper: &mut Helper, patience: Duration, lines: &mut Vec<String>) -> anyhow::Result<bool> {
        let deadline = Instant::now() + patience;
        loop {
            match helper.next(Some(&self.signals), Some(deadline))? {
                Event::Gone => return Ok(true),
                Event::Deadline | Event::Signal(_) => return Ok(false),
                Event::Line(line) => pass_on(line, lines),
                Event::Byte(_) | Event::End => {}
            }
        }
    }

    fn say_waiting(&self, wait: Duration) {
        let words = format!("trying for {} s while another holds the lock", wait.as_secs());
        self.voice.event("waiting", &[("seconds", wait.as_secs().into())], &words);
    }

    fn say_cancelled(&self, signal: Signal) {
        let facts = [("milliseconds", millis(self.begun.elapsed())), ("signal", signal.as_str().into())];
        self.voice.event("cancelled", &facts, "cancelled before the lock was taken");
    }
}

/// The helper's own line, as it would stand in CTDB's log.
fn pass_on(line: String, lines: &mut Vec<String>) {
    /// An event has no more of them.
    const MOST: usize = 20;
    say::pass_on(&line);
    if lines.len() < MOST {
        lines.push(line);
    }
}

/// Microseconds are as much as a start of a process repeats itself in.
fn millis(time: Duration) -> Value {
    (time.as_micros() as f64 / 1e3).into()
}

fn seconds(time: Duration) -> Value {
    (time.as_millis() as f64 / 1e3).into()
}

fn shown(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// A time that a person waited for.
fn long(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
