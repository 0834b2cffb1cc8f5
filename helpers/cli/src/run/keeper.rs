//! The keeper: parent of helper and command, child of the process that the user started.
//!
//! It stands between them so that the helper outlives the command, whatever becomes of the other: that one's death is a
//! signal to it (SIGCHLD, by `PR_SET_PDEATHSIG`), and then the command goes first and the lock after it. In a process
//! group of its own, so that no Ctrl-C and no SIGKILL to a group meets both. It never writes to standard error, whose
//! reader may sleep: the other one does.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use mutex_core::status::{Status, exit_code};
use nix::sys::signal::Signal;
use rustix::process::{Pid, Signal as Sent, getpid, getppid, set_child_subreaper, set_parent_process_death_signal};

use super::family::{Family, KEEPER};
use super::front::News;
use super::{Job, OURS};
use crate::helper::{Event, Helper, Signals};
use crate::sys::{self, Beginning, begin};

/// How often another's lock is looked at, where the helper cannot wait by itself; as long as ours pause.
const LOOK: Duration = Duration::from_millis(250);
/// How long a helper may take to end; ours take a second (P4).
const HELPER_ENDS: Duration = Duration::from_secs(2);
/// From the command's end until what it left behind is told to end too: filters at the end of a pipe need a moment.
const LINGER: Duration = Duration::from_millis(500);

/// The signals that the command gets.
pub(super) const PASSED: [Signal; 6] =
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2];

pub(super) struct Keeper<'a> {
    pub(super) job: &'a Job,
    /// The process that the user started.
    pub(super) front: Pid,
    pub(super) news: UnixDatagram,
    pub(super) family: Family,
    pub(super) signals: Signals,
    /// Whether the helper has said anything.
    pub(super) helper_spoke: bool,
}

/// What a try came to.
enum Answer {
    Held,
    Not(Status),
    /// Ended without a status.
    Silent,
    /// Has said nothing, and does not end.
    Mute,
    /// We were told to stop, by this signal.
    Stopped(Signal),
    FrontGone,
}

/// When the command is to be told what.
#[derive(Default)]
struct Plan {
    term: Option<Instant>,
    kill: Option<Instant>,
    /// Whoever is left then, whatever it is. Those who have left the process group are killed as soon as that is gone.
    rest: Option<Instant>,
    /// The process group was killed.
    killed: bool,
}

impl Plan {
    /// All within `grace`. The rest last: among it may be another `run`, which ends its own command first.
    fn within(grace: Duration) -> Self {
        let now = Instant::now();
        Self { term: Some(now), kill: Some(now + grace * 3 / 5), rest: Some(now + grace * 4 / 5), killed: false }
    }

    /// The lock stays for as long as it takes.
    fn kill() -> Self {
        Self { kill: Some(Instant::now()), ..Self::default() }
    }

    fn kill_all() -> Self {
        Self { kill: Some(Instant::now()), rest: Some(Instant::now()), ..Self::default() }
    }

    fn no_later_than(&mut self, other: Self) {
        let earlier = |a: Option<Instant>, b| a.into_iter().chain(b).min();
        self.term = earlier(self.term, other.term);
        self.kill = earlier(self.kill, other.kill);
        self.rest = earlier(self.rest, other.rest);
    }

    /// What was due at `now` has been done.
    fn alarm(&self, now: Instant) -> Option<Instant> {
        [self.term, self.kill, self.rest].into_iter().flatten().filter(|&at| at > now).min()
    }
}

