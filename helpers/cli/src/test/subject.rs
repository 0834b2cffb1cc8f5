//! A helper under test: what it has said so far, and its processes.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::bench::{Bench, SECOND, TICK};
use super::process::{Family, Process};
use super::rule::Stop;
use crate::helper::{Event, Helper};

/// How long after its byte a helper may start its child.
const BIRTH: Duration = Duration::from_millis(500);

/// A helper under test.
pub(super) struct Subject<'a> {
    bench: &'a Bench,
    /// What CTDB would have started.
    process: Process,
    /// That, or the parent that started it.
    helper: Helper,
    bytes: Vec<u8>,
    byte_came: Option<Instant>,
    ended: Option<Instant>,
    lines: Vec<String>,
}

impl<'a> Subject<'a> {
    pub(super) fn new(bench: &'a Bench, helper: Helper, pid: u32) -> anyhow::Result<Self> {
        let process = Process::open(pid)?;
        Ok(Self { bench, process, helper, bytes: Vec::new(), byte_came: None, ended: None, lines: Vec::new() })
    }

    /// When it was started.
    pub(super) fn started(&self) -> Instant {
        self.helper.started()
    }

    /// How long its answer took.
    pub(super) fn answered_after(&self) -> Duration {
        self.byte_came.map_or(Duration::ZERO, |came| came.duration_since(self.started()))
    }

    /// What it has written into the pipe.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What it has said on standard error.
    pub(super) fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Whether the pipe has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Hears what it says for this long, or until the condition holds; then `true`.
    pub(super) fn hear(&mut self, limit: Duration, until: impl Fn(&Self) -> bool) -> Result<bool, Stop> {
        let deadline = Instant::now() + limit;
        loop {
            if until(self) {
                return Ok(true);
            }
            let slice = deadline.min(Instant::now() + TICK);
            match self.helper.next(Some(self.bench.signals()), Some(slice))? {
                Event::Byte(byte) => {
                    self.byte_came.get_or_insert_with(Instant::now);
                    self.bytes.push(byte);
                }
                Event::End => self.ended = Some(Instant::now()),
                Event::Line(line) => self.lines.push(line),
                Event::Signal(signal) => return Err(Stop::Told(signal)),
                // Nothing more can come.
                Event::Gone => return Ok(until(self)),
                Event::Deadline if Instant::now() >= deadline => return Ok(until(self)),
                Event::Deadline => self.bench.progress().tick(),
            }
        }
    }

    /// Waits for its byte; `None` where the pipe ended without one, or nothing came.
    pub(super) fn answer(&mut self, limit: Duration) -> Result<Option<u8>, Stop> {
        self.hear(limit, |helper| !helper.bytes.is_empty() || helper.ended.is_some())?;
        // By now whatever it has started is there.
        self.family(|_| ());
        Ok(self.bytes.first().copied())
    }

    /// What came of it, for messages.
    pub(super) fn answered(&self) -> String {
        match (self.bytes.first(), self.ended) {
            (Some(byte), _) => char::from(*byte).escape_default().to_string(),
            (None, Some(_)) => "nothing but the end of the pipe".to_owned(),
            (None, None) => "nothing".to_owned(),
        }
    }

    /// Waits for this answer.
    pub(super) fn expect(&mut self, who: &str, wanted: u8, limit: Duration) -> Result<(), Stop> {
        if self.answer(limit)? == Some(wanted) {
            return Ok(());
        }
        let (answered, limit) = (self.answered(), limit.as_secs_f32());
        Err(self.broken(&format!("{who} was answered {answered} within {limit:.1} s, not {}", char::from(wanted))))
    }

    /// Waits for the pipe's end, and says how long it took from now.
    pub(super) fn expect_end(&mut self, when: &str, limit: Duration) -> Result<Duration, Stop> {
        let begun = Instant::now();
        self.hear(limit, Self::has_ended)?;
        if self.bytes.len() > 1 {
            return Err(self.broken("more than one byte came"));
        }
        match self.ended {
            Some(ended) => Ok(ended.saturating_duration_since(begun)),
            None => Err(self.broken(&format!("{when}: the pipe had not ended after {:.1} s", limit.as_secs_f32()))),
        }
    }

    /// Waits until nobody can say anything on its standard error any more, and says how long it took from now.
    pub(super) fn expect_log_end(&mut self, when: &str, limit: Duration) -> Result<Duration, Stop> {
        let begun = Instant::now();
        loop {
            // Nothing is waited for here once the process and its pipe are gone, so a little is below.
            self.hear(TICK.min(limit), |helper| helper.helper.has_said_all())?;
            if self.helper.has_said_all() {
                return Ok(begun.elapsed());
            }
            if begun.elapsed() >= limit {
                return Err(Stop::Broken(format!(
                    "{when}: its standard error had not ended after {:.1} s",
                    limit.as_secs_f32()
                )));
            }
            self.bench.pause(Duration::from_millis(5))?;
        }
    }

    /// Waits until the process is gone, and says its exit code; `None` where it was ended by a signal.
    pub(super) fn exit_code(&mut self, when: &str) -> Result<Option<i32>, Stop> {
        self.expect_gone(when, SECOND)?;
        Ok(self.helper.status().and_then(|status| status.code()))
    }

