//! The command and all that has come of it, as seen by the process that its orphans come to (`PR_SET_CHILD_SUBREAPER`).
//!
//! Three nets, from the finest to the widest:
//! - the **process group**, which the command leads;
//! - the **children** of this process: who leaves the group (`setsid`) is still somebody's child, and comes to us when that
//!   one ends. Killing ours until there are none reaches every descendant, and hits nobody else: the number of a child of
//!   ours is given to another only after we have waited for it;
//! - the **cgroup**, at once and also while they fork.
//!
//! Not caught: what another process was asked to start (systemd, cron, a container's daemon), and whoever is in an
//! uninterruptible call, before that returns.

use std::ffi::CStr;
use std::io;
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, getpgid, kill_process, kill_process_group, waitid,
};

use super::cgroup::Cgroup;
use crate::helper::Signals;

/// While all are killed, the next look at who is left.
const LOOK: Duration = Duration::from_millis(100);

/// What the keeper calls itself, as in `ps -o comm`, and what its parent is called.
pub(super) const KEEPER: &CStr = c"mutex-keeper";
const FRONT: &CStr = c"ctdb-mutex";

/// The processes below this one, but for the helper's.
pub(super) struct Family {
    /// The process group of the helper: its worker comes to us too when its supervisor ends first.
    pub(super) helper: Option<Pid>,
    leader: Option<Pid>,
    ended: Option<u8>,
    cgroup: Option<Cgroup>,
}

impl Family {
    pub(super) fn new(cgroup: Option<Cgroup>) -> Self {
        Self { helper: None, leader: None, ended: None, cgroup }
    }

    /// The command was started: as this process, which leads a group. It is not waited for before all others are gone,
    /// so that its number stays its own, and its group's.
    pub(super) fn led_by(&mut self, leader: Pid) {
        self.leader = Some(leader);
    }

    pub(super) fn leader(&self) -> Option<Pid> {
        self.leader
    }

    pub(super) fn cgroup(&self) -> Option<&Cgroup> {
        self.cgroup.as_ref()
    }

    /// The exit code of the command, once it has ended: 128 + N where signal N ended it.
    pub(super) fn ended(&self) -> Option<u8> {
        self.ended
    }

    /// Waits for those that have ended, without waiting, and says who is left, of those that are our children.
    ///
    /// Where that is nobody there are no others either: whoever ends gives us its children before we can see it end.
    pub(super) fn left(&mut self) -> io::Result<Vec<Pid>> {
        let how = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        // Before the list is read: what a command that ends in between had is not in that.
        if let Some(leader) = self.leader {
            let status = waitid(WaitId::Pid(leader), how | WaitIdOptions::NOWAIT)?;
            self.ended = status.as_ref().and_then(code);
        }
        loop {
            let mut left = Vec::new();
            let mut reaped = false;
            for child in children()? {
                if Some(child) == self.leader {
                    left.extend(self.ended.is_none().then_some(child));
                } else if self.helper.is_some() && getpgid(Some(child)).ok() == self.helper {
                    // Its end is for whoever started it.
                } else if waitid(WaitId::Pid(child), how)?.is_some() {
                    reaped = true;
                } else {
                    left.push(child);
                }
            }
            // What it had has come to us meanwhile.
            if !reaped {
                return Ok(left);
            }
        }
    }

    /// Whether the command has stopped itself since the last look, as an editor does that is told to.
    pub(super) fn was_suspended(&self) -> bool {
        let how = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
        let stopped = self.leader.and_then(|leader| waitid(WaitId::Pid(leader), how).ok().flatten());
        stopped.and_then(|status| status.stopping_signal()) == Some(Signal::TSTP.as_raw())
    }

    /// Whether those who are left have all left the process group, and none is another `run`, which ends its command
    /// before its own helper, if it is let.
    pub(super) fn are_strays(&self, left: &[Pid]) -> bool {
        let of_the_group = |&pid: &Pid| self.leader.is_some() && getpgid(Some(pid)).ok() == self.leader;
        self.ended.is_some() && !left.iter().any(|pid| of_the_group(pid) || is_run(*pid))
    }

    /// Sends the process group a signal.
    pub(super) fn signal(&self, signal: Signal) {
        if let Some(leader) = self.leader.filter(|&leader| is_child(leader)) {
            let _ = kill_process_group(leader, signal);
        }
    }

    /// Sends it to those that are our children, of whatever group.
    pub(super) fn signal_children(&mut self, signal: Signal) {
        for child in self.left().unwrap_or_default() {
            let _ = kill_process(child, signal);
        }
    }

    /// Kills whoever can be reached. To be called again as long as somebody is left.
    pub(super) fn kill(&mut self) {
        self.signal(Signal::KILL);
        if let Some(cgroup) = &self.cgroup {
            cgroup.kill();
        }
        self.signal_children(Signal::KILL);
    }

    /// Kills until nobody is left; whoever hangs is waited for.
    pub(super) fn end(&mut self, signals: &Signals) {
        loop {
            self.kill();
            if self.left().is_ok_and(|left| !left.is_empty()) {
                let _ = signals.wait(Some(Instant::now() + LOOK));
            } else {
                return;
            }
        }
    }

    /// Removes the cgroup, when nobody is left.
    pub(super) fn bury(&self) {
        if let Some(cgroup) = &self.cgroup {
            cgroup.remove();
        }
    }
}

/// Whether it is the keeper of another `run`, or its parent, by what they are called.
fn is_run(pid: Pid) -> bool {
    let name = std::fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero())).unwrap_or_default();
    [KEEPER, FRONT].iter().any(|run| name.trim_end().as_bytes() == run.to_bytes())
}

/// Whether nobody but us can free this number.
fn is_child(pid: Pid) -> bool {
    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT).is_ok()
}

fn children() -> io::Result<Vec<Pid>> {
    // Of a process with one thread.
    let list = std::fs::read_to_string("/proc/thread-self/children")?;
    Ok(list.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect())
}

/// As a shell has it.
fn code(status: &WaitIdStatus) -> Option<u8> {
    let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal))?;
    // Both are below 256.
    u8::try_from(code).ok()
}
