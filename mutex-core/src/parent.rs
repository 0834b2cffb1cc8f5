//! The process that started us: CTDB, or somebody's shell.

use std::io;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, getpid, getppid, pidfd_open};

/// What there is to watch of the parent.
pub(crate) enum Parent {
    /// Its end makes this descriptor readable.
    Watched(OwnedFd),
    /// PID 1, or outside our PID namespace (0). The pipe's other end is the only sign then: PID 1 may be ctdbd in a
    /// container, and may be the init that inherited us, and nothing tells the two apart.
    Unwatched,
    /// It ended while we looked.
    Gone,
}

impl Parent {
    /// Looks once, without a race: between the two looks the number cannot have passed to another process, since
    /// our parent's number is its own while it is our parent.
    ///
    /// # Errors
    /// What `pidfd_open` says; a kernel before 5.3 does not have it.
    pub(crate) fn find() -> io::Result<Self> {
        let Some(parent) = getppid().filter(|&pid| pid != Pid::INIT) else { return Ok(Self::Unwatched) };
        let opened = pidfd_open(parent, PidfdFlags::empty());
        if getppid() != Some(parent) {
            return Ok(Self::Gone);
        }
        Ok(Self::Watched(opened?))
    }
}

/// A descriptor of this process, for the worker to kill it by.
pub(crate) fn own_pidfd() -> io::Result<OwnedFd> {
    Ok(pidfd_open(getpid(), PidfdFlags::empty())?)
}
