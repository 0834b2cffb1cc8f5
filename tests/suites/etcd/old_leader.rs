//! A leader that was frozen and does not know yet that it no longer is one (P2a).
//!
//! It answers the keepalives that have come meanwhile, though its successor knows nothing of them and lets the lease run
//! out (FACTS B3). The helpers are told of this member alone. It does not hear of the others when it resumes, and is frozen
//! again before it gives up for want of followers.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use mutex_tests::process::helper::Helper;
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::services::etcd::Setup;
use mutex_tests::services::etcd::accounts::PREFIX;

use crate::lock::Lock;
use crate::{Case, GONE};

pub(crate) const CASES: &[Case] =
    &[("the leader frozen for 8 s, resumed for a moment: its answers keep no pipe open beyond etcd's lease", resumed)];

/// Its last renewal is still good after the freeze of 8 s, and the lease in the successor has some seconds left then.
const LEASE: Duration = Duration::from_secs(12);
const FREEZE: Duration = Duration::from_secs(8);

/// For so long it is resumed: it answers what has come meanwhile, and does not wait in vain for a whole election timeout.
const RESUMED: Duration = Duration::from_millis(300);

/// Each asks at another moment.
const HOLDERS: usize = 12;

fn resumed() -> anyhow::Result<()> {
    let lock = Lock::with(Setup { own_network: true, ..Setup::default() })?;
    let _inside = lock.etcd.enter()?;
    let leader = lock.etcd.leader()?;
    let mut all: Vec<(String, Option<Helper>)> = Vec::new();
    for _ in 0..HOLDERS {
        let lock = lock.another();
        let lease = LEASE.as_secs().to_string();
        let holder = lock.helper(&[&lease, "--endpoints", lock.etcd.endpoint(leader)])?.start()?;
        holder.expect('0', ANSWER_LIMIT)?;
        let key = lock.line()?.into_iter().next().context("nobody holds the lock although a taker was answered 0")?;
        all.push((key.name, Some(holder)));
    }
    let (freeze, separate) = (lock.etcd.member_frozen(leader), lock.etcd.member_alone(leader));
    let frozen = freeze.inject()?;
    let start = Instant::now();
    let _separated = separate.inject()?;
    ensure!(lock.etcd.leader()? != leader, "there is no successor");
    std::thread::sleep(FREEZE.saturating_sub(start.elapsed()));
    let early = all.iter().filter(|(_, holder)| holder.as_ref().is_some_and(|holder| !is_silent(holder))).count();
    ensure!(early == 0, "{early} pipes have ended before the leader resumed");
    frozen.heal()?;
    std::thread::sleep(RESUMED);
    let _frozen = freeze.inject()?;

    let limit = start.elapsed() + LEASE;
    while all.iter().any(|(_, holder)| holder.is_some()) {
        let keys = lock.etcd.holders(PREFIX.trim_end_matches('/'))?;
        for (name, held) in &mut all {
            let Some(holder) = held else { continue };
            // In this order: what is gone when the pipe is seen to be open must not be.
            let is_there = keys.iter().any(|key| key.name == *name);
            if is_silent(holder) {
                ensure!(is_there, "{name}: gone {:?} after the freeze, and the pipe is open", start.elapsed());
            } else {
                holder.end(Duration::ZERO)?;
                *held = None;
            }
        }
        ensure!(start.elapsed() < limit + GONE, "a pipe is open {limit:?} after the freeze");
    }
    Ok(())
}

fn is_silent(holder: &Helper) -> bool {
    holder.pipe().is_ok_and(|pipe| pipe.is_silent())
}
