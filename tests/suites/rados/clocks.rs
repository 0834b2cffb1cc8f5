//! Wall clocks of OSDs that are off by as much as the manual page allows (P2a, P5): the pipe ends before the store gives the
//! lock to another.
//!
//! A clock that stays off is off in the same way when a lease begins and when it ends. What takes time away from a lease is
//! a step between the two, or another OSD that answers from then on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{anyhow, bail, ensure};
use mutex_tests::process::helper::Helper;
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::services::ceph::apart::{Apart, Host};
use mutex_tests::services::ceph::clock::Off;
use mutex_tests::wait::wait_for;

use crate::{Case, Lock};

pub(crate) const CASES: &[Case] = &[
    (
        "the supervisor stopped, no renewal gets through, the OSD that answers then is 0.5 s ahead: the pipe ends before \
         another has the lock",
        || on_a_quick_machine(stopped_supervisor),
    ),
    (
        "lease 0: the first renewal does not get through, the OSD that answers then is 0.5 s ahead: the pipe ends before \
         another has the lock",
        || on_a_quick_machine(first_lease),
    ),
];

/// What the helper allows for.
const OFF: Duration = Duration::from_millis(500);

/// The margin that is left is twice that: a machine that holds a thread up for longer cannot show it.
const PUNCTUAL: Duration = Duration::from_millis(50);

/// The renewal that the store has applied is the last that was answered: what is left is the margin for scheduling, and what
/// the machine adds.
const EARLY: Duration = Duration::from_millis(500);

/// What became of an attempt.
enum Outcome {
    Shown,
    /// With what that looked like.
    MachineTooSlow(String),
}

/// The store, and a lock in it.
struct Scene {
    apart: Apart,
    lock: Lock,
}

impl Scene {
    fn new() -> anyhow::Result<Self> {
        let apart = Apart::start(2)?;
        let lock = Lock::on(Arc::clone(apart.ceph()));
        Ok(Self { apart, lock })
    }

    fn start(&self, host: Host, lease: &str) -> anyhow::Result<Helper> {
        let _inside = self.apart.enter(host)?;
        self.lock.helper(&[lease])?.start()
    }

    /// Where the commands find the cluster.
    fn among_servers<T>(&self, deed: impl FnOnce(&Lock) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let _inside = self.apart.enter(Host::Servers)?;
        deed(&self.lock)
    }

    /// When the store frees the lock, by the clock of the OSD that took the last renewal; `None`: it has.
    fn expiry(&self) -> anyhow::Result<Option<SystemTime>> {
        Ok(self.among_servers(Lock::info)?.and_then(|info| info.expires))
    }

    /// The OSD that does not answer for the lock yet.
    fn next_primary(&self) -> anyhow::Result<[usize; 1]> {
        self.among_servers(|lock| Ok([1 - lock.ceph.primary_of(None, &lock.object)?.min(1)]))
    }
}

fn on_a_quick_machine(attempt: fn(&Scene) -> anyhow::Result<Outcome>) -> anyhow::Result<()> {
    let mut seen = Vec::new();
    for _ in 0..5 {
        match attempt(&Scene::new()?)? {
            Outcome::Shown => return Ok(()),
            Outcome::MachineTooSlow(what) => seen.push(what),
        }
    }
    bail!("the machine holds threads up for more than {PUNCTUAL:?}, or it is not the machine: {}", seen.join("; "))
}

/// Its worker has to kill it, and in time.
fn stopped_supervisor(scene: &Scene) -> anyhow::Result<Outcome> {
    let osds @ [next] = scene.next_primary()?;
    let clock = scene.apart.ceph().osd_clock_off(&osds, Off::Ahead(OFF));
    let _ahead = clock.inject()?;
    let holder = scene.start(Host::Holder, "9")?;
    holder.expect('0', ANSWER_LIMIT)?;
    let before = scene.expiry()?;
    wait_for("a renewal", ANSWER_LIMIT, || scene.expiry().ok().filter(|&now| now.is_some() && now != before))?;
    holder.supervisor().stop()?;
    let fault = scene.apart.holder_cut_off();
    let _cut_off = fault.inject()?;
    judge(scene, &holder, next)
}

