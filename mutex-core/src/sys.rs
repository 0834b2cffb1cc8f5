//! The system calls that no crate of ours wraps safely. Nothing else in the core is `unsafe`.

use nix::libc;
use nix::unistd::{ForkResult, Pid};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::clock::Timer;

/// Closes every descriptor after stderr: those of a careless parent, among them perhaps a copy of either end of
/// CTDB's pipe, which would hide its end from CTDB or from us.
pub(crate) fn close_inherited_descriptors() {
    // SAFETY: called first thing in main(): no descriptor but the standard three belongs to anything of ours yet.
    // A kernel without the call (before 5.9) leaves them open, which only matters with such a parent.
    unsafe {
        libc::close_range(3, libc::c_uint::MAX, 0);
    }
}

/// One heap for all threads of a process: each of ours allocates a few bytes once, and is not worth one of its own.
pub(crate) fn share_one_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets a number within malloc; called while there is one thread.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Forks. The child gets `None`.
pub(crate) fn fork() -> nix::Result<Option<Pid>> {
    // SAFETY: the process has one thread (main() forks before anything could start another), so the child has no
    // lock held by a thread that it lacks, and may do whatever the parent could.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Some(child)),
        ForkResult::Child => Ok(None),
    }
}

/// Ends the process and all its threads at once: no destructor and no exit handler, since one that talks to a hung
/// store would never return.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit() takes no memory of ours and does not return.
    unsafe { libc::_exit(code) }
}

/// Lets tokio wait for a timer.
pub(crate) fn async_timer(timer: Timer) -> std::io::Result<AsyncFd<Timer>> {
    // SAFETY: a `Timer` owns its descriptor, answers with that one for as long as it lives, and never closes it
    // before it is dropped with the `AsyncFd`.
    Ok(unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) }?)
}
