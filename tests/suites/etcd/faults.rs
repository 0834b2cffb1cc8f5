//! The members' faults (P2a, P2b, P3), beyond what the contract suite does to every store.
//!
//! One fault serves locks with leases of 3, 4 and 9 s at once. The member with the fault is the first that the helpers are
//! told of.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail, ensure};
use mutex_tests::fault::{Fault, Injected};
use mutex_tests::process::helper::Helper;
use mutex_tests::process::launch::Launch;
use mutex_tests::process::pipe::Pipe;
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::services::etcd::keys::Key;
use mutex_tests::services::etcd::{Etcd, MEMBERS, Setup};
use mutex_tests::wait::wait_for;
use rustix::process::Signal;

use crate::lock::Lock;
use crate::{Case, GONE, NOISE, is_slow};

pub(crate) const CASES: &[Case] = &[
    ("all members frozen while held, lease 3: the pipe ends before etcd's lease does", || frozen(3)),
    ("all members frozen while held, lease 4: the pipe ends before etcd's lease does", || frozen(4)),
    ("all members frozen while held, lease 9: the pipe ends before etcd's lease does", || frozen(9)),
    ("the leader and another frozen: the pipe ends before the lease, and there is a new holder after the thaw", || {
        without_quorum(Etcd::quorum_frozen, Who::Follower)
    }),
    (
        "both others frozen, the leader goes on: the pipe ends before the lease, and there is a new holder after the thaw",
        || without_quorum(Etcd::quorum_frozen, Who::Leader),
    ),
    (
        "two members killed, the leader left: the pipe ends before the lease, and there is a new holder after their start",
        || without_quorum(Etcd::quorum_killed, Who::Leader),
    ),
    ("a follower frozen: kept, and a contender is answered 1", || one_member(Etcd::member_frozen, Who::Follower)),
    ("a follower killed: kept, and a contender is answered 1", || one_member(Etcd::member_killed, Who::Follower)),
    ("a follower cut off: kept, and a contender is answered 1", || one_member(Etcd::member_cut_off, Who::Follower)),
    ("a follower cut off from the others alone: kept, and a contender is answered 1", || {
        one_member(Etcd::member_alone, Who::Follower)
    }),
    ("the leader frozen: kept with lease 9, else in time; a contender is answered 1", || {
        one_member(Etcd::member_frozen, Who::Leader)
    }),
    ("the leader killed: kept with lease 9, else in time; a contender is answered 1", || {
        one_member(Etcd::member_killed, Who::Leader)
    }),
    ("the leader cut off: kept with lease 9, else in time; a contender is answered 1", || {
        one_member(Etcd::member_cut_off, Who::Leader)
    }),
    ("the leader cut off from the others alone: kept with lease 9, else in time; a contender is answered 1", || {
        one_member(Etcd::member_alone, Who::Leader)
    }),
    ("the clients cut off: the pipe ends before the lease, and the lock is free when that is over", clients_cut_off),
    ("the key deleted while a member is frozen: the pipe ends in time", || taken_away(delete)),
    ("the lease revoked while a member is frozen: the pipe ends in time", || taken_away(revoke)),
    ("a lease that etcd raises: renewed and given up by what was granted", raised),
    ("the holder killed: the lock is free when its lease is over, with the shortest lease too", killed_holder),
];

/// What etcd needs beyond the end of a lease: it looks for ended ones twice a second, and writes that down.
pub(crate) const NOTICE: Duration = Duration::from_millis(750);

const LEASES: [u64; 3] = [3, 4, 9];

/// How often the leader's faults are tried where there is time.
const RUNS: usize = 20;
/// Of these, with lease 4.
const RUNS_KEPT: usize = 19;

/// A member by what it is at that moment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Leader,
    Follower,
}

impl Who {
    fn find(self, etcd: &Etcd) -> anyhow::Result<usize> {
        match self {
            Self::Leader => etcd.leader(),
            Self::Follower => Ok(etcd.followers()?[0]),
        }
    }
}

/// A lock with its holder.
struct Held {
    lock: Lock,
    lease: u64,
    holder: Helper,
    key: Key,
}

impl Held {
    /// Told of this member first.
    fn new(lock: Lock, lease: u64, first: usize) -> anyhow::Result<Self> {
        let holder = starting_at(&lock, first, lease)?.start()?;
        holder.expect('0', ANSWER_LIMIT)?;
        let key = lock.line()?.into_iter().next().context("nobody holds the lock although a taker was answered 0")?;
        Ok(Self { lock, lease, holder, key })
    }

