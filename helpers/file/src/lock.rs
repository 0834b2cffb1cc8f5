//! The three lock types: take, drop, ask. None of them waits for another holder.
//!
//! `posix` and `ofd` lock byte 0 of the file, as Samba's file helper does, so that all three exclude each other.
//! Asking never locks: locking again would take a lost lock back in silence. A lock of our own shows up only when
//! asked for as somebody else, so a POSIX lock is asked for as an open file description and the other way round
//! (FACTS C4); flock has no question.
//!
//! `ofd` is refused on FUSE: when a holder is killed, the kernel sends the server no unlock for that kind of owner (seen
//! on Linux 6.18, with a server that keeps the locks; FACTS C3 doubted it).

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use fs2::FileExt;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

/// How the file is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LockType {
    Posix,
    Ofd,
    Flock,
}

/// The answer to a try.
pub(crate) enum Taken {
    Ours,
    Contended,
}

/// Who has byte 0, as the file system sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Nobody,
    /// This process number; 0 or less where the file system names none (another node's, or an open file description).
    Process(i32),
}

/// What a file system shows of a lock of ours; both where it works as a local one does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sight {
    /// Asked as somebody else, it says that the byte is locked.
    locked: bool,
    /// Asked as ourselves, it says that nobody is in our way.
    ours: bool,
}

impl LockType {
    pub(crate) fn take(self, file: &File) -> io::Result<Taken> {
        let lock = byte_zero(libc::F_WRLCK);
        let outcome = match self {
            Self::Posix => fcntl(file.as_fd(), FcntlArg::F_SETLK(&lock)).map(drop).map_err(io::Error::from),
            Self::Ofd => fcntl(file.as_fd(), FcntlArg::F_OFD_SETLK(&lock)).map(drop).map_err(io::Error::from),
            Self::Flock => FileExt::try_lock_exclusive(file),
        };
        match outcome {
            Ok(()) => Ok(Taken::Ours),
            // POSIX allows either for a lock that another has.
            Err(error) if matches!(errno(&error), Errno::EAGAIN | Errno::EACCES) => Ok(Taken::Contended),
            Err(error) => Err(error),
        }
    }

    /// Drops it without closing the file: a thread that hangs in a write keeps the file open.
    pub(crate) fn drop(self, file: &File) {
        let unlock = byte_zero(libc::F_UNLCK);
        // What cannot be dropped goes with the file, which is closed right after.
        let _ = match self {
            Self::Posix => fcntl(file.as_fd(), FcntlArg::F_SETLK(&unlock)).map(drop).map_err(io::Error::from),
            Self::Ofd => fcntl(file.as_fd(), FcntlArg::F_OFD_SETLK(&unlock)).map(drop).map_err(io::Error::from),
            Self::Flock => FileExt::unlock(file),
        };
    }

    /// What the file system shows of the lock that we took on this very descriptor; flock has no such question.
    pub(crate) fn sight(self, file: &File) -> io::Result<Option<Sight>> {
        let (other, own) = match self {
            Self::Posix => (ask_as_description(file)?, ask_as_process(file)?),
            Self::Ofd => (ask_as_process(file)?, ask_as_description(file)?),
            Self::Flock => return Ok(None),
        };
        // By whether, not by whom: an open file description has no number, and numbers repeat on other nodes.
        Ok(Some(Sight { locked: other != Owner::Nobody, ours: own == Owner::Nobody }))
    }

    /// Who has the lock, asked by somebody who has not; `None`: this lock type has no such question.
    pub(crate) fn anybody(self, file: &File) -> Option<io::Result<Owner>> {
        match self {
            Self::Posix | Self::Ofd => Some(ask_as_process(file)),
            Self::Flock => None,
        }
    }
}

fn ask_as_process(file: &File) -> io::Result<Owner> {
    let mut lock = byte_zero(libc::F_WRLCK);
    fcntl(file.as_fd(), FcntlArg::F_GETLK(&mut lock))?;
    Ok(owner(&lock))
}

fn ask_as_description(file: &File) -> io::Result<Owner> {
    let mut lock = byte_zero(libc::F_WRLCK);
    fcntl(file.as_fd(), FcntlArg::F_OFD_GETLK(&mut lock))?;
    Ok(owner(&lock))
}

fn owner(lock: &libc::flock) -> Owner {
    if i32::from(lock.l_type) == libc::F_UNLCK { Owner::Nobody } else { Owner::Process(lock.l_pid) }
}

fn byte_zero(kind: i32) -> libc::flock {
    // l_pid must be 0 for an open file description's lock.
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 1,
        l_pid: 0,
    }
}

/// The error's number; 0 for one that the system did not make.
pub(crate) fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(0))
}
