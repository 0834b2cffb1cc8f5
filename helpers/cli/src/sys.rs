//! The system calls that no crate of ours wraps safely. Beside `unblocked`, nothing else here is `unsafe`.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};
use nix::unistd::ForkResult;
use rustix::process::Pid;

/// Forks. The child gets `None`. For a program that has not started a thread.
pub(crate) fn fork() -> anyhow::Result<Option<Pid>> {
    // SAFETY: nothing in this program starts a thread, so the child has no lock held by one that it lacks.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Pid::from_raw(child.as_raw())),
        ForkResult::Child => Ok(None),
    }
}

/// Has the kernel keep children that have ended, whatever this program was started with.
pub(crate) fn keep_children() -> anyhow::Result<()> {
    // SAFETY: the default disposition runs no code of ours.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }?;
    Ok(())
}

/// Lets the child of `command` lead a session of its own, and a process group, as ctdbd does that its helpers are with.
///
/// In a process group of this session a stopped helper would be woken, with SIGHUP, as soon as its parent dies: the kernel
/// does that to a group that nobody of its session is responsible for any more. Below ctdbd it does not.
pub(crate) fn own_session(command: &mut Command) -> &mut Command {
    // SAFETY: between fork and exec only async-signal-safe functions may run: setsid(2) is, and nothing here allocates.
    unsafe { command.pre_exec(|| nix::unistd::setsid().map(drop).map_err(io::Error::from)) }
}

/// What the command of `run` is before it becomes itself.
pub(crate) struct Beginning {
    /// Its parent, with which it is to end.
    pub(crate) keeper: Pid,
    /// `cgroup.procs` of its cgroup, if it has one.
    pub(crate) door: Option<File>,
    /// Whether standard input is a terminal that is to be its group's.
    pub(crate) terminal: bool,
}

/// Lets the child of `command`, which is to lead a process group, begin so. It ignores what this program was started to
/// ignore (`nohup`), on a terminal Ctrl-Z too, and has no signal blocked.
pub(crate) fn begin(command: &mut Command, beginning: Beginning) {
    let begin = move || {
        let Beginning { keeper, door, terminal } = &beginning;
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        if rustix::process::getppid() != Some(*keeper) {
            return Err(io::ErrorKind::NotFound.into());
        }
        // Without it there are the process group, and the keeper's children.
        let _ = door.as_ref().map(|mut door| door.write(b"0"));
        if *terminal {
            // From a group in the background, so while SIGTTOU is still blocked.
            let _ = nix::unistd::tcsetpgrp(io::stdin(), nix::unistd::getpgrp());
            // Nobody could continue it. To be ignored from the start is the only way for all of its group: one that stops
            // between vfork and exec keeps its parent from stopping, and the keeper from seeing it.
            // SAFETY: to ignore a signal runs no code of ours.
            unsafe { signal(Signal::SIGTSTP, SigHandler::SigIgn) }?;
        }
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
        Ok(())
    };
    // SAFETY: the process had one thread at the fork, so there is no lock that another holds, and whatever the parent could
    // do this child can too.
    unsafe { command.pre_exec(begin) };
}
