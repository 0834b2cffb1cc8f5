//! What CTDB does not depend on: advice where it does not hold.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::bench::{AT_ONCE, Bench, PROBE, SECOND};
use super::rule::{Rule, Stop};

pub(super) const RULES: &[Rule] = &[
    Rule::advice(
        "second-look",
        "contended means looked twice: who is about to be answered 1 as the lock is freed gets it",
        second_look,
    ),
    Rule::advice("exit-code", "the exit code is 0 after a release, and another after a contention", exit_code),
    Rule::advice(
        "other-descriptors",
        "another descriptor of the pipe, from a careless parent, does not keep it open at SIGTERM",
        other_descriptors,
    ),
];

/// The old holder gets SIGTERM while all processes of a contender are stopped, at a moment when on a free lock it would
/// have been answered: so it has looked. Going on, it gets the lock if it looks once more.
///
/// The moment is a guess, which a busy machine spoils in some tries, in either direction: there are as many as it takes for
/// one outcome to lead by `LEAD`. Seen at a load of 8: of a helper that looks once up to a quarter were a success, of ours up
/// to a third a failure.
fn second_look(bench: &Bench) -> Result<Duration, Stop> {
    const LEAD: usize = 8;
    /// Enough where no try had the other outcome.
    const AGREED: usize = 5;
    const TRIES: usize = 60;
    const AFTER_THE_FIRST: Duration = Duration::from_millis(15);
    /// Stopped later than this after that moment it may have looked twice, so what it missed does not count.
    const LATE: Duration = Duration::from_millis(10);
    let (mut taken, mut missed) = (0, 0);
    let mut answers = Vec::new();
    for _ in 0..TRIES {
        let mut holder = bench.take()?;
        answers.push(holder.answered_after());
        answers.sort_unstable();
        let moment = answers[answers.len() / 2] + AFTER_THE_FIRST;
        let mut contender = bench.start()?;
        let left = moment.saturating_sub(contender.started().elapsed());
        let answered = contender.hear(left, |contender| !contender.bytes().is_empty() || contender.has_ended())?;
        if answered {
            missed += 1;
        } else {
            contender.signal_all(Signal::STOP)?;
            let in_time = contender.started().elapsed() <= moment + LATE;
            holder.dismiss()?;
            contender.signal_all(Signal::CONT)?;
            match contender.answer(PROBE)? {
                Some(b'0') => taken += 1,
                Some(b'1') if in_time => missed += 1,
                _ => {}
            }
        }
        contender.dismiss()?;
        holder.dismiss()?;
        let enough = if usize::min(taken, missed) == 0 { AGREED } else { LEAD };
        if usize::abs_diff(taken, missed) >= enough {
            break;
        }
    }
    if taken + missed < AGREED {
        return Err(Stop::Skip("this machine is too busy to meet the moment".to_owned()));
    }
    if taken > missed {
        return Ok(answers[answers.len() / 2]);
    }
    Err(Stop::Broken(format!("in {missed} of {} tries it missed the lock that was freed", taken + missed)))
}

fn exit_code(bench: &Bench) -> Result<Duration, Stop> {
    let begun = Instant::now();
    let mut holder = bench.take()?;
    let mut contender = bench.start()?;
    contender.expect("a second taker", b'1', PROBE)?;
    contender.signal_unless_gone(Signal::TERM)?;
    let contended = contender.exit_code("contended")?;
    holder.signal(Signal::TERM);
    let released = holder.exit_code("after SIGTERM")?;
    let said = |code: Option<i32>| code.map_or("a signal".to_owned(), |code| format!("exit code {code}"));
    if contended.is_none_or(|code| code == 0) {
        return Err(Stop::Broken(format!("{} after a contention", said(contended))));
    }
    if released != Some(0) {
        return Err(Stop::Broken(format!("{} after a release", said(released))));
    }
    Ok(begun.elapsed())
}

fn other_descriptors(bench: &Bench) -> Result<Duration, Stop> {
    let mut holder = bench.take_within(bench.lease_over(), Bench::start_with_another_writer)?;
    holder.stop_any_children()?;
    holder.signal(Signal::TERM);
    let took = holder.expect_end("after SIGTERM, while its child is stopped", AT_ONCE)?;
    holder.expect_gone("after SIGTERM, while its child is stopped", SECOND)?;
    bench.ensure_free(bench.lease_over())?;
    Ok(took)
}