impl Keeper<'_> {
    /// Right after the fork.
    ///
    /// # Errors
    /// Only limits of the system stand behind these.
    pub(super) fn settle(&self) -> anyhow::Result<()> {
        nix::unistd::setpgid(nix::unistd::Pid::from_raw(0), nix::unistd::Pid::from_raw(0))?;
        set_child_subreaper(Some(getpid()))?;
        set_parent_process_death_signal(Some(Sent::CHILD))?;
        ensure!(!self.is_front_gone(), "the process that this one is the keeper of has ended");
        let _ = nix::sys::prctl::set_name(KEEPER);
        Ok(())
    }

    /// Takes the lock, runs the command, releases the lock. Returns the exit code.
    pub(super) fn run(mut self) -> u8 {
        let code = self.settle().and_then(|()| self.take()).unwrap_or_else(|error| {
            self.say(&format!("{error:#}"));
            // Whatever it was, no command goes on without a keeper.
            self.family.end(&self.signals);
            OURS + exit_code::ERROR
        });
        self.family.bury();
        code
    }

    fn take(&mut self) -> anyhow::Result<u8> {
        let until = Instant::now() + self.job.wait;
        let lock = self.job.lock.text();
        let wait = self.job.wait.as_secs().to_string();
        let grace = self.job.grace.as_millis().to_string();
        let mut more = Vec::new();
        if self.job.ours {
            more.extend(["--grace-milliseconds", &grace]);
            more.extend(["--wait-seconds", &wait].iter().filter(|_| !self.job.wait.is_zero()));
        }
        loop {
            let mut helper = Helper::start(&self.job.lock, &more)?;
            self.family.helper = i32::try_from(helper.pid()).ok().and_then(Pid::from_raw);
            self.tell(&News::Helper(self.family.helper));
            let answer = self.answer(&mut helper)?;
            let code = match answer {
                Answer::Held => return self.hold(helper),
                Answer::Not(Status::Contended) => exit_code::CONTENDED,
                Answer::Not(Status::TimedOut) | Answer::Mute => exit_code::TIMED_OUT,
                Answer::Not(_) | Answer::Silent | Answer::FrontGone => exit_code::ERROR,
                Answer::Stopped(signal) => {
                    self.finish(&mut helper, true)?;
                    return Ok(128 + signal as u8);
                }
            };
            self.finish(&mut helper, matches!(answer, Answer::FrontGone | Answer::Mute))?;
            match answer {
                Answer::Not(Status::Contended) if !self.job.ours && Instant::now() < until => match self.pause()? {
                    Some(code) => return Ok(code),
                    None => continue,
                },
                Answer::Not(Status::Contended) => self.say(&format!("{lock}: another holds the lock")),
                Answer::Not(status) if !self.helper_spoke => {
                    self.say(&format!("{lock}: status {} from the helper", char::from(status.byte())));
                }
                Answer::Mute => self.say(&format!("{lock}: timed out: no status from the helper; it was told to end")),
                Answer::Silent if !self.helper_spoke => self.say(&format!("{lock}: the helper ended without a status")),
                _ => {}
            }
            return Ok(OURS + code);
        }
    }

    /// Waits for the helper's status.
    fn answer(&mut self, helper: &mut Helper) -> anyhow::Result<Answer> {
        let deadline = helper.started() + self.job.wait + self.job.timeout;
        loop {
            match helper.next(Some(&self.signals), Some(deadline))? {
                Event::Byte(byte) => {
                    return Ok(match Status::from_byte(byte) {
                        Some(Status::Held) => Answer::Held,
                        status => Answer::Not(status.unwrap_or(Status::Error)),
                    });
                }
                Event::End | Event::Gone => return Ok(Answer::Silent),
                Event::Line(line) => self.show(&line),
                Event::Signal(Signal::SIGCHLD) if self.is_front_gone() => return Ok(Answer::FrontGone),
                Event::Signal(signal) if stops(signal) => return Ok(Answer::Stopped(signal)),
                Event::Deadline => return Ok(Answer::Mute),
                Event::Signal(_) => {}
            }
        }
    }

    /// Between two tries. An exit code where it ends all.
    fn pause(&self) -> anyhow::Result<Option<u8>> {
        let until = Instant::now() + LOOK;
        loop {
            match self.signals.wait(Some(until))? {
                None => return Ok(None),
                Some(signal) if stops(signal) => return Ok(Some(128 + signal as u8)),
                Some(_) if self.is_front_gone() => return Ok(Some(OURS + exit_code::ERROR)),
                Some(_) => {}
            }
        }
    }

    /// Runs the command under the lock.
    fn hold(&mut self, mut helper: Helper) -> anyhow::Result<u8> {
        if self.is_front_gone() {
            self.finish(&mut helper, true)?;
            return Ok(OURS + exit_code::ERROR);
        }
        let leader = self.start_command()?;
        self.family.led_by(leader);
        self.tell(&News::Command(leader));
        let lost = self.watch(&mut helper)?;
        self.finish(&mut helper, true)?;
        Ok(if lost { OURS + exit_code::LOST } else { self.family.ended().unwrap_or(OURS + exit_code::ERROR) })
    }

    /// Its program may be on a file system that hangs, and the lock be lost before it can start: nobody waits for that here,
    /// and a process that was killed before it became the command never does.
    fn start_command(&self) -> anyhow::Result<Pid> {
        let (program, arguments) = self.job.command.split_first().context("no COMMAND")?;
        let mut command = Command::new(program);
        command.args(arguments).process_group(0);
        let door = self.family.cgroup().and_then(|cgroup| cgroup.door().ok());
        begin(&mut command, Beginning { keeper: getpid(), door, terminal: self.job.terminal });
        if let Some(leader) = sys::fork().context("cannot start the command")? {
            // The child does it too: whoever is first.
            let group = nix::unistd::Pid::from_raw(leader.as_raw_nonzero().get());
            let _ = nix::unistd::setpgid(group, group);
            return Ok(leader);
        }
        // What was found before the lock was taken can still fail here: its interpreter is not there, say.
        let error = command.exec();
        self.say(&format!("cannot run {}: {error}", program.to_string_lossy()));
        let code = if error.kind() == io::ErrorKind::NotFound { super::NOT_FOUND } else { super::NOT_EXECUTABLE };
        std::process::exit(code.into())
    }

    /// Until nobody of the command is left. Whether the lock was lost before.
    fn watch(&mut self, helper: &mut Helper) -> anyhow::Result<bool> {
        let mut plan = Plan::default();
        let (mut lost, mut helper_gone, mut orphaned, mut lingering) = (false, false, false, false);
        loop {
            let left = self.family.left().context("cannot look after the command")?;
            if left.is_empty() && self.family.ended().is_some() {
                return Ok(lost);
            }
            if self.job.terminal && self.family.was_suspended() {
                self.family.signal(Sent::CONT);
            }
            if !orphaned && self.is_front_gone() {
                orphaned = true;
                plan.no_later_than(Plan::kill());
            }
            if self.family.ended().is_some() && !lingering {
                lingering = true;
                let grace = LINGER.max(self.job.grace);
                let term = Instant::now() + LINGER;
                plan.no_later_than(Plan { term: Some(term), kill: Some(term + grace), ..Plan::default() });
            }
            let now = Instant::now();
            self.follow(&mut plan, &left, now);
            let alarm = plan.alarm(now);
            let event = if helper_gone {
                self.signals.wait(alarm)?.map_or(Event::Deadline, Event::Signal)
            } else {
                helper.next(Some(&self.signals), alarm)?
            };
            match event {
                Event::Line(line) => self.show(&line),
                Event::Signal(signal) if PASSED.contains(&signal) => {
                    self.family.signal(sent(signal));
                    if stops(signal) {
                        // One that is stopped (it has read from a terminal that is not its own, say) has to hear of it.
                        self.family.signal(Sent::CONT);
                    }
                }
                Event::Signal(_) | Event::Byte(_) | Event::Deadline => {}
                Event::End => {
                    lost = true;
                    plan.no_later_than(Plan::within(self.job.time_to_end()));
                    self.follow(&mut plan, &left, Instant::now());
                    self.say(&format!("{}: lost the lock, ending the command", self.job.lock.text()));
                }
                Event::Gone => {
                    helper_gone = true;
                    // Ours stay for the grace, unless the worker is gone, and a file's lock with it; and nobody waits for
                    // the command before the lock goes where a helper was killed.
                    if self.job.ours || helper.status().is_some_and(|status| status.code().is_none()) {
                        plan.no_later_than(Plan::kill_all());
                    }
                }
            }
        }
    }

    /// Does what is due. The rest is killed again and again: what it forked comes to us.
    fn follow(&mut self, plan: &mut Plan, left: &[Pid], now: Instant) {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| now >= at);
        if is_due(plan.term) {
            plan.term = None;
            self.family.signal(Sent::TERM);
            if self.family.ended().is_some() {
                self.family.signal_children(Sent::TERM);
                self.say("the command has left processes behind, ending them");
            }
        }
        if is_due(plan.kill) {
            plan.kill = None;
            plan.killed = true;
            self.family.signal(Sent::KILL);
        }
        if is_due(plan.rest) || (plan.killed && self.family.are_strays(left)) {
            self.family.kill();
        }
    }

    /// Waits for the helper's end, which it is told to come to, if so.
    fn finish(&mut self, helper: &mut Helper, tell: bool) -> anyhow::Result<()> {
        let limit = Instant::now() + HELPER_ENDS;
        if tell {
            helper.signal(Sent::TERM);
        }
        loop {
            match helper.next(None, Some(limit))? {
                // The command is gone: ours need not wait for the grace, and know by a second signal.
                Event::End if tell && self.job.ours => helper.signal(Sent::TERM),
                Event::Line(line) => self.show(&line),
                Event::Gone => {
                    // Waited for: there may be as many tries as seconds.
                    helper.status();
                    return Ok(());
                }
                Event::Deadline => {
                    // It has said no, and stays.
                    helper.signal(Sent::TERM);
                    return Ok(());
                }
                Event::End | Event::Byte(_) | Event::Signal(_) => {}
            }
        }
    }

    fn is_front_gone(&self) -> bool {
        getppid() != Some(self.front)
    }

    fn show(&mut self, line: &str) {
        self.helper_spoke = true;
        self.say(line);
    }

    fn say(&self, text: &str) {
        self.tell(&News::Line(text.to_owned()));
    }

    /// Nobody waits for a reader that has enough to do, or is gone.
    fn tell(&self, news: &News) {
        let _ = self.news.send(&news.bytes());
    }
}

/// Whether it ends a try.
fn stops(signal: Signal) -> bool {
    matches!(signal, Signal::SIGTERM | Signal::SIGINT | Signal::SIGHUP | Signal::SIGQUIT)
}

fn sent(signal: Signal) -> Sent {
    // Of those that are passed, which both know.
    Sent::from_named_raw(signal as i32).unwrap_or(Sent::TERM)
}
