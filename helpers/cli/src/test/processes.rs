//! A process of the helper killed or stopped.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::bench::{AT_ONCE, Bench, NOISE, PROBE, SECOND};
use super::rule::{Rule, Stop};
use super::subject::Subject;

pub(super) const RULES: &[Rule] = &[
    Rule::new(
        "helper-killed",
        "the process that CTDB started killed: the pipe ends at once, the lock goes with its lease",
        killed,
    ),
    Rule::new(
        "no-pipe-in-child",
        "the same with its child stopped: the pipe ends at once, so no child has it",
        no_pipe,
    ),
    Rule::new("no-log-in-child", "the same, and nobody has its standard error (CTDB's log) open any more", no_log),
    Rule::new("helper-stopped", "that process stopped: nobody else gets the lock while the pipe is open", stopped),
    Rule::new("stopped-parent-death", "that process stopped and its parent killed: all ends with the lease", both),
    Rule::new(
        "child-killed",
        "its child killed: the pipe ends within a second, the lock goes with its lease",
        child_killed,
    ),
    Rule::new("child-stopped", "its child stopped: the pipe ends before the lease does", child_stopped),
    Rule::new(
        "closes-first",
        "SIGTERM while its child is stopped: the pipe ends at once, before any release",
        closes_first,
    ),
    Rule::new(
        "group-sigterm",
        "SIGTERM to all but the first process: the lock is not free before the pipe's end",
        group,
    ),
];

/// Long enough for a child that obeys a signal to let go.
const WOULD_HAVE_LET_GO: Duration = Duration::from_millis(400);
/// Between two looks whether another can have the lock.
const LOOK_EVERY: Duration = Duration::from_millis(500);

fn killed(bench: &Bench) -> Result<Duration, Stop> {
    let mut holder = bench.take()?;
    holder.signal(Signal::KILL);
    holder.expect_end("killed", AT_ONCE)?;
    let free = bench.ensure_free(bench.lease_over())?;
    holder.expect_all_gone("killed", bench.lease_over())?;
    Ok(free)
}

fn no_pipe(bench: &Bench) -> Result<Duration, Stop> {
    let mut holder = bench.take()?;
    holder.signal_children(Signal::STOP)?;
    holder.signal(Signal::KILL);
    holder.expect_end("killed, while its child is stopped", AT_ONCE)
}

fn no_log(bench: &Bench) -> Result<Duration, Stop> {
    let mut holder = bench.take()?;
    holder.stop_any_children()?;
    holder.signal(Signal::KILL);
    holder.expect_log_end("killed, while its child is stopped", AT_ONCE)
}

/// Nobody else gets the lock for this long, unless the pipe has ended.
fn ensure_not_taken(bench: &Bench, holder: &mut Subject<'_>, time: Duration) -> Result<(), Stop> {
    let begun = Instant::now();
    while !holder.hear(LOOK_EVERY.min(time), Subject::has_ended)? {
        let mut other = bench.start()?;
        let answer = other.answer(PROBE)?;
        // It may have ended as the other began.
        if answer == Some(b'0') && !holder.hear(Duration::ZERO, Subject::has_ended)? {
            let after = begun.elapsed().as_secs_f32();
            return Err(Stop::Broken(format!("another taker got the lock after {after:.1} s, and the pipe is open")));
        }
        other.dismiss()?;
        if begun.elapsed() >= time {
            break;
        }
    }
    Ok(())
}

fn stopped(bench: &Bench) -> Result<Duration, Stop> {
    let mut holder = bench.take()?;
    holder.stop()?;
    let begun = Instant::now();
    ensure_not_taken(bench, &mut holder, bench.lease_over())?;
    Ok(begun.elapsed())
}

fn both(bench: &Bench) -> Result<Duration, Stop> {
    let mut holder = bench.take_under_parent()?;
    holder.stop()?;
    holder.kill_parent();
    let took = holder.expect_end("stopped, its parent dead", bench.lease_over())?;
    bench.ensure_free(bench.lease_over())?;
    holder.expect_all_gone("stopped, its parent dead", SECOND)?;
    Ok(took)
}

fn child_killed(bench: &Bench) -> Result<Duration, Stop> {
    let mut holder = bench.take()?;
    holder.signal_children(Signal::KILL)?;
    let took = holder.expect_end("its child is dead", SECOND)?;
    holder.expect_gone("its child is dead", SECOND)?;
    bench.ensure_free(bench.lease_over())?;
    Ok(took)
}

fn child_stopped(bench: &Bench) -> Result<Duration, Stop> {
    let mut holder = bench.take()?;
    holder.signal_children(Signal::STOP)?;
    let took = holder.expect_end("its child is stopped", bench.lease() + NOISE)?;
    holder.expect_gone("its child is stopped", SECOND)?;
    bench.ensure_free(bench.lease_over())?;
    Ok(took)
}

fn closes_first(bench: &Bench) -> Result<Duration, Stop> {
    let mut holder = bench.take()?;
    holder.signal_children(Signal::STOP)?;
    holder.signal(Signal::TERM);
    let took = holder.expect_end("after SIGTERM, while its child is stopped", AT_ONCE)?;
    holder.expect_gone("after SIGTERM, while its child is stopped", SECOND)?;
    bench.ensure_free(bench.lease_over())?;
    Ok(took)
}

/// As systemd ends a service. The first process is stopped so that it surely comes last.
fn group(bench: &Bench) -> Result<Duration, Stop> {
    let mut holder = bench.take()?;
    holder.expect_child()?;
    holder.stop()?;
    holder.signal_children(Signal::TERM)?;
    ensure_not_taken(bench, &mut holder, WOULD_HAVE_LET_GO)?;
    holder.signal(Signal::TERM);
    holder.signal(Signal::CONT);
    let took = holder.expect_end("after SIGTERM to the first too", SECOND)?;
    bench.ensure_free(SECOND)?;
    Ok(took)
}
