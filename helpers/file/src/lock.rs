//! The three lock types: take, drop, ask. None of them waits for another holder.
//!
//! `posix` and `ofd` lock byte 0 of the file, as Samba's file helper does, so that all three exclude each other.
//! Asking never locks: locking again would take a lost lock back in silence. A lock of our own shows up only when
//! asked for as somebody else, so a POSIX lock is asked for as an open file description and the other way round
//! (FACTS C4).
//!
//! `flock` has no such question. Where it is one kind of lock with the others (GlusterFS, NFS) it shows up as an open
//! file description's, whatever byte is asked about. On CephFS and on other FUSE file systems its holder locks a byte more,
//! the witness: whoever keeps the locks (a metadata server, MooseFS's master) drops both with the session, and the witness
//! can be asked about. Nobody is kept out by it. Not on NFS: a client that holds both on its own, by a delegation, has to
//! claim both from the server later, where they are in each other's way.
//!
//! `ofd` is refused on most of FUSE: when a holder is killed, the kernel sends the server no unlock for that kind of owner
//! (seen on Linux 6.18, with a server that keeps the locks). See `known` for those that need none.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use fs2::FileExt;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

/// The byte that is the lock.
const LOCK: i64 = 0;
/// A byte that no content and no other program's lock is near.
const WITNESS: i64 = 1 << 62;

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

/// Who has a byte, as the file system sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Nobody,
    /// This process number; 0 or less where the file system names none (another node's, or an open file description).
    Process(i32),
}

/// How a lock of ours is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    /// As which kind of owner it was taken: `Posix` or `Ofd`.
    owner: LockType,
    byte: i64,
}

/// What a file system shows of a lock of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sight {
    /// Asked as somebody else, it says that the byte is locked.
    locked: bool,
    /// Asked as ourselves, it says that nobody is in our way.
    ours: bool,
}

/// As it should be.
const OURS: Sight = Sight { locked: true, ours: true };

/// How the file system shows from now on that a lock is still ours.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Evidence {
    /// It answers no question about locks: its answers to everything else have to do.
    None,
    /// It answers, and the answer does not tell: a cluster that has dropped us refuses, or is silent.
    Answer(Question),
    /// What it showed when the lock was taken.
    Sight(Question, Sight),
}

impl Evidence {
    /// Whether the lock still is what it was when it was taken. Asked of whoever keeps the locks, every time.
    pub(crate) fn is_as_it_was(self, file: &File) -> io::Result<bool> {
        match self {
            Self::None => Ok(true),
            Self::Answer(question) => question.ask(file).map(|_| true),
            Self::Sight(question, was) => question.ask(file).map(|is| was == is),
        }
    }

    /// Whether a loss that nobody reports shows.
    pub(crate) fn shows(self) -> bool {
        matches!(self, Self::Sight(..))
    }
}

impl Question {
    fn ask(self, file: &File) -> io::Result<Sight> {
        let (as_process, as_description) = (as_process(file, self.byte)?, as_description(file, self.byte)?);
        let (other, own) = match self.owner {
            LockType::Ofd => (as_process, as_description),
            LockType::Posix | LockType::Flock => (as_description, as_process),
        };
        // By whether, not by whom: an open file description has no number, and numbers repeat on other nodes.
        Ok(Sight { locked: other != Owner::Nobody, ours: own == Owner::Nobody })
    }
}

