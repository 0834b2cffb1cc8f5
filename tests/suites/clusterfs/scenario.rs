//! A fault while the lock is held on node 0's mount and wanted on node 1's.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use libtest_mimic::Trial;
use mutex_tests::fault::Fault;
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::services::cluster_fs::ClusterFs;
use rustix::process::Signal;

use crate::outcome::Outcome;
use crate::party::Party;
use crate::table::Table;
use crate::{GONE, LOCK_TYPES, NOISE, helper, new_directory, trial};

/// The nodes with the holder, with the takers, and with who looks whether the lock is held.
pub(crate) const HOLDER: usize = 0;
pub(crate) const TAKER: usize = 1;
const LOOKER: usize = 2;

/// After the end of a fault everything is settled within this: the slowest is a mount that TCP has to bring back.
const SETTLED: Duration = Duration::from_secs(45);

/// How often the pipes are looked at: short beside every time the promises name.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What the helper says when it has not been answered.
const SILENCE: &str = "answered in time";

/// A taker waits as long as a trial may last.
const PATIENCE_SECONDS: &str = "600";

/// A fault and what becomes of the lock in it.
pub(crate) struct Scenario<F> {
    /// What happens: the name in the table.
    pub(crate) fault: &'static str,
    /// A file system for it.
    pub(crate) start: fn() -> anyhow::Result<F>,
    /// Does it. May take as long as it needs.
    pub(crate) inject: for<'a> fn(&'a F) -> anyhow::Result<Fault<'a>>,
    /// From then on until it is taken back.
    pub(crate) lasts: Duration,
    /// The helper's times.
    pub(crate) timing: Timing,
    /// The lock types for which this holds; each has a file of its own.
    pub(crate) lock_types: &'static [&'static str],
    /// Whether nobody else touches the file before the fault is there. Else others try all the time, as CTDB's nodes do
    /// after an election, and a client that may keep what it knows of the file is asked for it back.
    pub(crate) quiet: bool,
    pub(crate) outcome: Outcome,
    /// Whether it takes too long for CI.
    pub(crate) slow: bool,
}

/// A fault long enough for every helper with fast times to have given up.
pub(crate) const LONG: Duration = Duration::from_secs(6);

/// RECHECK-SECONDS and PING-TIMEOUT-SECONDS.
#[derive(Clone, Copy)]
pub(crate) struct Timing {
    pub(crate) recheck: u64,
    pub(crate) ping_timeout: u64,
}

/// What the fault has come to.
enum Stage {
    There(Instant),
    Ending(Instant),
    Gone(Instant),
}

/// When the fault was there, was about to be taken back, and was gone.
#[derive(Clone, Copy, Default)]
struct Course {
    injected: Option<Instant>,
    until: Option<Instant>,
    healed: Option<Instant>,
}

/// When what happened, from just before the fault.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    /// The end of the holder's pipe.
    pub(crate) ended: Option<Duration>,
    /// Another's `0`.
    pub(crate) taken: Option<Duration>,
    /// The fault was there.
    pub(crate) injected: Duration,
    /// From then on the fault was taken back.
    pub(crate) until: Duration,
}

impl Timing {
    /// Fast, as in most trials.
    pub(crate) const FAST: Self = Self { recheck: 1, ping_timeout: 2 };
    /// With patience for the restart of a server.
    pub(crate) const PATIENT: Self = Self { recheck: 1, ping_timeout: 10 };

    /// A hung file system: the pipe has ended so long after the last good proof (P2c).
    pub(crate) fn hung(self) -> Duration {
        Duration::from_secs(self.recheck + self.ping_timeout)
    }

    /// A loss that the file system reports: so long after it.
    pub(crate) fn reported(self) -> Duration {
        Duration::from_secs(self.recheck + 1)
    }

    /// A stall that costs nothing (P3).
    pub(crate) fn stall(self) -> Duration {
        Duration::from_secs(self.ping_timeout - 1)
    }
}

impl Measured {
    /// How long CTDB could have seen two holders; `None` where it could not.
    pub(crate) fn overlap(&self) -> Option<Duration> {
        self.ended?.checked_sub(self.taken?).filter(|overlap| !overlap.is_zero())
    }
}