    fn all(lock: &Lock, first: usize) -> anyhow::Result<Vec<Self>> {
        LEASES.into_iter().map(|lease| Self::new(lock.another(), lease, first)).collect()
    }

    fn length(&self) -> Duration {
        Duration::from_secs(self.lease)
    }

    /// The key with which the lock was taken, whatever lease it goes with by now.
    fn is_first(&self, line: &[Key]) -> bool {
        line.first().is_some_and(|key| (&key.name, key.create_revision) == (&self.key.name, self.key.create_revision))
    }

    /// The pipe is open, and the lock is ours since the beginning.
    fn is_kept(&self) -> anyhow::Result<bool> {
        // In this order: what is gone when the pipe is seen to be open must not be.
        let line = self.lock.line()?;
        if !self.holder.pipe()?.is_silent() {
            return Ok(false);
        }
        ensure!(self.is_first(&line), "lease {}: the pipe is open, but etcd shows {line:?}", self.lease);
        Ok(true)
    }

    fn release(self) -> anyhow::Result<()> {
        self.holder.signal(Signal::TERM)?;
        self.holder.end(NOISE)?;
        self.lock.wait_free(GONE)?;
        self.holder.gone(GONE)?;
        let said = self.holder.stderr()?;
        ensure!(said.is_empty(), "the holder with lease {} said {said:?}", self.lease);
        Ok(())
    }
}

/// The helper about to be started, which asks this member first.
fn starting_at(lock: &Lock, first: usize, lease: u64) -> anyhow::Result<Launch> {
    let endpoints = [0, 1, 2].map(|next| lock.etcd.endpoint((first + next) % MEMBERS)).join(",");
    lock.helper(&[&lease.to_string(), "--endpoints", &endpoints])
}

/// The members count a keepalive as they get it, so the lease is known to end later than a lease after the last look that
/// did not show it.
fn frozen(lease: u64) -> anyhow::Result<()> {
    let length = Duration::from_secs(lease);
    let lock = Lock::alone()?;
    for _ in 0..5 {
        let lock = lock.another();
        let keepalives = || lock.etcd.received("LeaseKeepAlive");
        let before_all = keepalives()?;
        let holder = lock.holder(&[&lease.to_string()])?;
        let mut before = Instant::now();
        // The first renewal opens a stream, which takes two.
        let third = || {
            let start = Instant::now();
            if keepalives().ok()? >= before_all + 3 {
                return Some(());
            }
            before = start;
            None
        };
        wait_for("the second renewal", length, third)?;
        let fault = lock.etcd.all_frozen();
        let _frozen = fault.inject()?;
        // Seen late: the next renewal, a fifth of the lease after this one, may be through.
        if before.elapsed() > length / 8 {
            continue;
        }
        let ended = holder.end(length)?;
        let left =
            (before + length).checked_duration_since(ended).context("etcd's lease was over before the pipe ended")?;
        ensure!(left < length / 2, "the pipe ended {left:?} before the lease");
        return Ok(());
    }
    bail!("the machine is too slow to freeze the members right after a renewal")
}

fn without_quorum(fault: fn(&Etcd, usize) -> Fault<'_>, survivor: Who) -> anyhow::Result<()> {
    let lock = Lock::alone()?;
    let survivor = survivor.find(&lock.etcd)?;
    let all = Held::all(&lock, survivor)?;
    let fault = fault(&lock.etcd, survivor);
    let lasting = fault.inject()?;
    let start = Instant::now();
    for Held { holder, lease, .. } in &all {
        let left = Duration::from_secs(*lease).saturating_sub(start.elapsed());
        holder.end(left).with_context(|| format!("lease {lease}"))?;
    }
    lasting.heal()?;
    for Held { lock, lease, .. } in &all {
        // An election, which may begin every lease anew, and the rest of the lease.
        let limit = Duration::from_secs(*lease) + Duration::from_secs(5) + NOTICE;
        lock.wait_free(limit)?;
        lock.holder(&[&lease.to_string()])?;
    }
    Ok(())
}

