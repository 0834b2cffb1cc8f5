//! The lock tables of a server that keeps its clients' locks, as cluster file systems do.
//!
//! fuser does not pass on which of the two families (fcntl, flock) a request is of. The range tells: Linux sends flock
//! as the whole file, 0 to the largest offset, and nothing here locks a whole file with fcntl.

use fuser::{Errno, LockOwner};
use nix::libc::{F_RDLCK, F_UNLCK};

/// The end Linux gives a lock without end, so also every flock.
const END_OF_FILE: u64 = i64::MAX as u64;

/// Whose a lock is: the kernel's number for an owner says nothing beyond its own mount.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Owner {
    /// The session of that mount.
    pub(crate) session: u64,
    /// Who has it there.
    pub(crate) owner: LockOwner,
}

/// A range of a file that somebody has locked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Lock {
    pub(crate) inode: u64,
    pub(crate) owner: Owner,
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

    /// Drops every lock of a session, as a server does that has evicted its client.
    pub(crate) fn forget(&mut self, session: u64) {
        self.0.retain(|held| held.owner.session != session);
    }

    /// Drops what `owner` holds on `inode`: a close does that.
    pub(crate) fn drop_all_of(&mut self, inode: u64, owner: Owner) {
        self.0.retain(|held| held.inode != inode || held.owner != owner);
    }
}

#[cfg(test)]
mod tests {
    use nix::libc::F_WRLCK;

    use super::*;

    fn lock(session: u64, owner: u64, (start, end): (u64, u64), kind: i32) -> Lock {
        Lock { inode: 2, owner: Owner { session, owner: LockOwner(owner) }, start, end, kind, pid: 0 }
    }

    #[test]
    fn two_mounts_exclude_each_other_also_where_the_kernels_number_for_an_owner_is_the_same() {
        let mut locks = Locks::default();
        locks.set(lock(1, 7, (0, 0), F_WRLCK)).unwrap();
        assert!(locks.set(lock(2, 7, (0, 0), F_WRLCK)).is_err());
        locks.set(lock(1, 7, (0, 0), F_WRLCK)).unwrap();
        locks.set(lock(2, 7, (1, 1), F_WRLCK)).unwrap();
        locks.set(lock(1, 7, (0, 0), F_UNLCK)).unwrap();
        locks.set(lock(2, 7, (0, 0), F_WRLCK)).unwrap();
    }

    #[test]
    fn readers_share_and_a_writer_does_not() {
        let mut locks = Locks::default();
        locks.set(lock(1, 7, (0, 0), F_RDLCK)).unwrap();
        locks.set(lock(2, 8, (0, 0), F_RDLCK)).unwrap();
        assert!(locks.set(lock(3, 9, (0, 0), F_WRLCK)).is_err());
    }

    #[test]
    fn flock_and_fcntl_do_not_meet() {
        let mut locks = Locks::default();
        locks.set(lock(1, 7, (0, END_OF_FILE), F_WRLCK)).unwrap();
        locks.set(lock(2, 8, (0, 0), F_WRLCK)).unwrap();
        assert!(locks.set(lock(2, 8, (0, END_OF_FILE), F_WRLCK)).is_err());
    }

    #[test]
    fn a_close_drops_what_its_owner_has_on_that_file_and_a_session_takes_all_of_its_own_along() {
        let mut locks = Locks::default();
        let (mine, other) = (lock(1, 7, (0, 0), F_WRLCK), lock(2, 7, (5, 5), F_WRLCK));
        locks.set(mine).unwrap();
        locks.set(other).unwrap();
        locks.drop_all_of(2, mine.owner);
        assert_eq!(locks.0, [other]);
        locks.set(mine).unwrap();
        locks.forget(2);
        assert_eq!(locks.0, [mine]);
    }
}