/// The lock is taken with a lease that the first renewal is to take away.
fn first_lease(scene: &Scene) -> anyhow::Result<Outcome> {
    let osds @ [next] = scene.next_primary()?;
    let clock = scene.apart.ceph().osd_clock_off(&osds, Off::Ahead(OFF));
    let _ahead = clock.inject()?;
    let replica = {
        let _inside = scene.apart.enter(Host::Servers)?;
        scene.apart.ceph().replica_frozen(&scene.lock.object)?
    };
    let frozen = replica.inject()?;
    let holder = scene.start(Host::Holder, "0")?;
    scene.lock.wait_requested_at(1 - next)?;
    let fault = scene.apart.holder_not_heard();
    let _not_heard = fault.inject()?;
    frozen.heal()?;
    if holder.status(ANSWER_LIMIT).ok() != Some('0') {
        // The try was given up before the fault was there.
        return Ok(Outcome::MachineTooSlow("the try had no answer in time".to_owned()));
    }
    judge(scene, &holder, next)
}

/// Nothing of the holder's arrives any more. Another OSD answers from now on, and a rival takes the lock as soon as it is
/// to be had.
fn judge(scene: &Scene, holder: &Helper, next: usize) -> anyhow::Result<Outcome> {
    let over = || Ok(Outcome::MachineTooSlow("the lease was over, or was renewed, too early".to_owned()));
    let Some(expires) = scene.expiry()? else { return over() };
    scene.among_servers(|lock| lock.ceph.let_answer(next, &lock.object))?;
    let seen_at = Instant::now();
    let left = expires.duration_since(SystemTime::now()).unwrap_or_default();
    if scene.expiry()? != Some(expires) {
        return over();
    }
    let given_away = seen_at + left.saturating_sub(OFF);
    let limit = left + ANSWER_LIMIT;
    let done = AtomicBool::new(false);
    let (ended, taken, held_up) = thread::scope(|scope| {
        let rival = scope.spawn(|| take(scene, limit));
        let pace = scope.spawn(|| longest_pause(&done, limit));
        let ended = holder.end(limit);
        let taken = rival.join();
        done.store(true, Ordering::Relaxed);
        (ended, taken, pace.join())
    });
    let panicked = |_| anyhow!("a thread panicked");
    let (taken, held_up) = (taken.map_err(panicked)??, held_up.map_err(panicked)??);
    match in_time(ended?, taken, given_away) {
        Err(error) if held_up > PUNCTUAL => Ok(Outcome::MachineTooSlow(error.to_string())),
        seen => seen.map(|()| Outcome::Shown),
    }
}

/// `given_away`: when the OSD that answers now can give the lock to another.
fn in_time(ended: Instant, taken: Instant, given_away: Instant) -> anyhow::Result<()> {
    ensure!(taken > ended, "another had the lock {:?} before the pipe ended", ended - taken);
    ensure!(ended < given_away, "the pipe ended {:?} after the store could give the lock away", ended - given_away);
    ensure!(given_away - ended < EARLY, "the pipe ended {:?} too early", given_away - ended);
    // Else the clock was not ahead, and nothing is shown.
    ensure!(taken < given_away + OFF, "the store has kept the lock for the whole lease");
    Ok(())
}

/// Tries again and again, as CTDB's nodes do, and says when the lock was had.
fn take(scene: &Scene, limit: Duration) -> anyhow::Result<Instant> {
    let start_of_all = Instant::now();
    while start_of_all.elapsed() < limit {
        let rival = scene.start(Host::Rival, "9")?;
        match rival.status(ANSWER_LIMIT)? {
            '0' => return Ok(Instant::now()),
            '1' => {}
            status => bail!("a rival got {status}: {}", rival.stderr()?),
        }
    }
    bail!("a rival did not get the lock within {limit:?}")
}

/// How long a thread that wanted to run every few milliseconds had to wait at most, until it is `done`.
fn longest_pause(done: &AtomicBool, limit: Duration) -> anyhow::Result<Duration> {
    let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
    wait_for("the end of a watch", 2 * limit, || {
        longest = longest.max(last.elapsed());
        last = Instant::now();
        done.load(Ordering::Relaxed).then_some(longest)
    })
    .map(|(longest, _)| longest)
}
