//! The gate that every request passes: shut, the request has been read and is not answered.
//!
//! Rejected: stopping the whole server. Then requests wait in the kernel's queue, from where SIGKILL still gets a
//! process out; a process whose request was read waits uninterruptibly, which is what a hung network store does.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What is held back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// Nothing: every request is answered.
    Nothing,
    /// Writes alone.
    Writes,
    /// Lock calls alone.
    Locks,
    /// Reads of content alone.
    Reads,
    /// Questions for a file's attributes alone.
    Attributes,
    /// Every request.
    Everything,
}

/// What a request wants, as far as the gate cares.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wants {
    /// To change content.
    Write,
    /// A lock.
    Lock,
    /// Content.
    Read,
    /// A file's attributes, other than with a look-up.
    Attributes,
    /// Anything else.
    Other,
}

impl Held {
    fn holds(self, wants: Wants) -> bool {
        match self {
            Self::Nothing => false,
            Self::Writes => wants == Wants::Write,
            Self::Locks => wants == Wants::Lock,
            Self::Reads => wants == Wants::Read,
            Self::Attributes => wants == Wants::Attributes,
            Self::Everything => true,
        }
    }
}

/// A gate that all server threads share.
pub(crate) struct Gate {
    held: Mutex<Held>,
    moved: Condvar,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self { held: Mutex::new(Held::Nothing), moved: Condvar::new() }
    }

    /// Moves the gate; requests that may go on now do.
    pub(crate) fn set(&self, held: Held) {
        *lock(&self.held) = held;
        self.moved.notify_all();
    }

    /// Waits for as long as requests like this one are held back.
    pub(crate) fn pass(&self, wants: Wants) {
        let mut held = lock(&self.held);
        while held.holds(wants) {
            held = self.moved.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The data behind `mutex`, also after a server thread panicked: the file system is a test's, and the test sees that.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
