//! Requests without an answer: nothing of a try is left behind (P6).

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use mutex_tests::fault::Fault;
use mutex_tests::process::helper::Helper;
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::services::etcd::{Etcd, MEMBERS};
use mutex_tests::wait::wait_for;
use rustix::process::Signal;

use crate::faults::NOTICE;
use crate::lock::Lock;
use crate::relay::{GRANT, Held, PUT, Relay};
use crate::{Case, GONE, NOISE};

pub(crate) const CASES: &[Case] = &[
    ("a try cancelled with its grant or its put unanswered: all is undone as soon as etcd answers", || {
        unanswered(Held::Answers, End::Cancelled)
    }),
    ("a try cancelled with its grant or its put on the way: all is undone as soon as they arrive", || {
        unanswered(Held::Requests, End::Cancelled)
    }),
    ("a try timed out with its grant or its put unanswered: all is undone as soon as etcd answers", || {
        unanswered(Held::Answers, End::TimedOut)
    }),
    ("a try timed out with its grant or its put on the way: all is undone as soon as they arrive", || {
        unanswered(Held::Requests, End::TimedOut)
    }),
    ("a try whose worker is killed with its grant or its put unanswered is over within its lease", || {
        unanswered(Held::Answers, End::Killed)
    }),
    ("a try whose worker is killed with its grant or its put on the way is over within its lease", || {
        unanswered(Held::Requests, End::Killed)
    }),
    ("a try answered late: its grant or its put is on the way for a second, and then it has the lock", late),
    ("tries cancelled after all members were frozen: nothing is left soon after the thaw", || {
        crowd(|etcd| Ok(etcd.all_frozen()))
    }),
    ("tries cancelled after the leader was frozen: nothing is left soon after the thaw", || {
        crowd(|etcd| Ok(etcd.member_frozen(etcd.leader()?)))
    }),
    ("tries cancelled after the quorum was frozen: nothing is left soon after the thaw", || {
        crowd(|etcd| Ok(etcd.quorum_frozen(etcd.leader()?)))
    }),
];

const LEASE: Duration = Duration::from_secs(4);
const LEASE_ARGUMENT: &str = "4";

/// What ends a try that has no answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Cancelled,
    TimedOut,
    /// Nobody is left to undo it.
    Killed,
}

/// A try whose only way leads through a relay.
struct Try {
    lock: Lock,
    relay: Relay,
    taker: Helper,
}

impl Try {
    fn start(lock: Lock, held: Held, request: usize, options: &[&str]) -> anyhow::Result<Self> {
        let relay = Relay::new(&lock.etcd, 0, held, request)?;
        let endpoint = relay.endpoint();
        let options = [&[LEASE_ARGUMENT, "--endpoints", &endpoint], options].concat();
        let taker = lock.helper(&options)?.start()?;
        relay.wait_reached(ANSWER_LIMIT)?;
        Ok(Self { lock, relay, taker })
    }
}

fn unanswered(held: Held, end: End) -> anyhow::Result<()> {
    let lock = Lock::alone()?;
    let options: &[&str] = if end == End::TimedOut { &["--acquire-timeout-seconds", "1"] } else { &[] };
    let start = |request| Try::start(lock.another(), held, request, options);
    let tries: Vec<Try> = [GRANT, PUT].into_iter().map(start).collect::<Result<_, _>>()?;
    if held == Held::Answers {
        // Else it would not be shown that there is something to undo.
        let there = || lock.etcd.leases().is_ok_and(|all| all.len() == tries.len()).then_some(());
        wait_for("the leases of both tries", ANSWER_LIMIT, there)?;
        wait_for("the key of the second", ANSWER_LIMIT, || {
            tries[1].lock.is_held().is_ok_and(|held| held).then_some(())
        })?;
    }
    for Try { taker, .. } in &tries {
        let worker = taker.worker()?;
        match end {
            End::Cancelled => taker.signal(Signal::TERM)?,
            End::Killed => worker.signal(Signal::KILL)?,
            End::TimedOut => taker.expect('2', Duration::from_secs(1) + GONE)?,
        }
        taker.gone(GONE)?;
    }
    let open = Instant::now();
    tries.iter().for_each(|attempt| attempt.relay.open());
    let limit = match end {
        End::Killed => LEASE + NOTICE + NOISE,
        End::Cancelled | End::TimedOut => GONE,
    };
    nothing_left(&lock, limit, open)?;
    if held == Held::Requests {
        // That nothing comes of what was on the way longest, only time can show.
        std::thread::sleep(GONE);
        nothing_left(&lock, Duration::ZERO, Instant::now())?;
    }
    tries.iter().try_for_each(|attempt| attempt.lock.holder(&[LEASE_ARGUMENT]).map(drop))
}

/// No lease, and so no key, in a cluster of which nobody else has any.
fn nothing_left(lock: &Lock, limit: Duration, since: Instant) -> anyhow::Result<()> {
    let nothing = || lock.etcd.leases().is_ok_and(|leases| leases.is_empty()).then_some(());
    wait_for("no lease to be left", limit.saturating_sub(since.elapsed()), nothing).map(drop)
}

fn late() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    for request in [GRANT, PUT] {
        for held in [Held::Answers, Held::Requests] {
            let Try { lock, relay, taker } = Try::start(lock.another(), held, request, &[])?;
            // Longer than one call may take.
            taker.pipe()?.stays_silent(LEASE / 4 + NOISE)?;
            relay.open();
            taker.expect('0', ANSWER_LIMIT)?;
            taker.pipe()?.stays_silent(LEASE / 4)?;
            ensure!(lock.line()?.len() == 1, "in line: {:?}", lock.line()?);
            taker.signal(Signal::TERM)?;
            taker.gone(GONE)?;
            lock.wait_free(GONE)?;
        }
    }
    Ok(())
}

/// Takers that are as far as they happen to be.
fn crowd(fault: fn(&Etcd) -> anyhow::Result<Fault<'_>>) -> anyhow::Result<()> {
    /// With so many seconds nothing ends by itself soon after the thaw.
    const LEASE: u64 = 9;
    /// Their starts take this machine longer than a try: when the first has been answered, others are in the midst of it.
    const TAKERS: usize = 40;
    let lock = Lock::alone()?;
    let fault = fault(&lock.etcd)?;
    let leader = lock.etcd.leader()?;
    let leader_first = [0, 1, 2].map(|next| lock.etcd.endpoint((leader + next) % MEMBERS)).join(",");
    let locks: Vec<Lock> = (0..TAKERS).map(|_| lock.another()).collect();
    let mut takers = Vec::new();
    for lock in &locks {
        takers.push(lock.helper(&[&LEASE.to_string(), "--endpoints", &leader_first])?.start()?);
    }
    let first = takers.first().context("no taker")?;
    first.expect('0', ANSWER_LIMIT)?;
    let frozen = fault.inject()?;
    for taker in &takers {
        taker.signal(Signal::TERM)?;
    }
    for taker in &takers {
        taker.gone(GONE)?;
    }
    frozen.heal()?;
    let thaw = Instant::now();
    lock.etcd.wait_healthy()?;
    // An election, and one more request of each.
    nothing_left(&lock, Duration::from_secs(LEASE) / 2, thaw)?;
    Ok(())
}
