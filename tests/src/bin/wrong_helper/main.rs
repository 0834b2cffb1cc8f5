//! A deliberately wrong helper: right, unless `--bug NAME` is given.
//!
//!     wrong_helper FILE [RECHECK-SECONDS [PING-TIMEOUT-SECONDS]]
//!         [--lock-type posix|ofd|flock] [--acquire-timeout-seconds N] [--bug NAME]
//!
//! The variable WRONG_HELPER_BUG does the same where it is started without arguments.
//!
//! It keeps the contract with as little code as it takes, and shares none with the helpers it stands beside: a case of
//! the contract suite that passes under its bug proves nothing. Which bug fails which case stands in the suite's table
//! (`suites/contract/bugs.rs`); an unknown name is no bug, and then the table's trial fails.

mod options;
mod supervisor;
mod worker;

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use nix::sys::stat::fstat;
use nix::unistd::{ForkResult, close, dup2_stderr, dup2_stdout, fork, getppid};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use options::Options;

fn main() -> anyhow::Result<ExitCode> {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err((bug, message)) => return supervisor::refuse(&bug, &message),
    };
    if !options.has("keeps-descriptors") {
        close_inherited()?;
    }
    if !options.has("keeps-stderr") && fstat(std::io::stdout())?.st_ino == fstat(std::io::stderr())?.st_ino {
        dup2_stderr(null()?)?;
    }
    if options.has("needs-stderr") && std::fs::read_link("/proc/self/fd/2")? == *"/dev/null" {
        return supervisor::refuse("", "no standard error");
    }

    let parent = getppid();
    if options.has("refuses-pid-one") && parent.as_raw() <= 1 {
        return Ok(ExitCode::FAILURE);
    }
    let parent_fd = match Pid::from_raw(parent.as_raw()) {
        Some(pid) if !pid.is_init() => Some(pidfd_open(pid, PidfdFlags::empty())?),
        _ => None,
    };
    if getppid() != parent {
        return Ok(ExitCode::FAILURE);
    }

    let signals = supervisor::block_signals(&options)?;
    let myself = pidfd_open(rustix::process::getpid(), PidfdFlags::empty())?;
    let (ours, theirs) = UnixStream::pair()?;
    // SAFETY: no thread has been started yet, so the child may do anything.
    match unsafe { fork() }? {
        ForkResult::Child => {
            drop((ours, signals));
            dup2_stdout(null()?)?;
            if !options.has("keeps-stderr") {
                dup2_stderr(null()?)?;
            }
            worker::run(&options, theirs, &myself, parent_fd.as_ref().map(AsFd::as_fd))?;
            Ok(ExitCode::SUCCESS)
        }
        ForkResult::Parent { child } => {
            drop((theirs, myself));
            supervisor::run(&options, &ours, &signals, parent_fd.as_ref().map(AsFd::as_fd), child)
        }
    }
}

fn null() -> std::io::Result<File> {
    File::options().read(true).write(true).open("/dev/null")
}

/// Closes what a careless parent let us inherit.
fn close_inherited() -> anyhow::Result<()> {
    let open: Vec<i32> = std::fs::read_dir("/proc/self/fd")?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd > 2)
        .collect();
    for fd in open {
        // The descriptor of the listing itself is closed already.
        let _ = close(fd);
    }
    Ok(())
}
