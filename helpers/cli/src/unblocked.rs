//! A child with the signals of an ordinary process: none blocked, none ignored.
//!
//! A command here blocks the signals that it reads from a descriptor, and a shell may have started it with some ignored
//! (`nohup`, `&` in a script). Both would pass to a child: a helper with SIGTERM blocked never releases. ctdbd starts its
//! helpers with neither (FACTS E6).

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};

/// Lets the child of `command` begin with no signal blocked, and none ignored.
pub(crate) fn unblocked(command: &mut Command) -> &mut Command {
    // SAFETY: between fork and exec only async-signal-safe functions may run: signal(2) and sigprocmask(2) are, and
    // nothing here allocates. No handler of Rust's is installed, so the default is a true disposition.
    unsafe { command.pre_exec(reset) }
}

fn reset() -> io::Result<()> {
    let fixed = [Signal::SIGKILL, Signal::SIGSTOP];
    for ignored in Signal::iterator().filter(|signal| !fixed.contains(signal)) {
        // SAFETY: the default disposition runs no code of ours.
        unsafe { signal(ignored, SigHandler::SigDfl) }?;
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    Ok(())
}
