//! What all mounts share: one tree, one table of locks, and who is connected, behind one mutex. So a request finds its
//! session alive and does its work before anybody can end that session.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fuser::Errno;

use crate::gate::{Gate, lock};
use crate::locks::Locks;
use crate::sessions::Sessions;
use crate::tree::{ROOT, Tree};

/// How often sessions are looked at. Their times are seconds.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// A look that comes later than this came while the server was stopped.
const WAS_STOPPED: Duration = Duration::from_millis(200);

/// Who keeps the locks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum LockMode {
    Local,
    Remote,
    None,
}

/// What the server keeps.
pub(crate) struct Kept {
    pub(crate) tree: Tree,
    pub(crate) locks: Locks,
    sessions: Sessions,
}

/// The server, as its mounts see it.
pub(crate) struct Store {
    pub(crate) mode: LockMode,
    /// One a mount. It outlasts the mount's connections: a link that is cut stays cut.
    pub(crate) gates: Vec<Gate>,
    kept: Mutex<Kept>,
    cached: AtomicBool,
}

impl Store {
    pub(crate) fn new(mode: LockMode, mounts: usize, session_time: Option<Duration>) -> Self {
        let kept = Kept { tree: Tree::new(), locks: Locks::default(), sessions: Sessions::new(mounts, session_time) };
        Self {
            mode,
            gates: (0..mounts).map(|_| Gate::default()).collect(),
            kept: Mutex::new(kept),
            cached: AtomicBool::new(false),
        }
    }

    /// Does what a request of a mount wants, as a part of its session.
    ///
    /// `opened_in`: the session in which the file was opened that the request is about. Is that no more, the request
    /// fails. `gone`: whether the connection is, whose requests are void then.
    pub(crate) fn serve<T>(
        &self,
        mount: usize,
        gone: &AtomicBool,
        opened_in: Option<u64>,
        work: impl FnOnce(&mut Kept, u64) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let mut kept = lock(&self.kept);
        if gone.load(Ordering::SeqCst) {
            return Err(Errno::ENOTCONN);
        }
        let session = kept.sessions.heard(mount, Instant::now());
        if opened_in.is_some_and(|number| number != session) {
            return Err(Errno::EIO);
        }
        work(&mut kept, session)
    }

    /// Ends a mount's session, as an admin does: its locks are free, and what is open there fails from then on.
    pub(crate) fn evict(&self, mount: usize) {
        let mut kept = lock(&self.kept);
        if let Some(session) = kept.sessions.end(mount) {
            kept.locks.forget(session);
        }
    }

    /// Drops a mount's locks and tells nobody.
    pub(crate) fn forget_locks(&self, mount: usize) {
        let mut kept = lock(&self.kept);
        if let Some(session) = kept.sessions.of(mount) {
            kept.locks.forget(session);
        }
    }

    /// Takes a name away, if it is there.
    pub(crate) fn remove(&self, path: &Path) {
        let tree = &mut lock(&self.kept).tree;
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return };
        let directory = parent.iter().try_fold(ROOT, |inode, name| tree.find(inode, name));
        let _ = directory.and_then(|directory| tree.remove(directory, name));
    }

    /// The mount's client is gone without a word.
    pub(crate) fn leave_behind(&self, mount: usize) {
        lock(&self.kept).sessions.leave_behind(mount);
    }

    /// For how long the kernel may answer for the server: not at all, unless told to. A look that must be fresh has to
    /// reach the server either way.
    pub(crate) fn time_to_live(&self) -> Duration {
        if self.cached.load(Ordering::Relaxed) { Duration::from_secs(3600) } else { Duration::ZERO }
    }

    /// From now on it may.
    pub(crate) fn let_the_kernel_answer(&self) {
        self.cached.store(true, Ordering::Relaxed);
    }

    /// Looks at the sessions after so much time.
    fn look_at_sessions(&self, passed: Duration) {
        let kept = &mut *lock(&self.kept);
        for (mount, gate) in self.gates.iter().enumerate() {
            // A server that did not work heard nothing, and knows that.
            if gate.hangs() || passed > WAS_STOPPED {
                kept.sessions.overlook(mount, passed);
            }
            if !gate.is_cut() && !gate.hangs() {
                kept.sessions.sign_of_life(mount, Instant::now());
            }
        }
        if passed > WAS_STOPPED || self.gates.iter().all(Gate::hangs) {
            kept.sessions.overlook_left_behind(passed);
        }
        for session in kept.sessions.end_silent(Instant::now()) {
            kept.locks.forget(session);
        }
    }
}

/// Ends sessions when their time has come, for as long as the process lives.
pub(crate) fn watch_sessions(store: &Arc<Store>) -> std::io::Result<()> {
    let store = Arc::clone(store);
    let watch = move || {
        let mut last = Instant::now();
        loop {
            std::thread::sleep(LOOK_EVERY);
            let now = Instant::now();
            store.look_at_sessions(now - last);
            last = now;
        }
    };
    std::thread::Builder::new().name("sessions".into()).spawn(watch).map(drop)
}