    /// Nothing comes for this long.
    pub(super) fn expect_silence(&mut self, when: &str, time: Duration) -> Result<(), Stop> {
        let (begun, before) = (Instant::now(), self.bytes.len());
        if !self.hear(time, |helper| helper.bytes.len() > before || helper.has_ended())? && !self.has_ended() {
            return Ok(());
        }
        let what = if self.has_ended() { "the pipe ended" } else { "one more byte came" };
        Err(self.broken(&format!("{when}: {what} after {:.1} s", begun.elapsed().as_secs_f32())))
    }

    /// Waits until the process that CTDB would have started is gone, and says how long it took.
    pub(super) fn expect_gone(&mut self, when: &str, limit: Duration) -> Result<Duration, Stop> {
        let begun = Instant::now();
        if self.bench.wait_readable(Some(&self.process), limit)? {
            return Ok(begun.elapsed());
        }
        Err(self.broken(&format!("{when}: the process had not gone after {:.1} s", limit.as_secs_f32())))
    }

    /// Waits until no process of it is left.
    pub(super) fn expect_all_gone(&mut self, when: &str, limit: Duration) -> Result<(), Stop> {
        let left = || self.bench.with_family(self.process.pid(), |family| family.left().len()).unwrap_or_default();
        if self.bench.wait_until(limit, || left() == 0)? {
            return Ok(());
        }
        let (left, limit) = (left(), limit.as_secs_f32());
        Err(self.broken(&format!("{when}: after {limit:.1} s it has left {left} of its processes")))
    }

    /// Sends a signal to the process that CTDB would have started.
    pub(super) fn signal(&self, signal: Signal) {
        self.family(|_| ());
        self.process.signal(signal);
    }

    /// The same to one that has not gone by itself within a second: some wait for CTDB to tell them.
    pub(super) fn signal_unless_gone(&self, signal: Signal) -> Result<(), Stop> {
        if !self.bench.wait_readable(Some(&self.process), SECOND)? {
            self.signal(signal);
        }
        Ok(())
    }

    /// Stops that process, and waits until it has stopped.
    pub(super) fn stop(&self) -> Result<(), Stop> {
        self.signal(Signal::STOP);
        self.bench.wait_until(SECOND, || self.process.is_stopped()).map(drop)
    }

    /// One of a single process is skipped. A child may be started just after the byte.
    pub(super) fn expect_child(&self) -> Result<(), Stop> {
        let born = || self.family(|family| family.children().count() > 0).unwrap_or_default();
        if self.bench.wait_until(BIRTH, born)? { Ok(()) } else { Err(Stop::Skip("it has no child".to_owned())) }
    }

    /// Sends a signal to every process that it has started; one that stops them is waited for.
    pub(super) fn signal_children(&self, signal: Signal) -> Result<(), Stop> {
        self.expect_child()?;
        self.family(|family| family.children().for_each(|child| child.signal(signal)));
        if signal == Signal::STOP {
            let stopped = || self.family(|family| family.children().all(Process::is_stopped));
            self.bench.wait_until(SECOND, || stopped().unwrap_or(true))?;
        }
        Ok(())
    }

    /// Sends a signal to all of its processes; one that stops them is waited for.
    pub(super) fn signal_all(&self, signal: Signal) -> Result<(), Stop> {
        self.family(|family| family.members().iter().for_each(|member| member.signal(signal)));
        if signal == Signal::STOP {
            let stopped = || self.family(|family| family.members().iter().all(Process::is_stopped));
            self.bench.wait_until(SECOND, || stopped().unwrap_or(true))?;
        }
        Ok(())
    }

    /// Stops whatever it has started, and that may be nothing.
    pub(super) fn stop_any_children(&self) -> Result<(), Stop> {
        match self.signal_children(Signal::STOP) {
            Err(Stop::Skip(_)) => Ok(()),
            done => done,
        }
    }

    /// Kills the parent that started it.
    pub(super) fn kill_parent(&self) {
        self.helper.signal(Signal::KILL);
    }

    /// Closes the pipe's reading end.
    pub(super) fn close_pipe(&mut self) {
        self.helper.close_pipe();
    }

    /// As CTDB lets go: SIGTERM. What comes of it is another rule's.
    pub(super) fn dismiss(&mut self) -> Result<(), Stop> {
        self.signal(Signal::TERM);
        self.hear(SECOND, Self::has_ended)?;
        self.bench.wait_readable(Some(&self.process), SECOND).map(drop)
    }

    /// A broken rule: what happened, and what the helper said about it.
    pub(super) fn broken(&mut self, what: &str) -> Stop {
        // What it has just said may still be on its way.
        if let Err(stop @ Stop::Told(_)) = self.hear(Duration::from_millis(20), |_| false) {
            return stop;
        }
        Stop::Broken(match self.lines.last() {
            Some(line) => format!("{what}; it said: {line}"),
            None => what.to_owned(),
        })
    }

    fn family<T>(&self, deed: impl FnOnce(&mut Family) -> T) -> Option<T> {
        self.bench.with_family(self.process.pid(), deed)
    }
}
