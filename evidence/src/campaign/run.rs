//! One campaign on one stage: the nodes, and the faults of the schedule, each when its time has come.
//!
//! One thread does everything, in short steps: faults come and go in the order of their times, so a step may not wait. What
//! a fault waits for (a holder, fewer others beside it) is looked at again in the next step.
//!
//! Two things are not combined, both here and nowhere else (`Run::may_hit`):
//!
//! - what is done to the processes of one node, one at a time. With both processes of a helper stopped, or one stopped and
//!   the other dead, nobody is left who could close the pipe: DESIGN counts that as a frozen host, and `node frozen` does
//!   it properly, parent and all. Faults of the store, of the network and of other nodes come in any combination.
//! - a fault with a table of its own, with any other. The schedule sees to that.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::checker::{Rules, check, holder_within};
use super::event::{Event, What};
use super::kind::COMMON;
use super::log::Log;
use super::node::{Node, Undo};
use super::schedule::{Act, Drawn, Plan, Schedule, Whom};
use super::stage::{Blow, Kind, NothingToHit, Stage, Subject, Table};
use super::subject;

/// The pause between two steps.
const STEP: Duration = Duration::from_millis(4);

/// How long a store may take to be well when no fault is left. Elections, a member that has to catch up.
const WELL_LIMIT: Duration = Duration::from_secs(60);

/// The pause between two questions whether it is.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// What a campaign is to do.
#[derive(Clone, Debug)]
pub struct Orders {
    /// Who is under trial.
    pub subject: Subject,
    /// The seed of the schedule and of the parents.
    pub seed: u64,
    /// When to stop.
    pub until: Until,
}

/// When a campaign stops: after so many rounds or faults, or at the first fault after so long.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// So many of each kind.
    Rounds(usize),
    /// So many faults.
    Faults(usize),
    /// So long.
    Elapsed(Duration),
    /// In a quiet after a violation, but at the latest after so long: for who is to be caught.
    Caught(Duration),
}

/// What a campaign saw.
#[derive(Clone, Debug)]
pub struct Seen {
    /// In the order of time.
    pub history: Vec<Event>,
    /// How long it took.
    pub took: Duration,
    /// Faults that found nobody to hit.
    pub missed: usize,
    /// What of the campaign itself failed and ended it early. What was seen until then is to be checked all the same.
    pub failed: Option<String>,
}

/// All kinds that a stage has, in the order of the schedule.
#[must_use]
pub fn kinds(stage: &dyn Stage) -> Vec<Kind> {
    COMMON.iter().chain(stage.terms().kinds).copied().collect()
}

/// A fault that is there.
struct Active<'a> {
    number: usize,
    until: Instant,
    /// It has a table of its own.
    own: bool,
    undo: Taken<'a>,
}

/// What takes it back.
enum Taken<'a> {
    Node(usize, Undo),
    Stage(Box<dyn FnOnce() -> anyhow::Result<()> + 'a>),
}

struct Run<'a> {
    stage: &'a dyn Stage,
    log: Log,
    nodes: Vec<Node<'a>>,
    active: Vec<Active<'a>>,
    /// When a fault came or went last.
    changed: Instant,
    /// Until when the last fault with a table of its own has to stay alone: the holder that it hit may still believe, and
    /// another fault would keep the truth from it.
    alone_until: Instant,
    missed: usize,
}

