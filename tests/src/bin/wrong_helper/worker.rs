//! The process that touches the file.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, Flock, FlockArg, fcntl};
use nix::libc::{F_WRLCK, SEEK_SET, flock};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::SigSet;
use rustix::process::{Signal, pidfd_send_signal};

use crate::options::Options;

/// Time between the two looks that make a contention.
const SECOND_LOOK: Duration = Duration::from_millis(50);
/// Time a supervisor has to go after a loss, or after its parent's end.
const SUPERVISOR_LIMIT: Duration = Duration::from_millis(600);
/// How much later than its deadline a supervisor may close its end.
const SUPERVISOR_LATE: Duration = Duration::from_millis(100);

pub(crate) fn run(
    options: &Options,
    mut supervisor: UnixStream,
    supervisor_fd: &OwnedFd,
    parent: Option<BorrowedFd<'_>>,
) -> anyhow::Result<()> {
    if options.has("worker-obeys-signals") {
        SigSet::all().thread_unblock()?;
    }
    let Ok(file) = File::options().read(true).write(true).create(true).truncate(false).open(&options.file) else {
        supervisor.write_all(b"e")?;
        return Ok(());
    };
    let inode = file.metadata()?.ino();
    let _held = match lock(options, file) {
        Ok(held) => held,
        Err(Errno::EAGAIN | Errno::EACCES) => return Ok(supervisor.write_all(b"c")?),
        Err(_) => return Ok(supervisor.write_all(b"e")?),
    };
    if supervisor.write_all(b"h").is_err() && !options.has("leaves-the-worker") {
        return Ok(());
    }
    let kill = || match options.has("worker-never-kills") {
        true => Ok(()),
        false => pidfd_send_signal(supervisor_fd, Signal::KILL),
    };

    let proofs = !options.recheck.is_zero();
    // Until the supervisor says that it wrote the byte, it has the time of one proof for that.
    let mut unwritten = !options.has("no-acknowledgement");
    let mut deadline = Instant::now() + options.recheck + options.ping_timeout;
    let guarded = Arc::new(Mutex::new(deadline));
    if proofs && !options.has("worker-never-kills") && !options.has("no-deadline") {
        let (guarded, supervisor) = (Arc::clone(&guarded), supervisor.try_clone()?);
        let supervisor_fd = supervisor_fd.try_clone()?;
        std::thread::spawn(move || guard(&guarded, &supervisor, &supervisor_fd));
    }
    let mut next_proof = Instant::now() + options.recheck;
    let mut watched_parent = parent;
    loop {
        let wake = match (unwritten, proofs) {
            (true, _) => Some(deadline),
            (false, true) => Some(next_proof),
            (false, false) => None,
        };
        let timeout = match wake {
            Some(at) => PollTimeout::try_from(at.saturating_duration_since(Instant::now()) + Duration::from_millis(1))?,
            None => PollTimeout::NONE,
        };
        let mut fds = vec![PollFd::new(supervisor.as_fd(), PollFlags::POLLIN)];
        fds.extend(watched_parent.map(|parent| PollFd::new(parent, PollFlags::POLLIN)));
        poll(&mut fds, timeout)?;
        let ready = |place: usize| fds.get(place).and_then(PollFd::revents).is_some_and(|events| !events.is_empty());

        if ready(0) {
            let mut word = [0];
            // A supervisor that was killed can leave a reset instead of an end.
            match supervisor.read(&mut word).unwrap_or(0) {
                0 if options.has("worker-outlives") || options.has("leaves-the-worker") => loop {
                    std::thread::park();
                },
                0 => return Ok(()),
                _ => unwritten = false,
            }
        } else if ready(1) {
            watched_parent = None;
            if !ends_within(&supervisor, SUPERVISOR_LIMIT)? {
                return Ok(kill()?);
            }
        } else if unwritten && deadline <= Instant::now() {
            return Ok(kill()?);
        } else if proofs && next_proof <= Instant::now() {
            next_proof = Instant::now() + options.recheck;
            let same = fs::metadata(&options.file).is_ok_and(|about| about.ino() == inode);
            if same || options.has("never-looks") {
                supervisor.write_all(b"p")?;
            } else {
                supervisor.write_all(b"l")?;
                if !ends_within(&supervisor, SUPERVISOR_LIMIT)? {
                    kill()?;
                    // Not let go before it is known to be over.
                    ends_within(&supervisor, SUPERVISOR_LIMIT)?;
                }
                return Ok(());
            }
            deadline = Instant::now() + options.recheck + options.ping_timeout;
            *guarded.lock().unwrap_or_else(PoisonError::into_inner) = deadline;
        }
    }
}

/// The other thread may hang in the file system. A supervisor that is stopped meanwhile has to be killed all the same.
fn guard(deadline: &Mutex<Instant>, supervisor: &UnixStream, supervisor_fd: &OwnedFd) {
    loop {
        let at = *deadline.lock().unwrap_or_else(PoisonError::into_inner) + SUPERVISOR_LATE;
        let left = at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let mut fds = [PollFd::new(supervisor.as_fd(), PollFlags::empty())];
            // One that has closed its end is about to go by itself.
            if !poll(&mut fds, PollTimeout::ZERO).is_ok_and(|hung_up| hung_up > 0) {
                let _ = pidfd_send_signal(supervisor_fd, Signal::KILL);
            }
            return;
        }
        std::thread::sleep(left);
    }
}

/// A lock that lasts as long as this value.
enum Held {
    #[expect(dead_code, reason = "held, not used")]
    Range(File),
    #[expect(dead_code, reason = "held, not used")]
    Whole(Flock<File>),
}

/// Looks twice for a free lock.
fn lock(options: &Options, file: File) -> Result<Held, Errno> {
    let mut file = file;
    for last in [false, true] {
        match lock_once(options, file) {
            Err((back, Errno::EAGAIN | Errno::EACCES)) if !last && !options.has("looks-once") => file = back,
            Err((_, error)) => return Err(error),
            Ok(held) => return Ok(held),
        }
        std::thread::sleep(SECOND_LOOK);
    }
    Err(Errno::EAGAIN)
}

fn lock_once(options: &Options, file: File) -> Result<Held, (File, Errno)> {
    if options.has("never-contended") {
        return Ok(Held::Range(file));
    }
    let range = flock {
        l_type: F_WRLCK as i16,
        l_whence: SEEK_SET as i16,
        l_start: if options.has("locks-another-byte") { 5 } else { 0 },
        l_len: 1,
        l_pid: 0,
    };
    let result = match options.lock_type.as_str() {
        "flock" => return Flock::lock(file, FlockArg::LockExclusiveNonblock).map(Held::Whole),
        "ofd" => fcntl(file.as_fd(), FcntlArg::F_OFD_SETLK(&range)),
        _ => fcntl(file.as_fd(), FcntlArg::F_SETLK(&range)),
    };
    debug_assert!(file.as_raw_fd() > 2, "the worker's standard descriptors are open");
    match result {
        Ok(_) => Ok(Held::Range(file)),
        Err(error) => Err((file, error)),
    }
}

/// Whether the supervisor closes its end in time.
fn ends_within(mut supervisor: &UnixStream, limit: Duration) -> anyhow::Result<bool> {
    supervisor.set_read_timeout(Some(limit))?;
    let mut word = [0];
    loop {
        match supervisor.read(&mut word) {
            Ok(0) => return Ok(true),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(false),
            Err(_) => return Ok(true),
        }
    }
}
