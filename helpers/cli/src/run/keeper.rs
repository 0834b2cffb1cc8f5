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

use anyhow::Context;
use mutex_core::status::{Status, exit_code};
use nix::sys::signal::Signal;
use rustix::process::{Pid, Signal as Sent, getpid, getppid, set_child_subreaper, set_parent_process_death_signal};

use super::family::{Family, KEEPER};
use super::front::News;
use super::{Job, OURS};
use crate::helper::{Event, Helper, Signals};
use crate::sys::{Beginning, begin};

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

    fn alarm(&self) -> Option<Instant> {
        let now = Instant::now();
        [self.term, self.kill, self.rest].into_iter().flatten().filter(|&at| at > now).min()
    }
}

fn is_due(at: Option<Instant>) -> bool {
    at.is_some_and(|at| Instant::now() >= at)
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
        let _ = nix::sys::prctl::set_name(KEEPER);
        Ok(())
    }

    /// Takes the lock, runs the command, releases the lock. Returns the exit code.
    pub(super) fn run(mut self) -> u8 {
        let code = self.settle().and_then(|()| self.take()).unwrap_or_else(|error| {
            self.say(&format!("{error:#}"));
            // Whatever it was, no command goes on without a keeper.
            self.kill_all();
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
                Answer::Not(Status::TimedOut) => exit_code::TIMED_OUT,
                Answer::Not(_) | Answer::Silent | Answer::FrontGone => exit_code::ERROR,
                Answer::Stopped(signal) => {
                    self.finish(&mut helper, true)?;
                    return Ok(128 + signal as u8);
                }
            };
            self.finish(&mut helper, matches!(answer, Answer::FrontGone))?;
            match answer {
                Answer::Not(Status::Contended) if !self.job.ours && Instant::now() < until => match self.pause()? {
                    Some(code) => return Ok(code),
                    None => continue,
                },
                Answer::Not(Status::Contended) => self.say(&format!("{lock}: another holds the lock")),
                Answer::Not(status) if !self.helper_spoke => {
                    self.say(&format!("{lock}: status {} from the helper", char::from(status.byte())));
                }
                Answer::Silent if !self.helper_spoke => self.say(&format!("{lock}: the helper ended without a status")),
                _ => {}
            }
            return Ok(OURS + code);
        }
    }

    /// Waits for the helper's status.
    fn answer(&mut self, helper: &mut Helper) -> anyhow::Result<Answer> {
        loop {
            match helper.next(Some(&self.signals), None)? {
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
                Event::Signal(_) | Event::Deadline => {}
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
        match self.start_command() {
            Ok(leader) => {
                self.family.led_by(leader);
                self.tell(&News::Command(leader));
            }
            Err((code, text)) => {
                self.finish(&mut helper, true)?;
                self.say(&text);
                return Ok(code);
            }
        }
        let lost = self.watch(&mut helper)?;
        self.finish(&mut helper, true)?;
        Ok(if lost { OURS + exit_code::LOST } else { self.family.ended().unwrap_or(OURS + exit_code::ERROR) })
    }

    fn start_command(&self) -> Result<Pid, (u8, String)> {
        let [program, arguments @ ..] = &*self.job.command else { return Err((OURS, "no COMMAND".to_owned())) };
        let shown = program.to_string_lossy();
        let mut command = Command::new(program);
        command.args(arguments).process_group(0);
        let door = self.family.cgroup().and_then(|cgroup| cgroup.door().ok());
        begin(&mut command, Beginning { keeper: getpid(), door, terminal: self.job.terminal });
        // What was found before the lock was taken can still fail here: its interpreter is not there, say.
        let child = command.spawn().map_err(|error| {
            let code = if error.kind() == io::ErrorKind::NotFound { super::NOT_FOUND } else { super::NOT_EXECUTABLE };
            (code, format!("cannot run {shown}: {error}"))
        })?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        pid.ok_or_else(|| (OURS + exit_code::ERROR, format!("{shown} has no process number")))
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
            self.follow(&mut plan, &left);
            let event = if helper_gone {
                self.signals.wait(plan.alarm())?.map_or(Event::Deadline, Event::Signal)
            } else {
                helper.next(Some(&self.signals), plan.alarm())?
            };
            match event {
                Event::Line(line) => self.show(&line),
                Event::Signal(signal) if PASSED.contains(&signal) => self.family.signal(sent(signal)),
                Event::Signal(_) | Event::Byte(_) | Event::Deadline => {}
                Event::End => {
                    lost = true;
                    plan.no_later_than(Plan::within(self.job.time_to_end()));
                    self.follow(&mut plan, &left);
                    self.say(&format!("{}: lost the lock, ending the command", self.job.lock.text()));
                }
                Event::Gone => {
                    helper_gone = true;
                    // Killed: nobody waits for the command before the lock goes.
                    if helper.status().is_some_and(|status| status.code().is_none()) {
                        plan.no_later_than(Plan::kill_all());
                    }
                }
            }
        }
    }

    /// Does what is due. The rest is killed again and again: what it forked comes to us.
    fn follow(&mut self, plan: &mut Plan, left: &[Pid]) {
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

    fn kill_all(&mut self) {
        while self.family.left().is_ok_and(|left| !left.is_empty()) {
            self.family.kill();
            let _ = self.signals.wait(Some(Instant::now() + LOOK));
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
                Event::Gone | Event::Deadline => return Ok(()),
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
