//! A lock taken and released again and again, and beside it one holder through as many renewals as that takes.
//!
//! A cycle is a whole life: start, `0`, SIGTERM, both processes gone. As many go on side by side as there are processors,
//! each on a lock of its own.
//!
//! librados takes memory for its first five minutes, renewals or none: it keeps its latest log lines until it has enough of
//! them (measured, with Samba's helper too). So the holder counts as warm after half of its time, and that is five minutes.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use mutex_tests::process::pipe::Pipe;
use mutex_tests::times::percentile;
use serde::{Deserialize, Serialize};

use super::flat::Course;
use super::options::Backend;
use super::say::say;
use super::scene::{LIMIT, Scene, last_words, release};
use super::stall::Stalls;
use super::store::Pace;
use super::usage::{Pair, Usage};

/// How many cycles are looked at, spread evenly: to look takes as long as a cycle.
const CYCLE_LOOKS: u32 = 400;

/// How many looks at the long-lived holder there are at least.
const HOLDER_LOOKS: u32 = 200;

/// More failures than these are of one kind.
const MOST_FAILURES: usize = 20;

/// Two processes, of each a page: less cannot be seen.
const LEAST_STEP: u64 = 8;

/// A descriptor that is opened late: librados connects to the manager when it has something to tell it.
const LATE: u64 = 1;

/// How often the long-lived holder's memory is told.
const TELL_EVERY: Duration = Duration::from_secs(30);

/// The long-lived holder.
const LONG: &str = "soak-long";

/// The course of what two processes take.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Courses {
    /// Resident memory, in KiB.
    pub resident: Course,
    /// What they have allocated, in KiB.
    pub anonymous: Course,
    /// Open descriptors.
    pub descriptors: Course,
    /// Threads.
    pub threads: Course,
}

impl Courses {
    fn of(looks: &[Usage], warm_up: usize) -> anyhow::Result<Self> {
        let course = |part: fn(&Usage) -> u64, least_step| {
            let looks: Vec<u64> = looks.iter().map(part).collect();
            Course::of(&looks, warm_up, least_step).context("too few looks: more cycles or seconds")
        };
        Ok(Self {
            resident: course(|usage| usage.resident, LEAST_STEP)?,
            anonymous: course(|usage| usage.anonymous, LEAST_STEP)?,
            descriptors: course(|usage| usage.descriptors as u64, LATE)?,
            threads: course(|usage| usage.threads as u64, 0)?,
        })
    }
}

/// What was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Soak {
    /// On which store.
    pub backend: Backend,
    /// How many cycles.
    pub cycles: u32,
    /// Those that failed, and how.
    pub failures: Vec<String>,
    /// A cycle's time, in milliseconds: the median.
    pub median: u64,
    /// The longest.
    pub worst: u64,
    /// The medians of the first and of the last quarter of the cycles.
    pub quarters: [u64; 2],
    /// What a cycle's processes took right after `0`.
    pub of_cycles: Courses,
    /// How long the long-lived holder held, in seconds.
    pub held: f64,
    /// How many renewals were due in that time.
    pub renewals: u64,
    /// And before it counted as warm.
    pub renewals_warm_up: u64,
    /// What it took.
    pub of_holder: Courses,
    /// Descriptors of the store's processes.
    pub descriptors_of_store: Course,
    /// Why it did not hold to the end.
    pub lost: Option<String>,
    /// How long this machine kept a thread waiting that could run, at worst, in milliseconds.
    pub stall: u64,
    /// What went wrong at its release, and what was left.
    pub left: Vec<String>,
}

