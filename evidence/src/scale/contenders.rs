//! Many contenders for one lock: one has it, all others hear so, and when it is let go one of those who wait gets it.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use mutex_tests::process::helper::Helper;
use mutex_tests::process::pipe::Pipe;
use mutex_tests::times::percentile;
use mutex_tests::wait::wait_for;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::options::Backend;
use super::say::say;
use super::scene::{LIMIT, Scene, release};
use super::stall::Stalls;
use super::store::Pace;

const LOCK: &str = "contended";

/// What was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Contenders {
    /// On which store.
    pub backend: Backend,
    /// How many, all started at once.
    pub contenders: usize,
    /// How many were answered `1`.
    pub ones: usize,
    /// How many got something else, and what.
    pub others: Vec<String>,
    /// From the start of a contender to its `1`: the median, in milliseconds.
    pub median: u64,
    /// The longest.
    pub worst: u64,
    /// How many of as many that waited took over after the release.
    pub takers: usize,
    /// From SIGTERM of the holder to the `0` of the next, in milliseconds.
    pub taken_over: u64,
    /// How many others waited in vain, and were answered `1` at the end of their time.
    pub in_vain: usize,
    /// For how long they would wait, in seconds.
    pub wait: u64,
    /// How long this machine kept a thread waiting that could run, at worst, in milliseconds.
    pub stall: u64,
    /// What went wrong beside that, and what was left.
    pub left: Vec<String>,
}

/// A byte, and when it came.
struct Answer {
    helper: Helper,
    status: char,
    at: Instant,
}

pub(super) fn measure(backend: Backend, contenders: usize) -> anyhow::Result<Contenders> {
    let name = backend.name();
    let scene = Scene::new(backend)?;
    let stalls = Stalls::watch();
    let holder = scene.launch(LOCK, Pace::Default).start()?;
    holder.expect('0', LIMIT).context("take the free lock")?;
    say(format_args!("contenders {name}: {contenders} at once on a lock that is held"));
    let answers = side_by_side((0..contenders).map(|_| || answer(scene.launch(LOCK, Pace::Default).start()?)))?;
    let mut times = Vec::new();
    let mut others = Vec::new();
    for answer in &answers {
        match answer.status {
            '1' => times.push(u64::try_from((answer.at - answer.helper.started()).as_millis())?),
            status => others.push(format!("{status}: {}", answer.helper.stderr()?.trim())),
        }
    }
    for answer in answers {
        answer.helper.gone(LIMIT)?;
    }
    times.sort_unstable();
    ensure!(holder.pipe().is_ok_and(Pipe::is_silent), "the holder's pipe has ended: {}", holder.stderr()?);

    // All of them must wait before the first has waited for long enough.
    let wait = 30 + u64::try_from(contenders)? / 10;
    let seconds = wait.to_string();
    say(format_args!("contenders {name}: {contenders} that wait for it for {wait} s"));
    let waiters: Vec<Helper> = (0..contenders)
        .map(|_| scene.launch(LOCK, Pace::Default).args(&["-v", "--wait-seconds", &seconds]).start())
        .collect::<Result<_, _>>()?;
    for waiter in &waiters {
        let waits = || waiter.stderr().is_ok_and(|said| said.contains("Waiting")).then_some(());
        wait_for("a contender to say that it waits", LIMIT, waits)?;
    }
    ensure!(waiters.iter().all(|waiter| waiter.pipe().is_ok_and(Pipe::is_silent)), "a contender has not waited");
    let worker = holder.worker()?;
    let let_go = Instant::now();
    holder.signal(Signal::TERM)?;
    let answers = side_by_side(waiters.into_iter().map(|waiter| || answer(waiter)))?;
    worker.wait_gone(LIMIT)?;
    drop((holder, worker));
    let (takers, rest): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == '0');
    let taken_over = takers.iter().map(|taker| taker.at - let_go).min().unwrap_or_default();
    let in_vain = rest.iter().filter(|answer| answer.status == '1').count();
    let mut left = Vec::new();
    for answer in rest {
        answer.helper.gone(LIMIT)?;
        if answer.status != '1' {
            left.push(format!(
                "a waiting contender was answered {}: {}",
                answer.status,
                answer.helper.stderr()?.trim()
            ));
        }
    }
    for taker in &takers {
        if !taker.helper.pipe().is_ok_and(Pipe::is_silent) {
            left.push("the new holder's pipe has ended".to_owned());
        }
    }
    let count = takers.len();
    left.extend(release(takers.into_iter().map(|taker| taker.helper).collect())?);
    let stall = stalls.worst();
    drop(stalls);
    left.extend(scene.left(&[LOCK.to_owned()])?);
    Ok(Contenders {
        backend,
        contenders,
        ones: times.len(),
        others,
        median: percentile(&times, 50).unwrap_or_default(),
        worst: times.last().copied().unwrap_or_default(),
        takers: count,
        taken_over: u64::try_from(taken_over.as_millis())?,
        in_vain,
        wait,
        stall,
        left,
    })
}

fn answer(helper: Helper) -> anyhow::Result<Answer> {
    // Beyond the time for which a contender may wait.
    let status = helper.status(LIMIT + Duration::from_secs(60))?;
    Ok(Answer { status, at: Instant::now(), helper })
}

/// Each in a thread, so that each answer is seen when it comes.
fn side_by_side<T: Send>(
    all: impl Iterator<Item = impl FnOnce() -> anyhow::Result<T> + Send>,
) -> anyhow::Result<Vec<T>> {
    thread::scope(|scope| {
        let threads: Vec<_> = all.map(|one| scope.spawn(one)).collect();
        let ends = threads.into_iter().map(|thread| thread.join().ok().context("a thread has ended")?);
        ends.collect()
    })
}