impl LockType {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Posix => "posix",
            Self::Ofd => "ofd",
            Self::Flock => "flock",
        }
    }

    pub(crate) fn take(self, file: &File) -> io::Result<Taken> {
        let outcome = match self {
            Self::Posix => set(file, LOCK, libc::F_WRLCK),
            Self::Ofd => set_as_description(file, LOCK, libc::F_WRLCK),
            Self::Flock => FileExt::try_lock_exclusive(file),
        };
        match outcome {
            Ok(()) => Ok(Taken::Ours),
            // POSIX allows either for a lock that another has.
            Err(error) if matches!(errno(&error), Errno::EAGAIN | Errno::EACCES) => Ok(Taken::Contended),
            Err(error) => Err(error),
        }
    }

    /// What shows that the lock is ours; to be asked for once, when it has just been taken on this very descriptor.
    ///
    /// `witness`: whether a flock may have one.
    pub(crate) fn evidence(self, file: &File, witness: bool) -> io::Result<Evidence> {
        let evidence = match self {
            Self::Posix | Self::Ofd => {
                let question = Question { owner: self, byte: LOCK };
                question.ask(file).map(|sight| Evidence::Sight(question, sight))
            }
            Self::Flock => flock_evidence(file, witness),
        };
        evidence.or_else(|error| if is_no_such_call(&error) { Ok(Evidence::None) } else { Err(error) })
    }

    /// Drops it without closing the file: a thread that hangs in a write keeps the file open.
    pub(crate) fn drop(self, file: &File) {
        // What cannot be dropped goes with the file, which is closed right after.
        let _ = match self {
            Self::Posix => set(file, LOCK, libc::F_UNLCK),
            Self::Ofd => set_as_description(file, LOCK, libc::F_UNLCK),
            Self::Flock => {
                // The witness first: the next holder wants it as soon as it has the lock.
                let _ = set(file, WITNESS, libc::F_UNLCK);
                FileExt::unlock(file)
            }
        };
    }

    /// Who has the lock, asked by somebody who has not. Of flock's, `Nobody` may also mean that it does not show.
    pub(crate) fn anybody(self, file: &File) -> io::Result<Owner> {
        match self {
            Self::Posix | Self::Ofd => as_process(file, LOCK),
            Self::Flock => as_process(file, WITNESS)
                .or_else(|error| if is_no_such_call(&error) { Ok(Owner::Nobody) } else { Err(error) }),
        }
    }
}

/// An error where somebody else has locked the witness: nobody who takes a flock keeps it without.
fn flock_evidence(file: &File, witness: bool) -> io::Result<Evidence> {
    let description = Question { owner: LockType::Ofd, byte: WITNESS };
    if description.ask(file)? == OURS {
        return Ok(Evidence::Sight(description, OURS));
    }
    let question = Question { owner: LockType::Posix, byte: WITNESS };
    if !witness {
        return Ok(Evidence::Answer(question));
    }
    set(file, WITNESS, libc::F_WRLCK)?;
    let shows = question.ask(file)? == OURS && is_kept_elsewhere(file)?;
    Ok(if shows { Evidence::Sight(question, OURS) } else { Evidence::Answer(question) })
}

/// Whether somebody else than this kernel keeps the witness: the kernel would name our own process as its owner, a server of
/// FUSE names none (measured on CephFS, GlusterFS and MooseFS).
fn is_kept_elsewhere(file: &File) -> io::Result<bool> {
    Ok(!matches!(as_description(file, WITNESS)?, Owner::Process(1..)))
}

fn is_no_such_call(error: &io::Error) -> bool {
    matches!(errno(error), Errno::ENOSYS | Errno::EINVAL | Errno::EOPNOTSUPP)
}

fn set(file: &File, byte: i64, kind: i32) -> io::Result<()> {
    Ok(fcntl(file.as_fd(), FcntlArg::F_SETLK(&one_byte(byte, kind))).map(drop)?)
}

fn set_as_description(file: &File, byte: i64, kind: i32) -> io::Result<()> {
    Ok(fcntl(file.as_fd(), FcntlArg::F_OFD_SETLK(&one_byte(byte, kind))).map(drop)?)
}

fn as_process(file: &File, byte: i64) -> io::Result<Owner> {
    let mut lock = one_byte(byte, libc::F_WRLCK);
    fcntl(file.as_fd(), FcntlArg::F_GETLK(&mut lock))?;
    Ok(owner(&lock))
}

fn as_description(file: &File, byte: i64) -> io::Result<Owner> {
    let mut lock = one_byte(byte, libc::F_WRLCK);
    fcntl(file.as_fd(), FcntlArg::F_OFD_GETLK(&mut lock))?;
    Ok(owner(&lock))
}

fn owner(lock: &libc::flock) -> Owner {
    if i32::from(lock.l_type) == libc::F_UNLCK { Owner::Nobody } else { Owner::Process(lock.l_pid) }
}

fn one_byte(byte: i64, kind: i32) -> libc::flock {
    // l_pid must be 0 for an open file description's lock.
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: byte,
        l_len: 1,
        l_pid: 0,
    }
}

/// The error's number; 0 for one that the system did not make.
pub(crate) fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(0))
}
