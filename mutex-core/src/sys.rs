//! The system calls that no crate of ours wraps safely. Beside `main!`, nothing else in the core is `unsafe`.

use std::ffi::{CStr, OsStr, OsString, c_char, c_int};
use std::os::unix::ffi::OsStrExt;

use nix::libc;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{ForkResult, Pid};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::clock::Timer;

#[cfg(target_pointer_width = "64")]
type Segment = libc::Elf64_Phdr;
#[cfg(target_pointer_width = "32")]
type Segment = libc::Elf32_Phdr;

/// The arguments of C's `main`.
pub(crate) fn arguments(count: c_int, words: *const *const c_char) -> Vec<OsString> {
    (0..usize::try_from(count).unwrap_or(0))
        // SAFETY: the C library calls main() with `count` pointers to strings that last as long as the process.
        .map(|index| OsStr::from_bytes(unsafe { CStr::from_ptr(*words.add(index)) }.to_bytes()).to_owned())
        .collect()
}

/// Opens /dev/null for each of the standard descriptors that is closed: the first file of ours would get its number,
/// and with it what is written to it.
pub(crate) fn open_standard_descriptors() {
    for number in 0..3 {
        // SAFETY: asks for a descriptor's flags, and opens a file under the lowest free number, which is this one;
        // it belongs to nobody else, and is closed by nobody.
        unsafe {
            if libc::fcntl(number, libc::F_GETFD) == -1 {
                libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
            }
        }
    }
}

/// Lets a write without a reader, and one past the limit of file sizes, fail instead of ending the process.
pub(crate) fn ignore_signals_of_writing() {
    for number in [Signal::SIGPIPE, Signal::SIGXFSZ] {
        // SAFETY: to ignore a signal runs no code of ours.
        let _ = unsafe { signal(number, SigHandler::SigIgn) };
    }
}

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

/// Gives back the stack below us: constructors of libraries may have used a megabyte of it (librados), which else counts
/// for as long as either process lives.
pub(crate) fn give_back_stack() {
    /// What the kernel keeps free below a stack (stack_guard_gap): nothing else is mapped that near.
    const GAP: usize = 1024 * 1024;
    /// What the frames of this call may take, with room to spare; whole pages of every size.
    const KEPT: usize = 64 * 1024;
    let here = 0_u8;
    let end = ((&raw const here).addr() & !(KEPT - 1)) - KEPT;
    let length = GAP - 2 * KEPT;
    // SAFETY: this thread's stack grows down, and nothing below its frames is in use. The range ends before the gap
    // does, wherever in it the stack ends; where nothing is mapped, nothing is done.
    unsafe { libc::madvise((end - length) as *mut libc::c_void, length, libc::MADV_DONTNEED) };
}

/// Gives back the memory that code and constants of these libraries take in this process: a store's client library may be
/// megabytes of them, was loaded with the program, and is used in the other process alone. What is needed all the same
/// comes back from the file.
///
/// Not of others, which somebody may have preloaded, or changed in memory.
pub(crate) fn give_back_libraries(mut names: &[&str]) {
    /// Called for each loaded object, with the names.
    unsafe extern "C" fn give_back(object: *mut libc::dl_phdr_info, _: usize, names: *mut libc::c_void) -> c_int {
        // SAFETY: the C library passes an object that stays loaded, with a name (or null) and so many segments; and what
        // it was given below.
        let (object, name, segments, names) = unsafe {
            let object = &*object;
            let name = if object.dlpi_name.is_null() { c"" } else { CStr::from_ptr(object.dlpi_name) };
            let segments = std::slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into());
            (object, name.to_bytes(), segments, *names.cast::<&[&str]>())
        };
        let name = name.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        if !names.iter().any(|beginning| name.starts_with(beginning.as_bytes())) {
            return 0;
        }
        let constant = |segment: &&Segment| segment.p_type == libc::PT_LOAD && segment.p_flags & libc::PF_W == 0;
        for segment in segments.iter().filter(constant) {
            let (Ok(start), Ok(length)) = (usize::try_from(segment.p_vaddr), usize::try_from(segment.p_memsz)) else {
                continue;
            };
            let start = usize::try_from(object.dlpi_addr).unwrap_or(0).wrapping_add(start);
            // SAFETY: these libraries are position-independent: what is never written is as in the file, from which the
            // kernel reads it again. An address within a page is refused.
            unsafe { libc::madvise(start as *mut libc::c_void, length, libc::MADV_DONTNEED) };
        }
        0
    }
    // SAFETY: the function above does not call back into the loader, and gets what it expects.
    unsafe { libc::dl_iterate_phdr(Some(give_back), (&raw mut names).cast()) };
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

/// Starts a child that writes `bytes` to standard error, and ends. It has nothing else open, so that no other end of ours
/// waits for it.
pub(crate) fn write_to_stderr_from_child(bytes: &[u8]) -> nix::Result<Pid> {
    // SAFETY: there may be other threads, so the child makes system calls and nothing else: it takes no lock and
    // allocates nothing. `bytes` is in its copy of our memory.
    unsafe {
        match nix::unistd::fork()? {
            ForkResult::Parent { child } => Ok(child),
            ForkResult::Child => {
                libc::close(0);
                libc::close(1);
                libc::close_range(3, libc::c_uint::MAX, 0);
                libc::write(2, bytes.as_ptr().cast(), bytes.len());
                libc::_exit(0)
            }
        }
    }
}

/// Ends the process and all its threads at once: no destructor and no exit handler, since one that talks to a hung
/// store would never return.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit() takes no memory of ours and does not return.
    unsafe { libc::_exit(code) }
}

/// Has the kernel kill this process when its parent, which is to be `parent`, ends. An error where it has already.
///
/// The kernel counts the end of the thread that forked us, and the supervisor has only one.
pub(crate) fn die_with_parent(parent: u32) -> nix::Result<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    // Before the call there was nobody to tell.
    if nix::unistd::getppid().as_raw().unsigned_abs() == parent { Ok(()) } else { Err(nix::errno::Errno::ESRCH) }
}

/// Takes that back.
pub(crate) fn outlive_parent() {
    // Fails for no signal that exists, and 0 is none.
    let _ = nix::sys::prctl::set_pdeathsig(None);
}

/// Lets tokio wait for a timer.
pub(crate) fn async_timer(timer: Timer) -> std::io::Result<AsyncFd<Timer>> {
    // SAFETY: a `Timer` owns its descriptor, answers with that one for as long as it lives, and never closes it
    // before it is dropped with the `AsyncFd`.
    Ok(unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) }?)
}
