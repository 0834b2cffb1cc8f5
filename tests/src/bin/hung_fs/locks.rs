//! The lock tables of a server that keeps its clients' locks, as cluster file systems do.
//!
//! fuser does not pass on which of the two families (fcntl, flock) a request is of. The range tells: Linux sends flock
//! as the whole file, 0 to the largest offset, and nothing here locks a whole file with fcntl.

use fuser::{Errno, LockOwner};
use nix::libc::{F_RDLCK, F_UNLCK};

/// The end Linux gives a lock without end, so also every flock.
const END_OF_FILE: u64 = i64::MAX as u64;

/// A range of a file that somebody has locked.
#[derive(Clone, Copy)]
pub(crate) struct Lock {
    pub(crate) inode: u64,
    pub(crate) owner: LockOwner,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) kind: i32,
    pub(crate) pid: u32,
}

impl Lock {
    fn is_flock(&self) -> bool {
        self.start == 0 && self.end == END_OF_FILE
    }

    fn touches(&self, other: &Self) -> bool {
        self.inode == other.inode
            && self.is_flock() == other.is_flock()
            && self.start <= other.end
            && other.start <= self.end
    }
}

/// Every lock that is held.
#[derive(Default)]
pub(crate) struct Locks(Vec<Lock>);

impl Locks {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Somebody else's lock that `wanted` would have to wait for.
    pub(crate) fn in_the_way_of(&self, wanted: &Lock) -> Option<Lock> {
        self.0
            .iter()
            .find(|held| {
                held.owner != wanted.owner && held.touches(wanted) && !(held.kind == F_RDLCK && wanted.kind == F_RDLCK)
            })
            .copied()
    }

    /// Takes, changes or gives up a lock. Ranges are not split: no helper unlocks a part of what it locked.
    pub(crate) fn set(&mut self, wanted: Lock) -> Result<(), Errno> {
        if wanted.kind != F_UNLCK && self.in_the_way_of(&wanted).is_some() {
            return Err(Errno::EAGAIN);
        }
        self.0.retain(|held| held.owner != wanted.owner || !held.touches(&wanted));
        if wanted.kind != F_UNLCK {
            self.0.push(wanted);
        }
        Ok(())
    }

    /// Drops every lock, as a server does that has evicted its client.
    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }

    /// Drops what `owner` holds on `inode`: a close does that.
    pub(crate) fn drop_all_of(&mut self, inode: u64, owner: LockOwner) {
        self.0.retain(|held| held.inode != inode || held.owner != owner);
    }
}