/// Runs one. Standard error of the helpers goes into files in `dir`. `None` where this backend has no such subject.
///
/// `progress` is told of every fault: how many there were so far.
///
/// # Errors
/// Where the nodes cannot be started. What fails later is in [`Seen::failed`]; that a promise is broken the checker finds.
pub fn run(
    stage: &dyn Stage,
    orders: &Orders,
    dir: &Path,
    progress: impl FnMut(usize),
) -> anyhow::Result<Option<Seen>> {
    let log = Log::default();
    let mut nodes = Vec::new();
    for number in 0..stage.nodes() {
        let Some(call) = subject::call(stage, orders.subject, number)? else { return Ok(None) };
        let seed = orders.seed.wrapping_mul(100).wrapping_add(u64::try_from(number)?);
        let stderr = dir.join(format!("node{number}.log"));
        nodes.push(Node::start(stage, number, call, seed, stderr, log.clone())?);
    }
    let plan = Plan {
        seed: orders.seed,
        kinds: kinds(stage),
        nodes: stage.nodes(),
        members: stage.members(),
        lease: stage.times().lease,
    };
    let start = Instant::now();
    let mut run = Run { stage, log, nodes, active: Vec::new(), changed: start, alone_until: start, missed: 0 };
    let mut result = run.all(orders.until, plan, start, progress);
    let Run { log, nodes, active, missed, .. } = run;
    // Before the parents let go.
    let (history, took) = (log.history(), start.elapsed());
    // Where it failed, a node may be frozen or a fault be there still: that it does not end in good order says nothing.
    drop(active);
    if result.is_ok() {
        let ended = nodes.into_iter().try_for_each(Node::end);
        if orders.subject == Subject::Ours {
            // The others promise nothing about that, and have been killed by now.
            result = ended;
        }
    }
    let failed = result.err().map(|error| format!("{error:#}"));
    Ok(Some(Seen { history, took, missed, failed }))
}

