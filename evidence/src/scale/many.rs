//! Many locks, each with a holder, on one store from one machine.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use mutex_tests::process::helper::Helper;
use mutex_tests::times::percentile;
use serde::{Deserialize, Serialize};

use super::options::Backend;
use super::say::say;
use super::scene::{LIMIT, Scene, last_words, release};
use super::stall::Stalls;
use super::store::Pace;
use super::usage::{Pair, Usage};

/// How often the pipes are looked at while the locks are held. Looking takes time from the helpers.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What the store counts may differ so much from what is due, for requests that are no renewals.
const COUNT_ERROR: f64 = 0.1;

/// What was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Many {
    /// On which store.
    pub backend: Backend,
    /// How many locks.
    pub locks: usize,
    /// How long all were held, in seconds.
    pub seconds: f64,
    /// From the first start to the last `0`, in seconds.
    pub taken: f64,
    /// What was said of each holder whose pipe ended.
    pub lost: Vec<String>,
    /// Renewals a second that the store counted.
    pub renewals: f64,
    /// The same as the options have it.
    pub renewals_due: f64,
    /// What the store counted for them.
    pub counted_by: String,
    /// Proportional memory of all processes, in KiB.
    pub pss: u64,
    /// The median of the supervisors' proportional memory, in KiB.
    pub pss_supervisor: u64,
    /// The median of the workers', in KiB.
    pub pss_worker: u64,
    /// Threads of a holder's two processes.
    pub threads: usize,
    /// Descriptors of a holder's two processes.
    pub descriptors: usize,
    /// CPU time of all processes, in milliseconds a second.
    pub cpu: f64,
    /// How long this machine kept a thread waiting that could run, at worst, in milliseconds.
    pub stall: u64,
    /// From the first SIGTERM to the last process gone, in seconds.
    pub released: f64,
    /// What went wrong at the release, and what was left.
    pub left: Vec<String>,
}

impl Many {
    /// Whether the store has seen the renewals that were due.
    #[must_use]
    pub fn renews(&self) -> bool {
        // Of each holder a renewal at an edge of the time counts or does not.
        let edges = self.locks as f64 / self.seconds;
        (self.renewals - self.renewals_due).abs() <= edges.max(COUNT_ERROR * self.renewals_due)
    }
}

pub(super) fn measure(backend: Backend, locks: usize, time: Duration) -> anyhow::Result<Many> {
    let name = backend.name();
    let scene = Scene::new(backend)?;
    let locks: Vec<String> = (0..locks).map(|number| format!("many-{number}")).collect();
    say(format_args!("many {name}: taking {} locks", locks.len()));
    let stalls = Stalls::watch();
    let start = Instant::now();
    let holders: Vec<Helper> =
        locks.iter().map(|lock| scene.launch(lock, Pace::Default).start()).collect::<Result<_, _>>()?;
    for (holder, lock) in holders.iter().zip(&locks) {
        holder.expect('0', LIMIT).with_context(|| format!("take {lock}"))?;
    }
    let taken = start.elapsed();
    let pairs: Vec<Pair> = holders.iter().map(Pair::of).collect::<Result<_, _>>()?;
    say(format_args!("many {name}: all held after {:.1} s, for {time:?} now", taken.as_secs_f64()));

    let before = Reading::of(&scene, &pairs)?;
    let lost = watch(&holders, &locks, before.at + time, &stalls);
    let after = Reading::of(&scene, &pairs);
    // Nobody counts on what the dead have used.
    let (after, usages) = match lost.is_empty() {
        true => (after?, pairs.iter().map(Pair::usage).collect::<Result<Vec<_>, _>>()?),
        false => (before, Vec::new()),
    };
    let seconds = (after.at - before.at).as_secs_f64();
    let stall = stalls.worst();
    drop((stalls, pairs));

    say(format_args!("many {name}: {} lost; letting go", lost.len()));
    let start = Instant::now();
    let mut left = if lost.is_empty() { release(holders)? } else { Vec::new() };
    let released = start.elapsed();
    left.extend(scene.left(&locks)?);
    let all: Usage = usages.iter().flatten().copied().sum();
    let median_of = |process: usize| median(usages.iter().map(|usage| usage[process].pss));
    Ok(Many {
        backend,
        locks: locks.len(),
        seconds: time.as_secs_f64(),
        taken: taken.as_secs_f64(),
        lost,
        renewals: (after.renewals - before.renewals) as f64 / seconds.max(1.0),
        renewals_due: locks.len() as f64 / scene.store.renew_every(Pace::Default).as_secs_f64(),
        counted_by: scene.store.counted_by().to_owned(),
        pss: all.pss,
        pss_supervisor: median_of(0),
        pss_worker: median_of(1),
        threads: all.threads.div_ceil(usages.len().max(1)),
        descriptors: all.descriptors.div_ceil(usages.len().max(1)),
        cpu: (after.cpu - before.cpu).as_secs_f64() * 1000.0 / seconds.max(1.0),
        stall,
        released: released.as_secs_f64(),
        left,
    })
}

/// What has been counted up to a moment.
#[derive(Clone, Copy)]
struct Reading {
    at: Instant,
    renewals: u64,
    cpu: Duration,
}

impl Reading {
    fn of(scene: &Scene, pairs: &[Pair]) -> anyhow::Result<Self> {
        let cpu = pairs.iter().map(Pair::cpu).sum::<Result<_, _>>()?;
        Ok(Self { at: Instant::now(), renewals: scene.store.renewals()?, cpu })
    }
}

/// Looks at the pipes until that time; says which have ended.
fn watch(holders: &[Helper], locks: &[String], until: Instant, stalls: &Stalls) -> Vec<String> {
    let mut lost = vec![None; holders.len()];
    let start = Instant::now();
    while Instant::now() < until {
        thread::sleep(LOOK_EVERY.min(until.saturating_duration_since(Instant::now())));
        for ((holder, lock), lost) in holders.iter().zip(locks).zip(&mut lost) {
            if lost.is_none() && !holder.pipe().is_ok_and(mutex_tests::process::pipe::Pipe::is_silent) {
                *lost = Some(format!("{lock} {}", last_words(holder, start.elapsed(), stalls.worst())));
            }
        }
    }
    lost.into_iter().flatten().collect()
}

fn median(values: impl Iterator<Item = u64>) -> u64 {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    percentile(&values, 50).unwrap_or_default()
}