pub(super) fn measure(backend: Backend, cycles: u32, shortest: Duration) -> anyhow::Result<Soak> {
    let name = backend.name();
    let scene = Scene::new(backend)?;
    let lanes = thread::available_parallelism().context("count the processors")?.get();
    let locks: Vec<String> = (0..lanes).map(|lane| format!("soak-{lane}")).collect();
    say(format_args!("soak {name}: {cycles} cycles, {lanes} side by side, and one holder for {shortest:?} or longer"));
    let stalls = Stalls::watch();
    let start = Instant::now();
    let holder = scene.launch(LONG, Pace::Fastest).start()?;
    holder.expect('0', LIMIT).context("take the free lock")?;
    let pair = Pair::of(&holder)?;
    let work = Cycles { scene: &scene, all: cycles, next: AtomicU32::new(0), seen: Mutex::default(), name };
    let (mut of_holder, mut of_store) = (Vec::new(), Vec::new());
    let (mut lost, mut told) = (None, Duration::ZERO);
    let (warm_up, mut cold) = (shortest / 2, 0);
    let renew_every = scene.store.renew_every(Pace::Fastest);
    thread::scope(|scope| {
        let lanes: Vec<_> = locks.iter().map(|lock| scope.spawn(|| work.run(lock))).collect();
        let every = (shortest / HOLDER_LOOKS).min(Duration::from_secs(1));
        while start.elapsed() < shortest || lanes.iter().any(|lane| !lane.is_finished()) {
            thread::sleep(every);
            if lost.is_none() && !holder.pipe().is_ok_and(Pipe::is_silent) {
                lost = Some(last_words(&holder, start.elapsed(), stalls.worst()));
                say(format_args!("soak {name}: the holder lost its lock {}", lost.as_deref().unwrap_or_default()));
            }
            // One that has ended takes nothing.
            if let Ok([supervisor, worker]) = pair.usage() {
                let both = supervisor + worker;
                of_holder.push(both);
                cold += usize::from(start.elapsed() < warm_up);
                if start.elapsed() >= told + TELL_EVERY {
                    told = start.elapsed();
                    let (after, renewals) = (told.as_secs_f64(), told.as_secs_f64() / renew_every.as_secs_f64());
                    let Usage { anonymous, descriptors, .. } = both;
                    say(format_args!(
                        "soak {name}: after {after:.0} s, {renewals:.0} renewals: {anonymous} KiB allocated, {descriptors} descriptors"
                    ));
                }
            }
            of_store.push(scene.descriptors_of_store());
        }
    });
    let held = start.elapsed();
    let stall = stalls.worst();
    drop(stalls);
    drop(pair);
    let mut left = if lost.is_none() { release(vec![holder])? } else { Vec::new() };
    left.extend(scene.left(&[&locks[..], &[LONG.to_owned()]].concat())?);
    let Seen { times, usages, failures } = work.seen.into_inner().unwrap_or_else(PoisonError::into_inner);
    ensure!(!times.is_empty(), "no cycle has come to its end: {failures:?}");
    let quarter = times.len().div_ceil(4);
    Ok(Soak {
        backend,
        cycles,
        failures,
        median: median(&times),
        worst: times.iter().max().copied().unwrap_or_default(),
        quarters: [median(&times[..quarter]), median(&times[times.len() - quarter..])],
        of_cycles: Courses::of(&usages, usages.len().div_ceil(10))?,
        held: held.as_secs_f64(),
        renewals: (held.as_secs_f64() / renew_every.as_secs_f64()) as u64,
        renewals_warm_up: (warm_up.as_secs_f64() / renew_every.as_secs_f64()) as u64,
        of_holder: Courses::of(&of_holder, cold)?,
        descriptors_of_store: Course::of(&of_store, cold, 0).context("too few looks: more seconds")?,
        lost,
        stall,
        left,
    })
}

/// The cycles of all lanes.
struct Cycles<'a> {
    scene: &'a Scene,
    all: u32,
    next: AtomicU32,
    seen: Mutex<Seen>,
    name: &'static str,
}

/// What was seen in them, in the order of their ends.
#[derive(Default)]
struct Seen {
    /// In milliseconds.
    times: Vec<u64>,
    usages: Vec<Usage>,
    failures: Vec<String>,
}

impl Cycles<'_> {
    fn run(&self, lock: &str) {
        let looks_every = (self.all / CYCLE_LOOKS).max(1);
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.all {
                return;
            }
            let outcome = self.cycle(lock, number % looks_every == 0);
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            match outcome {
                Ok((time, usage)) => {
                    seen.times.push(time);
                    seen.usages.extend(usage);
                }
                Err(error) => {
                    let failure = format!("cycle {number} on {lock}: {error:#}");
                    say(format_args!("soak {}: {failure}", self.name));
                    seen.failures.push(failure);
                }
            }
            if seen.failures.len() >= MOST_FAILURES {
                return;
            }
            if (number + 1) % (self.all / 10).max(1) == 0 {
                let failures = seen.failures.len();
                say(format_args!("soak {}: {} cycles, {failures} failed", self.name, number + 1));
            }
        }
    }

    fn cycle(&self, lock: &str, look: bool) -> anyhow::Result<(u64, Option<Usage>)> {
        let start = Instant::now();
        let holder = self.scene.launch(lock, Pace::Default).start()?;
        holder.expect('0', LIMIT)?;
        let taken = start.elapsed();
        let usage = if look {
            let [supervisor, worker] = Pair::of(&holder)?.usage()?;
            Some(supervisor + worker)
        } else {
            None
        };
        let start = Instant::now();
        if let [wrong, ..] = &release(vec![holder])?[..] {
            bail!("{wrong}");
        }
        Ok((u64::try_from((taken + start.elapsed()).as_millis())?, usage))
    }
}

fn median(times: &[u64]) -> u64 {
    let mut times = times.to_vec();
    times.sort_unstable();
    percentile(&times, 50).unwrap_or_default()
}