impl Run<'_> {
    /// All of the schedule.
    fn all(&mut self, until: Until, plan: Plan, start: Instant, mut progress: impl FnMut(usize)) -> anyhow::Result<()> {
        let in_a_round = plan.kinds.len();
        self.quiet()?;
        let mut count = 0;
        for act in Schedule::new(plan) {
            let over = match until {
                Until::Rounds(rounds) => count >= rounds * in_a_round,
                Until::Faults(faults) => count >= faults,
                Until::Elapsed(time) | Until::Caught(time) => start.elapsed() >= time,
            };
            if over {
                break;
            }
            match act {
                Act::Quiet => {
                    self.quiet()?;
                    if matches!(until, Until::Caught(_)) && self.is_caught() {
                        break;
                    }
                }
                Act::Fault(drawn) => {
                    self.fault(&drawn).with_context(|| format!("fault {}, {}", drawn.number, drawn.kind.name))?;
                    count += 1;
                    progress(count);
                }
            }
        }
        if !self.active.is_empty() || Instant::now() < self.alone_until {
            self.quiet()?;
        }
        Ok(())
    }

    /// Whether there has been a violation.
    fn is_caught(&self) -> bool {
        check(&self.log.history(), &Rules::of(&self.stage.terms())).violations().next().is_some()
    }

    /// Waits until its time has come, and injects it.
    fn fault(&mut self, drawn: &Drawn) -> anyhow::Result<()> {
        let lease = self.stage.times().lease;
        let (mut waited, mut again) = (None, Instant::now());
        loop {
            self.heal_due()?;
            let is_time = self.active.len() <= drawn.beside && self.changed.elapsed() >= drawn.pause;
            if is_time && Instant::now() >= again {
                // Others have no part in how long a holder is waited for.
                let since = *waited.get_or_insert_with(Instant::now);
                let patience = lease * 2;
                let came = match self.target(drawn, since.elapsed() > patience) {
                    Some(node) => self.inject(drawn, node)?,
                    None => false,
                };
                if came {
                    return Ok(());
                }
                // To look for one to hit may cost a question to the store, and faults that are over wait for it.
                again = Instant::now() + ASK_EVERY;
                if since.elapsed() > patience * 2 {
                    self.missed += 1;
                    return Ok(());
                }
            }
            std::thread::sleep(STEP);
        }
    }

    /// Whom it hits; `None` where that is not known yet.
    fn target(&self, drawn: &Drawn, impatient: bool) -> Option<usize> {
        let all = self.nodes.len();
        let holder = (0..all).find(|&node| self.nodes[node].holds() && self.may_hit(drawn, node));
        let from = match drawn.whom {
            Whom::Holder if holder.is_some() => return holder,
            Whom::Holder if !impatient => return None,
            Whom::Holder => usize::try_from(drawn.dice % 64).unwrap_or(0),
            Whom::Node(node) => node,
        };
        (from..from + all).map(|node| node % all).find(|&node| self.may_hit(drawn, node))
    }

    /// Whether a fault may come to a node now: see the head of this file.
    fn may_hit(&self, drawn: &Drawn, node: usize) -> bool {
        !is_common(&drawn.kind) || !self.nodes[node].busy
    }

    /// Whether it came: there may be nothing to do it to.
    fn inject(&mut self, drawn: &Drawn, node: usize) -> anyhow::Result<bool> {
        let (number, kind) = (drawn.number, drawn.kind);
        if is_common(&kind) && needs_helper(&kind) && !self.nodes[node].has_helper() {
            return Ok(false);
        }
        let blow = Blow { kind, node, member: drawn.member, dice: drawn.dice, lasts: drawn.lasts };
        if kind.table == Table::OwnTable && !self.is_there_a_lock(&blow) {
            return Ok(false);
        }
        let whom = if is_common(&kind) { format!("node {node}") } else { self.stage.whom(&blow) };
        let hits = if is_common(&kind) { Some(node) } else { self.stage.hits(&blow) };
        self.log.note(What::Injecting { fault: number, kind: kind.name.to_owned(), node: hits, whom })?;
        let undo = if is_common(&kind) {
            let Some(undo) = self.nodes[node].hit(&kind)? else {
                self.log.note(What::Missed { fault: number })?;
                return Ok(false);
            };
            self.nodes[node].busy = true;
            Taken::Node(node, undo)
        } else {
            match self.stage.fault(&blow)?.begin() {
                Err(error) if error.is::<NothingToHit>() => {
                    self.log.note(What::Missed { fault: number })?;
                    return Ok(false);
                }
                heal => Taken::Stage(heal?),
            }
        };
        self.log.note(What::Injected { fault: number })?;
        let own = kind.table.is_own();
        self.active.push(Active { number, until: Instant::now() + drawn.lasts, own, undo });
        self.has_changed(own);
        Ok(true)
    }

    /// Whether there is a lock, as far as is known, that a fault can take from its holder. A store may not say that it had
    /// none to take.
    fn is_there_a_lock(&self, blow: &Blow) -> bool {
        match self.stage.hits(blow) {
            Some(node) => self.nodes[node].holds(),
            None => self.nodes.iter().any(Node::holds),
        }
    }

    /// A fault came or went. The checker counts what begins within a lease of either as its own.
    fn has_changed(&mut self, own: bool) {
        self.changed = Instant::now();
        if own {
            self.alone_until = self.changed + self.stage.times().lease;
        }
    }

    fn heal_due(&mut self) -> anyhow::Result<()> {
        let now = Instant::now();
        while let Some(due) = self.active.iter().position(|active| active.until <= now) {
            let Active { number, own, undo, .. } = self.active.remove(due);
            self.log.note(What::Healing { fault: number })?;
            match undo {
                Taken::Node(node, undo) => {
                    self.nodes[node].undo(undo)?;
                    self.nodes[node].busy = false;
                }
                Taken::Stage(heal) => heal()?,
            }
            self.log.note(What::Healed { fault: number })?;
            self.has_changed(own);
        }
        Ok(())
    }

    /// Waits until all faults are gone and the store is well, and then for a holder, but not for ever.
    fn quiet(&mut self) -> anyhow::Result<()> {
        while !self.active.is_empty() || Instant::now() < self.alone_until {
            self.heal_due()?;
            std::thread::sleep(STEP);
        }
        let start = Instant::now();
        while !self.stage.is_healthy() {
            ensure!(start.elapsed() < WELL_LIMIT, "no fault is left, and the store is not well after {WELL_LIMIT:?}");
            std::thread::sleep(ASK_EVERY);
        }
        self.log.note(What::Healthy)?;
        let times = self.stage.times();
        let limit = holder_within(&times);
        let start = Instant::now();
        while !self.nodes.iter().any(Node::holds) && start.elapsed() < limit {
            std::thread::sleep(STEP);
        }
        self.log.note(What::QuietEnds)?;
        self.changed = Instant::now();
        Ok(())
    }
}

fn is_common(kind: &Kind) -> bool {
    COMMON.iter().any(|common| common.name == kind.name)
}

/// Whether a fault of this kind is done to a helper's process.
fn needs_helper(kind: &Kind) -> bool {
    use super::kind::{SUPERVISOR_FROZEN, SUPERVISOR_KILLED, TERMINATED, WORKER_FROZEN, WORKER_KILLED};
    let such = [SUPERVISOR_FROZEN, SUPERVISOR_KILLED, WORKER_FROZEN, WORKER_KILLED, TERMINATED];
    such.iter().any(|one| one.name == kind.name)
}