impl<F: ClusterFs + 'static> Scenario<F> {
    /// As it is for most.
    pub(crate) fn new(
        fault: &'static str,
        start: fn() -> anyhow::Result<F>,
        inject: for<'a> fn(&'a F) -> anyhow::Result<Fault<'a>>,
        lasts: Duration,
        outcome: Outcome,
    ) -> Self {
        let (timing, lock_types) = (Timing::FAST, &LOCK_TYPES[..]);
        Self { fault, start, inject, lasts, timing, lock_types, quiet: false, outcome, slow: false }
    }

    /// With a helper that has patience for the restart of a server.
    pub(crate) fn patient(self) -> Self {
        Self { timing: Timing::PATIENT, ..self }
    }

    /// Too long for CI.
    pub(crate) fn slow(self) -> Self {
        Self { slow: true, ..self }
    }

    /// Its trial; `None` where there is no time for it. The table has a row for it anyway.
    pub(crate) fn trial(self, system: &'static str, table: &Arc<Table>) -> Option<Trial> {
        let table = Arc::clone(table);
        table.expect(system, self.fault, self.outcome);
        let name = format!("{system}: {}: the lock is {}", self.fault, self.outcome.words());
        let now = !self.slow || std::env::var_os("SLOW").is_some();
        let run = move || {
            let measured = self.run()?;
            table.note(system, self.fault, self.timing, measured);
            Ok(())
        };
        now.then(|| trial(name, run))
    }

    fn run(&self) -> anyhow::Result<Vec<(&'static str, Measured)>> {
        let fs = (self.start)().context("start the file system")?;
        let dir = new_directory(&fs)?;
        let file = |node: usize, lock_type: &str| fs.mount_point(node).join(&dir).join(lock_type);
        let mut holders = Vec::new();
        let mut workers = Vec::new();
        for lock_type in self.lock_types {
            let holder = self.holder(&file(HOLDER, lock_type), lock_type)?;
            workers.push(holder.helper.worker()?);
            holders.push(holder);
        }
        for (lock_type, holder) in self.lock_types.iter().zip(&mut holders) {
            self.ensure_held(&file(LOOKER, lock_type), lock_type, holder).context("before the fault")?;
        }
        let new_takers = || -> anyhow::Result<Vec<Party>> {
            self.lock_types.iter().map(|lock_type| self.taker(&file(TAKER, lock_type), lock_type)).collect()
        };
        let mut takers = if self.quiet { Vec::new() } else { new_takers()? };

        for holder in &mut holders {
            holder.look()?;
            ensure!(holder.end.is_none(), "a holder gave up before the fault: {:?}", holder.helper.stderr()?);
        }
        let start = Instant::now();
        let course = std::thread::scope(|scope| {
            let (tell, told) = channel();
            scope.spawn(|| self.come_and_go(&fs, tell));
            let mut course = Course::default();
            loop {
                match told.try_recv() {
                    Ok(Ok(Stage::There(at))) => {
                        course.injected = Some(at);
                        if self.quiet {
                            takers = new_takers()?;
                        }
                    }
                    Ok(Ok(Stage::Ending(at))) => course.until = Some(at),
                    Ok(Ok(Stage::Gone(at))) => course.healed = Some(at),
                    Ok(Err(error)) => return Err(error),
                    Err(TryRecvError::Disconnected) if course.healed.is_none() => bail!("the fault's thread is gone"),
                    Err(_) => {}
                }
                holders.iter_mut().chain(&mut takers).try_for_each(Party::look)?;
                if let Some(healed) = course.healed {
                    let settled =
                        |(holder, taker)| self.outcome.is_settled(holder, taker, healed.elapsed(), self.timing);
                    if holders.iter().zip(&takers).all(settled) {
                        return Ok(course);
                    }
                }
                let since = course.healed.map_or_else(|| start.elapsed().saturating_sub(self.lasts), |at| at.elapsed());
                if since > SETTLED {
                    bail!("not settled after {since:?}: {:?}", self.measured(start, course, &holders, &takers));
                }
                std::thread::sleep(LOOK_EVERY);
            }
        })?;

        let measured = self.measured(start, course, &holders, &takers);
        for (lock_type, times) in &measured {
            self.outcome.check(times, self.timing).with_context(|| format!("{lock_type}, {times:?}"))?;
        }
        for (lock_type, (holder, taker)) in self.lock_types.iter().zip(holders.iter_mut().zip(&mut takers)) {
            if holder.end.is_some() {
                // Whatever the file system does.
                holder.helper.gone(GONE).with_context(|| format!("{lock_type}: the holder"))?;
                let said = holder.helper.stderr()?;
                ensure!(
                    !self.outcome.is_told() || !said.contains(SILENCE),
                    "{lock_type}: a loss taken for silence: {said}"
                );
            }
            let file = file(LOOKER, lock_type);
            if self.outcome == Outcome::PassedOn {
                self.ensure_told(&file, lock_type, taker).context("after the fault")?;
                continue;
            }
            // A second lock, or none, would be answered `0`.
            let owner = if self.outcome.is_free() { taker } else { holder };
            self.ensure_held(&file, lock_type, owner).context("after the fault")?;
        }
        if self.outcome == Outcome::Hangs {
            // They were in calls that have their answers now.
            workers.iter().try_for_each(|worker| worker.wait_gone(GONE).map(drop)).context("a holder's worker")?;
        }
        if self.outcome.is_free() {
            takers.iter().try_for_each(|taker| taker.helper.signal(Signal::TERM))?;
            takers.iter().try_for_each(|taker| taker.helper.gone(GONE).map(drop))?;
        }
        Ok(measured)
    }

    /// The fault, from its beginning to its end.
    fn come_and_go(&self, fs: &F, tell: Sender<anyhow::Result<Stage>>) {
        let outcome = (|| {
            let fault = (self.inject)(fs)?;
            let injected = fault.inject()?;
            let _ = tell.send(Ok(Stage::There(Instant::now())));
            // How long it lasts is what the trial is about.
            std::thread::sleep(self.lasts);
            let _ = tell.send(Ok(Stage::Ending(Instant::now())));
            injected.heal()
        })();
        // Nobody listens any more where the trial has failed meanwhile.
        let _ = tell.send(outcome.map(|()| Stage::Gone(Instant::now())));
    }

    fn holder(&self, file: &Path, lock_type: &str) -> anyhow::Result<Party> {
        let Timing { recheck, ping_timeout } = self.timing;
        let mut holder = Party::new(helper(file, lock_type, recheck, ping_timeout)?.start()?);
        holder.wait_held(ANSWER_LIMIT).with_context(|| format!("take the free lock, {lock_type}"))?;
        Ok(holder)
    }

    fn taker(&self, file: &Path, lock_type: &str) -> anyhow::Result<Party> {
        let Timing { recheck, ping_timeout } = self.timing;
        let patience = ["--wait-seconds", PATIENCE_SECONDS, "--acquire-timeout-seconds", PATIENCE_SECONDS];
        Ok(Party::new(helper(file, lock_type, recheck, ping_timeout)?.args(&patience).start()?))
    }

    /// A third node's try is answered `1`. Should it not be, there are two holders, unless the one who should have the lock
    /// has given it up: on a machine that is too busy a proof can be late.
    fn ensure_held(&self, file: &Path, lock_type: &str, owner: &mut Party) -> anyhow::Result<()> {
        let status = helper(file, lock_type, 1, 2)?.start()?.status(SETTLED)?;
        if status != '1' {
            owner.look()?;
            let said = owner.helper.stderr()?;
            let has = if owner.end.is_some() { "has given it up" } else { "has it still" };
            bail!("{lock_type}: a third node's try was answered {status}, not 1, and who had the lock {has}: {said:?}");
        }
        Ok(())
    }

    /// A third node's try is answered `1`, or the owner is told in time that it has lost the lock.
    fn ensure_told(&self, file: &Path, lock_type: &str, owner: &mut Party) -> anyhow::Result<()> {
        let next = helper(file, lock_type, 1, 2)?.start()?;
        if next.status(SETTLED)? == '1' {
            return Ok(());
        }
        owner.look()?;
        if owner.end.is_none() {
            owner
                .helper
                .end(self.timing.reported() + NOISE)
                .with_context(|| format!("{lock_type}: the second loss"))?;
        }
        Ok(())
    }

    fn measured(
        &self,
        start: Instant,
        course: Course,
        holders: &[Party],
        takers: &[Party],
    ) -> Vec<(&'static str, Measured)> {
        let since = |at: Instant| at.saturating_duration_since(start);
        let stage = |at: Option<Instant>| at.map(since).unwrap_or_default();
        let both = holders.iter().zip(takers);
        let times = both.map(|(holder, taker)| Measured {
            ended: holder.end.map(since),
            taken: taker.byte.map(since),
            injected: stage(course.injected),
            until: stage(course.until),
        });
        self.lock_types.iter().copied().zip(times).collect()
    }
}
