//! The gate of a mount, which each of its requests passes: shut, the request has been read and is not answered.
//!
//! What holds requests back is counted, so that faults can overlap: what two of them hold goes on after the second.
//!
//! Rejected: stopping the whole server. Then requests wait in the kernel's queue, from where SIGKILL still gets a
//! process out; a process whose request was read waits uninterruptibly, which is what a hung network store does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use fuser::Errno;

/// What is held back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Held {
    /// Every request: the server itself hangs, and hears and counts nothing.
    Everything,
    /// Every request of a mount whose link to the server is cut: its session grows old meanwhile.
    Link,
    /// Every answer: what was asked for is done, and nobody is told.
    Answers,
    /// Writes alone.
    Writes,
    /// Lock calls alone.
    Locks,
    /// Reads of content alone.
    Reads,
    /// Questions for a file's attributes alone.
    Attributes,
}

impl Held {
    /// All of them, by their words in a command.
    pub(crate) const ALL: [(&str, Self); 7] = [
        ("everything", Self::Everything),
        ("link", Self::Link),
        ("answers", Self::Answers),
        ("writes", Self::Writes),
        ("locks", Self::Locks),
        ("reads", Self::Reads),
        ("attributes", Self::Attributes),
    ];

    fn holds(self, wants: Wants) -> bool {
        match self {
            Self::Everything | Self::Link => true,
            Self::Answers => false,
            Self::Writes => wants == Wants::Write,
            Self::Locks => wants == Wants::Lock,
            Self::Reads => wants == Wants::Read,
            Self::Attributes => wants == Wants::Attributes,
        }
    }
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
    /// To close a file. It never fails: nobody would unlock it later.
    Close,
    /// Anything else.
    Other,
}

#[derive(Default)]
struct State {
    holds: Vec<Held>,
    failures: u32,
}

impl State {
    fn has(&self, held: Held) -> bool {
        self.holds.contains(&held)
    }
}

/// A gate that all server threads of a mount share.
#[derive(Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    moved: Condvar,
}

impl Gate {
    /// Holds it back once more.
    pub(crate) fn hold(&self, held: Held) {
        lock(&self.state).holds.push(held);
    }

    /// Holds it back once less; requests that may go on now do.
    pub(crate) fn free(&self, held: Held) {
        let mut state = lock(&self.state);
        if let Some(place) = state.holds.iter().position(|&one| one == held) {
            state.holds.swap_remove(place);
        }
        self.moved.notify_all();
    }

    /// Holds nothing back any more.
    pub(crate) fn open(&self) {
        *lock(&self.state) = State::default();
        self.moved.notify_all();
    }

    /// Every request fails, once more or once less.
    pub(crate) fn fail(&self, fails: bool) {
        let failures = &mut lock(&self.state).failures;
        *failures = if fails { *failures + 1 } else { failures.saturating_sub(1) };
    }

    /// The connection that has this flag is gone: whoever waits here for it goes on.
    pub(crate) fn end(&self, gone: &AtomicBool) {
        let _state = lock(&self.state);
        gone.store(true, Ordering::SeqCst);
        self.moved.notify_all();
    }

    /// Waits for as long as requests like this one are held back.
    pub(crate) fn pass(&self, wants: Wants, gone: &AtomicBool) -> Result<(), Errno> {
        let mut state = lock(&self.state);
        while state.holds.iter().any(|held| held.holds(wants)) && !gone.load(Ordering::SeqCst) {
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.failures > 0 && wants != Wants::Close { Err(Errno::EIO) } else { Ok(()) }
    }

    /// Waits for as long as answers are held back.
    pub(crate) fn pass_back(&self, gone: &AtomicBool) {
        let mut state = lock(&self.state);
        let holds = |state: &State| [Held::Everything, Held::Link, Held::Answers].iter().any(|&held| state.has(held));
        while holds(&state) && !gone.load(Ordering::SeqCst) {
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether nothing is held back.
    pub(crate) fn is_open(&self) -> bool {
        lock(&self.state).holds.is_empty()
    }

    /// Whether the server itself hangs.
    pub(crate) fn hangs(&self) -> bool {
        lock(&self.state).has(Held::Everything)
    }

    /// Whether the mount's link is cut.
    pub(crate) fn is_cut(&self) -> bool {
        lock(&self.state).has(Held::Link)
    }
}

/// The data behind `mutex`, also after a server thread panicked: the file system is a test's, and the test sees that.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::{RecvTimeoutError, channel};
    use std::time::Duration;

    use super::*;

    /// Long enough for a thread that does not wait, on a busy machine.
    const LIMIT: Duration = Duration::from_secs(10);

    #[test]
    fn what_two_faults_hold_back_goes_on_after_the_second() {
        let (gate, gone) = (Arc::new(Gate::default()), AtomicBool::new(false));
        gate.hold(Held::Link);
        gate.hold(Held::Link);
        gate.free(Held::Link);
        assert!(gate.is_cut());
        let (sender, receiver) = channel();
        let waiter = Arc::clone(&gate);
        std::thread::spawn(move || sender.send(waiter.pass(Wants::Read, &gone).is_ok()));
        assert_eq!(receiver.recv_timeout(Duration::from_millis(50)), Err(RecvTimeoutError::Timeout));
        gate.free(Held::Link);
        assert_eq!(receiver.recv_timeout(LIMIT), Ok(true));
        assert!(!gate.is_cut());
    }

    #[test]
    fn what_waits_for_a_connection_that_ends_goes_on() {
        let (gate, gone) = (Arc::new(Gate::default()), Arc::new(AtomicBool::new(false)));
        gate.hold(Held::Answers);
        let (sender, receiver) = channel();
        let (waiter, flag) = (Arc::clone(&gate), Arc::clone(&gone));
        std::thread::spawn(move || {
            waiter.pass_back(&flag);
            sender.send(())
        });
        gate.end(&gone);
        assert_eq!(receiver.recv_timeout(LIMIT), Ok(()));
    }

    #[test]
    fn each_kind_of_request_is_held_alone() {
        let gate = Gate::default();
        let gone = AtomicBool::new(false);
        gate.hold(Held::Locks);
        gate.hold(Held::Answers);
        for wants in [Wants::Write, Wants::Read, Wants::Attributes, Wants::Close, Wants::Other] {
            gate.pass(wants, &gone).unwrap();
        }
        assert!(
            Held::Locks.holds(Wants::Lock) && Held::Everything.holds(Wants::Close) && Held::Link.holds(Wants::Lock)
        );
    }

    #[test]
    fn a_failing_mount_still_closes_files() {
        let gate = Gate::default();
        let gone = AtomicBool::new(false);
        gate.fail(true);
        assert_eq!(gate.pass(Wants::Read, &gone).map_err(i32::from), Err(nix::libc::EIO));
        gate.pass(Wants::Close, &gone).unwrap();
        gate.fail(false);
        gate.pass(Wants::Read, &gone).unwrap();
    }
}