fn one_member(fault: fn(&Etcd, usize) -> Fault<'_>, who: Who) -> anyhow::Result<()> {
    let lock = Lock::with(Setup { own_network: true, ..Setup::default() })?;
    let _inside = lock.etcd.enter()?;
    let runs = if is_slow() && who == Who::Leader { RUNS } else { 1 };
    // Three leases of 3 or 4 s, and longer than one of 9; or three of that.
    let lasts = Duration::from_secs(if is_slow() && who == Who::Follower { 27 } else { 12 });
    let mut kept = [0; LEASES.len()];
    for _ in 0..runs {
        lock.etcd.wait_healthy()?;
        let member = who.find(&lock.etcd)?;
        let outcome = one_fault(&lock, &fault(&lock.etcd, member), member, lasts)?;
        kept.iter_mut().zip(outcome).for_each(|(sum, kept)| *sum += usize::from(kept));
    }
    if is_slow() {
        println!("{}: kept with leases {LEASES:?}: {kept:?} of {runs}", fault(&lock.etcd, 0).name());
    }
    let wanted = match who {
        Who::Follower => [runs; 3],
        Who::Leader => [0, if runs == RUNS { RUNS_KEPT } else { 0 }, runs],
    };
    ensure!(
        kept.iter().zip(wanted).all(|(&kept, wanted)| kept >= wanted),
        "kept {kept:?} times of {runs}, not {wanted:?}"
    );
    Ok(())
}

/// Whether each lock was kept. One that was not has ended before the lease that it had when the fault came.
fn one_fault(lock: &Lock, fault: &Fault<'_>, member: usize, lasts: Duration) -> anyhow::Result<[bool; LEASES.len()]> {
    let all = Held::all(lock, member)?;
    let lasting = fault.inject()?;
    let start = Instant::now();
    let ends = ends_during(&all, || contend(&all, member, start, lasts))?;
    let mut kept = [false; LEASES.len()];
    for ((kept, held), ended) in kept.iter_mut().zip(&all).zip(ends) {
        match ended {
            None => *kept = held.is_kept()?,
            Some(ended) => {
                let after = ended - start;
                ensure!(after < held.length(), "lease {}: the pipe ended {after:?} after the fault", held.lease);
            }
        }
    }
    come_back(lock, all, &kept, lasting)?;
    Ok(kept)
}

/// The end of the fault. A member that went on without the others makes them elect anew, unless they have pre-vote (etcd
/// 3.5): with a short lease that may cost the lock, as when a leader fails. A leader that was frozen for longer than the
/// lease has it revoked before it knows of its successor, unless it asks first whether it leads (etcd 3.4.31, 3.5.13):
/// that must not cost it.
fn come_back(lock: &Lock, all: Vec<Held>, kept: &[bool], lasting: Injected<'_>) -> anyhow::Result<()> {
    let before = term(lock)?;
    let start = Instant::now();
    let back = || {
        lasting.heal()?;
        lock.etcd.wait_healthy()?;
        // The next renewal of each.
        std::thread::sleep(Duration::from_secs(9) / 5);
        Ok(())
    };
    let ends = ends_during(&all, back)?;
    let elected = term(lock)? != before;
    for ((held, ended), _) in all.into_iter().zip(ends).zip(kept).filter(|(_, kept)| **kept) {
        let Some(ended) = ended else {
            ensure!(held.is_kept()?, "lease {}: lost long after the member came back", held.lease);
            held.release()?;
            continue;
        };
        held.holder.gone(GONE)?;
        let (after, said) = (ended - start, held.holder.stderr()?);
        let what = format!("lease {}: the pipe ended {after:?} after the member came back: {said:?}", held.lease);
        ensure!(elected && held.lease < 9, "{what}");
    }
    Ok(())
}

/// Contenders of the longest lease: right after the fault, in the middle of an election, and later.
fn contend(all: &[Held], member: usize, start: Instant, lasts: Duration) -> anyhow::Result<()> {
    /// CTDB's limit for a probe.
    const PROBE: Duration = Duration::from_secs(5);
    const APART: Duration = Duration::from_secs(3);
    let Held { lock, lease, .. } = all.last().context("no lock")?;
    while start.elapsed() < lasts {
        let asked = Instant::now();
        let contender = starting_at(lock, member, *lease)?.start()?;
        contender.expect('1', PROBE).with_context(|| format!("a contender {:?} after the fault", asked - start))?;
        contender.gone(GONE)?;
        ensure!(contender.stderr()?.is_empty(), "the contender said {:?}", contender.stderr()?);
        std::thread::sleep(APART.saturating_sub(asked.elapsed()));
    }
    Ok(())
}

/// When each pipe ended in the time that `deed` takes.
fn ends_during(all: &[Held], deed: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Vec<Option<Instant>>> {
    let pipes: Vec<&Pipe> = all.iter().map(|held| held.holder.pipe()).collect::<Result<_, _>>()?;
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut ends = vec![None; pipes.len()];
            while !is_over.load(Ordering::Relaxed) {
                for (end, pipe) in ends.iter_mut().zip(&pipes).filter(|(end, pipe)| end.is_none() && !pipe.is_silent())
                {
                    *end = Some(pipe.end(Duration::ZERO)?);
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            anyhow::Ok(ends)
        });
        let done = deed();
        is_over.store(true, Ordering::Relaxed);
        let ends = watcher.join().map_err(|_| anyhow!("a thread panicked"))?;
        done.and(ends)
    })
}

