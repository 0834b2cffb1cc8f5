//! The parent of a node's helpers, in ctdbd's place: what CTDB does with a cluster lock, and a word about everything.
//!
//! Single-threaded, one `poll` loop, as ctdbd. It takes the lock again and again: `0` is held for a time, short or long,
//! and then given back by SIGTERM; whatever else comes is waited over and tried again; at the end of the pipe it goes on at
//! once. Now and then a try is cancelled before its answer, as CTDB may.
//!
//! Its loop runs often also where nothing happens. So it knows afterwards that it was stopped: then it looks at the pipe
//! before it does anything else, and says what it found.

use std::ffi::OsString;
use std::io::{Stdout, Write, stdout};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, pipe2, read};

use super::dice::Dice;
use super::event::{Event, Moment, Said, What};

/// How often the loop runs at least.
const TICK: Duration = Duration::from_millis(20);
/// A pause of the loop after which it looks before it believes.
const GAP: Duration = Duration::from_millis(50);
/// CTDB's own limit for an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(120);

/// What a parent is told.
pub struct Orders {
    /// Its node.
    pub node: usize,
    /// How many nodes there are.
    pub nodes: u32,
    /// What its times are drawn from.
    pub seed: u64,
    /// L: times are short or long beside it.
    pub lease: Duration,
    /// The helper and its arguments.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

/// A helper that has not ended yet, as far as this parent knows.
struct Helper {
    child: Child,
    pipe: OwnedFd,
}

enum State {
    Waits { until: Moment },
    Tries { helper: Helper, cancel: Moment },
    Holds { helper: Helper, until: Moment },
}

struct Parent {
    orders: Orders,
    dice: Dice,
    /// Helpers that were let go and have not been waited for.
    old: Vec<Child>,
    out: Stdout,
    /// When the loop ran last.
    looked: Moment,
}

/// Does it until standard input ends.
///
/// # Errors
/// Where the campaign does not listen any more.
pub fn run(orders: Orders) -> anyhow::Result<()> {
    let dice = Dice::new(orders.seed, 1);
    let now = Moment::now()?;
    let mut parent = Parent { orders, dice, old: Vec::new(), out: stdout(), looked: now };
    let mut state = State::Waits { until: now + parent.pause() };
    let stdin = std::io::stdin();
    loop {
        let pipe = match &state {
            State::Waits { .. } => None,
            State::Tries { helper, .. } | State::Holds { helper, .. } => Some(helper.pipe.as_fd()),
        };
        if waits(stdin.as_fd(), pipe)? {
            return Ok(());
        }
        parent.old.retain_mut(|child| !matches!(child.try_wait(), Ok(Some(_))));
        state = parent.step(state)?;
    }
}

impl Parent {
    fn step(&mut self, state: State) -> anyhow::Result<State> {
        let now = Moment::now()?;
        let looked = std::mem::replace(&mut self.looked, now);
        match state {
            State::Waits { until } if now >= until => self.start(now),
            State::Waits { .. } => Ok(state),
            State::Tries { helper, cancel } => match next(&helper.pipe)? {
                Heard::Nothing if now >= cancel => {
                    self.terminate(helper)?;
                    self.wait(now)
                }
                Heard::Nothing => Ok(State::Tries { helper, cancel }),
                Heard::Byte(byte) => {
                    // A parent that was stopped may find the end behind the byte: it never believed.
                    let behind = next(&helper.pipe)?;
                    let over = matches!(behind, Heard::End);
                    let now = Moment::now()?;
                    self.say(now, Said::Byte(char::from(byte)))?;
                    if let Heard::Byte(extra) = behind {
                        self.say(now, Said::Extra(char::from(extra)))?;
                    }
                    if byte == b'0' && over {
                        self.say(now, Said::End { looked })?;
                    } else if byte == b'0' {
                        return Ok(State::Holds { helper, until: now + self.hold() });
                    }
                    self.let_go(helper);
                    self.wait(now)
                }
                Heard::End => {
                    self.say(Moment::now()?, Said::End { looked })?;
                    self.let_go(helper);
                    self.wait(now)
                }
            },
            State::Holds { helper, until } => match next(&helper.pipe)? {
                Heard::End => {
                    self.say(Moment::now()?, Said::End { looked })?;
                    self.let_go(helper);
                    self.start(now)
                }
                // CTDB ignores bytes after the first; the checker does not.
                Heard::Byte(byte) => {
                    self.say(Moment::now()?, Said::Extra(char::from(byte)))?;
                    Ok(State::Holds { helper, until })
                }
                Heard::Nothing => {
                    if now.since(looked) > GAP {
                        self.say(now, Said::Still { looked })?;
                    }
                    if now < until {
                        return Ok(State::Holds { helper, until });
                    }
                    self.terminate(helper)?;
                    self.wait(now)
                }
            },
        }
    }

