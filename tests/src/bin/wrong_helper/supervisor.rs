//! The process that CTDB started: owns the pipe, touches no file.

use std::fs::File;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{dup2_stdout, write};
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};

use crate::options::Options;

/// What is left of the second a helper has to go, for the worker's release.
const RELEASE_LIMIT: Duration = Duration::from_millis(800);

/// Why the supervisor stops: the exit code, and the line to say.
struct Stop {
    code: u8,
    line: Option<String>,
}

pub(crate) fn block_signals(options: &Options) -> anyhow::Result<SignalFd> {
    let all =
        [(Signal::SIGTERM, "ignores-sigterm"), (Signal::SIGINT, "ignores-sigint"), (Signal::SIGHUP, "ignores-sighup")];
    let blocked: SigSet = all.iter().map(|(signal, _)| *signal).collect();
    blocked.thread_block()?;
    let obeyed: SigSet = all.iter().filter(|(_, bug)| !options.has(bug)).map(|(signal, _)| *signal).collect();
    Ok(SignalFd::with_flags(&obeyed, SfdFlags::SFD_CLOEXEC)?)
}

/// Answers `3` to what cannot get better by waiting.
pub(crate) fn refuse(bug: &str, message: &str) -> anyhow::Result<ExitCode> {
    // Whoever reads the byte may send SIGTERM at once, and the line comes later.
    SigSet::all().thread_block()?;
    if bug == "trusts-stderr" {
        let mut stderr = std::io::stderr();
        stderr.write_all(format!("{message}\n").as_bytes())?;
    }
    write(std::io::stdout(), b"3")?;
    if bug != "silent-refusal" && bug != "trusts-stderr" {
        say(message);
    }
    Ok(ExitCode::from(if bug == "wrong-exit-code" { 0 } else { 3 }))
}

pub(crate) fn run(
    options: &Options,
    worker: &UnixStream,
    signals: &SignalFd,
    parent: Option<BorrowedFd<'_>>,
    worker_pid: nix::unistd::Pid,
) -> anyhow::Result<ExitCode> {
    let worker_fd = match Pid::from_raw(worker_pid.as_raw()) {
        Some(pid) => pidfd_open(pid, PidfdFlags::empty())?,
        None => anyhow::bail!("fork gave no process number"),
    };
    let stop = watch(options, worker, signals, parent, &worker_fd)?;
    if options.has("releases-first") {
        release(options, worker, &worker_fd)?;
    }
    dup2_stdout(File::options().write(true).open("/dev/null")?)?;
    if !options.has("releases-first") {
        release(options, worker, &worker_fd)?;
    }
    if let Some(line) = stop.line {
        say(&line);
    }
    Ok(ExitCode::from(if options.has("wrong-exit-code") { 0 } else { stop.code }))
}

/// Waits for a cause to stop.
fn watch(
    options: &Options,
    mut worker: &UnixStream,
    signals: &SignalFd,
    parent: Option<BorrowedFd<'_>>,
    worker_fd: &OwnedFd,
) -> anyhow::Result<Stop> {
    let object = options.file.display();
    let released = Stop { code: 0, line: None };
    let lost = |why: &str| Stop { code: 4, line: Some(format!("{object}: lost: {why}")) };
    let mut deadline = Some(Instant::now() + options.acquire_timeout);
    let mut holding = false;
    let stdout = std::io::stdout();
    loop {
        let timeout = match deadline {
            // Rounded up: poll counts whole milliseconds.
            Some(at) => PollTimeout::try_from(at.saturating_duration_since(Instant::now()) + Duration::from_millis(1))?,
            None => PollTimeout::NONE,
        };
        let mut fds = vec![
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(stdout.as_fd(), PollFlags::empty()),
            PollFd::new(worker.as_fd(), PollFlags::POLLIN),
        ];
        fds.extend(parent.map(|parent| PollFd::new(parent, PollFlags::POLLIN)));
        poll(&mut fds, timeout)?;
        let ready = |place: usize| fds.get(place).and_then(PollFd::revents).is_some_and(|events| !events.is_empty());

        if ready(0) || (ready(1) && !options.has("forgets-the-reader")) {
            return Ok(released);
        }
        if ready(3) && !options.has("forgets-the-parent") {
            return Ok(released);
        }
        if ready(2) {
            let mut report = [0];
            // A worker that was killed can leave a reset instead of an end.
            let count = worker.read(&mut report).unwrap_or(0);
            match (count, report[0]) {
                (0, _) if options.has("forgets-the-worker") => {
                    signals.read_signal()?;
                    return Ok(released);
                }
                (0, _) => return Ok(lost("the worker is gone")),
                (_, b'h') => {
                    holding = true;
                    if options.has("chatty") {
                        say("lock taken");
                    }
                    if options.has("always-contended") {
                        return Ok(answer('1', 1));
                    }
                    // A failure means that the reader is gone: the next poll says so.
                    let _ = write(&stdout, if options.has("two-bytes") { b"0\n" } else { b"0" });
                    worker.write_all(b"w")?;
                    deadline = proof_deadline(options);
                }
                (_, b'p') => deadline = proof_deadline(options),
                (_, b'c') => {
                    if options.has("slow-contention") {
                        std::thread::sleep(Duration::from_secs(2));
                    }
                    return Ok(answer('1', 1));
                }
                (_, b'l') => return Ok(lost("the file is another one")),
                _ => {
                    write(&stdout, b"3")?;
                    return Ok(Stop { code: 3, line: Some(format!("{object}: cannot lock it")) });
                }
            }
        }
        // A worker that is gone has closed its socket: seen above, in order, after what it said last.
        if !is_gone(worker_fd) && deadline.is_some_and(|at| at <= Instant::now()) {
            if holding {
                return Ok(lost("the file system does not answer"));
            }
            let three = options.has("gives-up-with-3");
            write(&stdout, if three { b"3" } else { b"2" })?;
            return Ok(Stop { code: 2, line: Some(format!("{object}: took too long")) });
        }
    }
}

fn answer(status: char, code: u8) -> Stop {
    let _ = write(std::io::stdout(), &[status as u8]);
    Stop { code, line: None }
}

/// Until when the next proof must have come.
fn proof_deadline(options: &Options) -> Option<Instant> {
    let patience = if options.has("gives-up-at-once") {
        options.recheck / 2
    } else if options.has("impatient") {
        options.recheck + Duration::from_millis(100)
    } else {
        options.recheck + options.ping_timeout
    };
    let watched = !options.recheck.is_zero() && !options.has("no-deadline");
    watched.then(|| Instant::now() + patience)
}

/// Asks the worker to release, and kills one that does not.
fn release(options: &Options, worker: &UnixStream, worker_fd: &OwnedFd) -> anyhow::Result<()> {
    if options.has("leaves-the-worker") {
        return Ok(());
    }
    // The worker may be gone.
    let _ = worker.shutdown(Shutdown::Both);
    let mut fds = [PollFd::new(worker_fd.as_fd(), PollFlags::POLLIN)];
    let limit = match options.has("waits-for-the-worker") {
        true => PollTimeout::NONE,
        false => PollTimeout::try_from(RELEASE_LIMIT)?,
    };
    poll(&mut fds, limit)?;
    let _ = pidfd_send_signal(worker_fd, rustix::process::Signal::KILL);
    Ok(())
}

fn is_gone(process: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

/// One line on standard error, dropped where it would fail or block.
fn say(line: &str) {
    let stderr = std::io::stderr();
    let mut fds = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    if poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0) {
        let _ = write(&stderr, format!("wrong_helper: {line}\n").as_bytes());
    }
}