fn term(lock: &Lock) -> anyhow::Result<u64> {
    lock.etcd.statuses()?.iter().map(|status| status.raft_term).max().context("no member is well")
}

fn clients_cut_off() -> anyhow::Result<()> {
    let lock = Lock::with(Setup { own_network: true, ..Setup::default() })?;
    let _inside = lock.etcd.enter()?;
    let all = Held::all(&lock, 0)?;
    let fault = lock.etcd.clients_cut_off();
    let _cut_off = fault.inject()?;
    let start = Instant::now();
    for held in &all {
        let lease = held.lease;
        held.holder.end(held.length().saturating_sub(start.elapsed())).with_context(|| format!("lease {lease}"))?;
        let line = held.lock.line()?;
        ensure!(held.is_first(&line), "lease {lease}: the pipe has ended, but etcd showed {line:?} by then");
    }
    for Held { lock, lease, .. } in &all {
        lock.wait_free((Duration::from_secs(*lease) + NOTICE + NOISE).saturating_sub(start.elapsed()))?;
    }
    Ok(())
}

fn delete(lock: &Lock, key: &Key) -> anyhow::Result<()> {
    lock.etcd.etcdctl(&["del", &key.name]).map(drop)
}

fn revoke(lock: &Lock, key: &Key) -> anyhow::Result<()> {
    lock.etcd.etcdctl(&["lease", "revoke", &format!("{:x}", key.lease)]).map(drop)
}

/// A follower, as an admin's command needs the leader at once too.
fn taken_away(take: fn(&Lock, &Key) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let lock = Lock::alone()?;
    let member = Who::Follower.find(&lock.etcd)?;
    let all = Held::all(&lock, member)?;
    let fault = lock.etcd.member_frozen(member);
    let _frozen = fault.inject()?;
    for Held { lock, lease, holder, key } in &all {
        // What is awaited is the end of a wait for this member, not of the next renewal.
        holder.pipe()?.stays_silent(Duration::from_secs(1))?;
        take(lock, key)?;
        let length = Duration::from_secs(*lease);
        holder.end(length / 5 + length / 4 + NOISE).with_context(|| format!("lease {lease}"))?;
        holder.gone(GONE)?;
        let line = holder.one_line()?;
        ensure!(line.contains(&lock.key), "the line does not name the lock: {line:?}");
        ensure!(!lock.is_held()?, "the lock was taken again");
    }
    Ok(())
}

fn killed_holder() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    for lease in [2, 3] {
        let lock = lock.another();
        let length = Duration::from_secs(lease);
        let holder = lock.holder(&[&lease.to_string()])?;
        holder.pipe()?.stays_silent(2 * length)?;
        let worker = holder.worker()?;
        // The worker first: it would release.
        worker.signal(Signal::KILL)?;
        holder.supervisor().signal(Signal::KILL)?;
        let killed = Instant::now();
        worker.wait_gone(GONE)?;
        ensure!(lock.is_held()?, "lease {lease}: free as soon as the holder was dead: it was not killed");
        lock.wait_free((length + NOTICE + NOISE).saturating_sub(killed.elapsed()))?;
        lock.holder(&[&lease.to_string()])?;
    }
    Ok(())
}

/// Two seconds asked for, and five granted.
fn raised() -> anyhow::Result<()> {
    const GRANTED: Duration = Duration::from_secs(5);
    let lock = Lock::with(Setup { election: Some(Duration::from_secs(3)), ..Setup::default() })?;
    let holder = lock.holder(&["2"])?;
    let before = lock.etcd.received("LeaseKeepAlive")?;
    holder.pipe()?.stays_silent(2 * GRANTED)?;
    let renewals = lock.etcd.received("LeaseKeepAlive")? - before;
    // One every fifth of it, and one more for the stream of the first.
    ensure!((8..=12).contains(&renewals), "{renewals} keepalives in two leases");
    let fault = lock.etcd.all_frozen();
    let _frozen = fault.inject()?;
    let start = Instant::now();
    holder.pipe()?.stays_silent(GRANTED / 2)?;
    holder.end(GRANTED.saturating_sub(start.elapsed())).map(drop)
}