    fn start(&mut self, now: Moment) -> anyhow::Result<State> {
        let (pipe, writer) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).context("make a pipe")?;
        // The flag is the description's: a helper's write must block, and only its end is.
        nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_SETFL(OFlag::empty())).context("let a pipe block")?;
        let mut command = Command::new(&self.orders.program);
        command.args(&self.orders.arguments).stdin(Stdio::null()).stdout(writer);
        let Ok(child) = command.spawn() else {
            self.say(now, Said::Failed)?;
            return self.wait(now);
        };
        drop(command);
        self.say(Moment::now()?, Said::Started { helper: i32::try_from(child.id())? })?;
        // One of sixteen is cancelled early, if it has not been answered by then.
        let limit = if self.dice.below(16) == 0 {
            self.dice.between(Duration::ZERO, Duration::from_millis(200))
        } else {
            ANSWER_LIMIT
        };
        Ok(State::Tries { helper: Helper { child, pipe }, cancel: now + limit })
    }

    fn wait(&mut self, now: Moment) -> anyhow::Result<State> {
        Ok(State::Waits { until: now + self.pause() })
    }

    /// Until the next try. CTDB's are seconds apart; here somebody is to try soon after a lock has become free, and all nodes
    /// together as often as few: a try starts a process and a client of the store.
    fn pause(&mut self) -> Duration {
        let nodes = self.orders.nodes;
        self.dice.between(Duration::from_millis(50) * nodes, Duration::from_millis(200) * nodes)
    }

    /// How long the lock is held: often until a fault takes it.
    fn hold(&mut self) -> Duration {
        let lease = self.orders.lease;
        if self.dice.percent(40) {
            self.dice.between(lease / 10, lease / 2)
        } else {
            self.dice.between(lease * 3 / 2, lease * 5)
        }
    }

    /// In this order: a stopped parent must not seem to believe after its SIGTERM, nor a killed one to have sent none.
    fn terminate(&mut self, helper: Helper) -> anyhow::Result<()> {
        self.say(Moment::now()?, Said::Terminates)?;
        self.let_go(helper);
        Ok(())
    }

    /// What CTDB does with a helper that it is done with, for whatever reason.
    fn let_go(&mut self, helper: Helper) {
        let Helper { mut child, pipe } = helper;
        // Not yet waited for, so the number is its own.
        if let (Ok(None), Ok(pid)) = (child.try_wait(), i32::try_from(child.id())) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            self.old.push(child);
        }
        drop(pipe);
    }

    fn say(&mut self, at: Moment, said: Said) -> anyhow::Result<()> {
        let event = Event { at, what: What::Parent { node: self.orders.node, said } };
        let mut line = serde_json::to_vec(&event).context("write an event")?;
        line.push(b'\n');
        self.out.write_all(&line).and_then(|()| self.out.flush()).context("tell the campaign")
    }
}

enum Heard {
    Nothing,
    Byte(u8),
    End,
}

/// Looks at the pipe without waiting.
fn next(pipe: &OwnedFd) -> anyhow::Result<Heard> {
    let mut byte = [0];
    match read(pipe, &mut byte) {
        Ok(0) => Ok(Heard::End),
        Ok(_) => Ok(Heard::Byte(byte[0])),
        Err(nix::Error::EAGAIN | nix::Error::EINTR) => Ok(Heard::Nothing),
        Err(error) => Err(error).context("read a helper's pipe"),
    }
}

/// Waits until something happens, or a tick has passed; whether the campaign is over.
fn waits(stdin: BorrowedFd<'_>, pipe: Option<BorrowedFd<'_>>) -> anyhow::Result<bool> {
    let mut fds = vec![PollFd::new(stdin, PollFlags::POLLIN)];
    fds.extend(pipe.map(|pipe| PollFd::new(pipe, PollFlags::POLLIN)));
    match poll(&mut fds, PollTimeout::try_from(TICK).unwrap_or(PollTimeout::ZERO)) {
        Ok(_) => Ok(fds[0].any().unwrap_or(true)),
        Err(nix::Error::EINTR) => Ok(false),
        Err(error) => Err(error).context("poll"),
    }
}
