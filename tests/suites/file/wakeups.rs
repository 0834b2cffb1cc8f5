//! No polling: how often supervisor and worker wake, seen with strace.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use mutex_tests::process::{Process, programs};
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::wait::wait_for;
use rustix::process::Signal;

use crate::{Case, directory, helper};

pub(crate) const CASES: &[Case] = &[
    ("no more than two wake-ups a proof", || proofs("2", Duration::from_secs(12), 6)),
    ("the supervisor never wakes with RECHECK 0", no_proofs),
];

pub(crate) const SLOW_CASES: &[Case] =
    &[("no more than two wake-ups a proof over a minute", || proofs("5", Duration::from_secs(60), 12))];

/// Every call in which a process may wait for time or events.
const WAITS: &str = "poll,ppoll,epoll_wait,epoll_pwait,epoll_pwait2,select,pselect6,futex,nanosleep,clock_nanosleep,\
                     rt_sigtimedwait,restart_syscall";

fn proofs(recheck: &str, time: Duration, proofs: usize) -> anyhow::Result<()> {
    let (_dir, file) = directory()?;
    let holder = helper(&file)?.arg(recheck).start()?;
    holder.expect('0', ANSWER_LIMIT)?;
    let wakeups = wakeups(&[holder.supervisor(), &holder.worker()?], time)?;
    // One proof more may begin in a window of this length.
    let most = 2 * (proofs + 1);
    ensure!(wakeups.len() <= most, "{} wake-ups in {time:?}, not {most}: {wakeups:#?}", wakeups.len());
    ensure!(!wakeups.is_empty(), "no wake-up at all: no proof, or strace saw nothing");
    Ok(())
}

fn no_proofs() -> anyhow::Result<()> {
    let (_dir, file) = directory()?;
    let holder = helper(&file)?.arg("0").start()?;
    holder.expect('0', ANSWER_LIMIT)?;
    let wakeups = wakeups(&[holder.supervisor()], Duration::from_secs(10))?;
    ensure!(wakeups.is_empty(), "{wakeups:#?}");
    Ok(())
}

/// The waits that returned to these processes within `time`, as strace shows them.
fn wakeups(processes: &[&Process], time: Duration) -> anyhow::Result<Vec<String>> {
    let strace = programs::packaged("/usr/bin/strace", "strace")?;
    let dir = tempfile::tempdir()?;
    let trace = dir.path().join("trace");
    let mut command = Command::new(strace);
    command.args(["-f", "-tt", "-e", &format!("trace={WAITS}")]).arg("-o").arg(&trace);
    for process in processes {
        command.args(["-p", &process.pid().to_string()]);
    }
    let mut strace = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().context("start strace")?;
    let attached = || {
        let traced = |process: &&Process| {
            let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap_or_default();
            !status.contains("TracerPid:\t0\n")
        };
        processes.iter().all(traced).then_some(())
    };
    let attached = wait_for("strace to attach", Duration::from_secs(5), attached);
    // The time itself is what is measured.
    std::thread::sleep(time);
    Process::open(i32::try_from(strace.id())?)?.signal(Signal::INT)?;
    strace.wait().context("wait for strace")?;
    attached?;
    let text = std::fs::read_to_string(&trace).context("read strace's file")?;
    Ok(text.lines().filter(|line| is_wakeup(line)).map(str::to_owned).collect())
}

/// Whether a line of strace is a wait that returned, for whatever reason but strace's own coming and going.
fn is_wakeup(line: &str) -> bool {
    let Some((call, result)) = line.rsplit_once(" = ") else { return false };
    // Looks that do not wait: a timeout of zero, and the waking side of a futex.
    let waits = !call.contains(", 0)") && !call.contains("tv_sec=0, tv_nsec=0}") && !call.contains("FUTEX_WAKE");
    waits && !result.starts_with('?')
}
