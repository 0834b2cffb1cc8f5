//! Which faults come, in which order, how long they last and whom they are for: a pure function of the seed.
//!
//! Rounds of all kinds, each round in an order of its own: so every kind comes as often as any other. What is left to the
//! run is who the holder is at that moment, and to wait until somebody holds: a subject with a slower failover gets the
//! same faults, later.

use std::time::Duration;

use super::dice::Dice;
use super::stage::{Kind, Span};

/// A fault of the schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// Its number, from 0.
    pub number: usize,
    /// Its kind.
    pub kind: Kind,
    /// Whom it is for.
    pub whom: Whom,
    /// How many others may be there when it comes. It waits for that.
    pub beside: usize,
    /// The pause before it comes, once that is so.
    pub pause: Duration,
    /// How long it lasts.
    pub lasts: Duration,
    /// A member, whatever is meant by it.
    pub member: usize,
    /// What else is to be drawn.
    pub dice: u64,
}

/// Whom a fault is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// The node that holds. Waits for one; what hits no node waits for it too.
    Holder,
    /// This node, whatever it does.
    Node(usize),
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// A fault.
    Fault(Drawn),
    /// All faults end, the store gets well, and somebody takes the lock.
    Quiet,
}

/// What a schedule is drawn for.
#[derive(Clone, Debug)]
pub struct Plan {
    /// From which everything follows.
    pub seed: u64,
    /// All kinds.
    pub kinds: Vec<Kind>,
    /// How many nodes.
    pub nodes: usize,
    /// How many members.
    pub members: usize,
    /// L.
    pub lease: Duration,
}

/// The number of faults after which there is a quiet at the latest, so that liveness is looked at often.
const STRETCH: usize = 12;

/// An endless schedule.
#[derive(Clone, Debug)]
pub struct Schedule {
    plan: Plan,
    dice: Dice,
    /// The rest of the round, the next one last.
    round: Vec<Kind>,
    /// Already decided.
    next: Vec<Act>,
    number: usize,
    since_quiet: usize,
}

impl Schedule {
    /// The schedule of a plan.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let dice = Dice::new(plan.seed, 0);
        Self { plan, dice, round: Vec::new(), next: Vec::new(), number: 0, since_quiet: 0 }
    }

    fn draw(&mut self, kind: Kind) -> Drawn {
        let Plan { nodes, members, lease, .. } = self.plan;
        let dice = &mut self.dice;
        let node = dice.below(nodes);
        // Most while somebody holds: what happens to nobody's lock shows nothing.
        let whom = if kind.table.is_own() || dice.percent(80) { Whom::Holder } else { Whom::Node(node) };
        let beside = match dice.below(100) {
            0..25 => 0,
            25..60 => 1,
            60..85 => 2,
            _ => 3,
        };
        let pause = dice.between(lease / 20, lease / 2);
        let part = |dice: &mut Dice, from: u32, to: u32| dice.between(lease * from / 100, lease * to / 100);
        let lasts = match kind.span {
            Span::HalfLease => part(dice, 35, 65),
            Span::Lease => part(dice, 80, 130),
            Span::Mixed if dice.percent(35) => part(dice, 10, 70),
            Span::Mixed => part(dice, 90, 200),
            Span::Moment => part(dice, 10, 70),
        };
        let (member, bits) = (dice.below(members), dice.number());
        let number = self.number;
        self.number += 1;
        Drawn { number, kind, whom, beside, pause, lasts, member, dice: bits }
    }
}

impl Iterator for Schedule {
    type Item = Act;

    fn next(&mut self) -> Option<Act> {
        if let Some(act) = self.next.pop() {
            return Some(act);
        }
        if self.round.is_empty() {
            self.round.clone_from(&self.plan.kinds);
            self.dice.shuffle(&mut self.round);
        }
        let kind = self.round.pop()?;
        let drawn = self.draw(kind);
        if kind.table.is_own() {
            // Alone: what is measured then is its own.
            self.next.extend([Act::Quiet, Act::Fault(drawn)]);
            self.since_quiet = 0;
            return Some(Act::Quiet);
        }
        self.since_quiet += 1;
        if self.since_quiet == STRETCH {
            self.since_quiet = 0;
            self.next.push(Act::Quiet);
        }
        Some(Act::Fault(drawn))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::kind::{COMMON, own_table};

    fn plan(seed: u64) -> Plan {
        let mut kinds = COMMON.to_vec();
        kinds.push(own_table("lock broken", Span::Moment));
        Plan { seed, kinds, nodes: 5, members: 3, lease: Duration::from_secs(3) }
    }

    fn faults(acts: &[Act]) -> Vec<&Drawn> {
        acts.iter().filter_map(|act| if let Act::Fault(drawn) = act { Some(drawn) } else { None }).collect()
    }

    #[test]
    fn a_seed_has_one_schedule_and_another_another() {
        let acts = |seed| Schedule::new(plan(seed)).take(500).collect::<Vec<_>>();
        assert_eq!(acts(1), acts(1));
        assert_ne!(acts(1), acts(2));
    }

    #[test]
    fn every_kind_comes_once_a_round() {
        let acts: Vec<Act> = Schedule::new(plan(4)).take(200).collect();
        let kinds = plan(4).kinds.len();
        for round in faults(&acts).chunks_exact(kinds) {
            let mut names: Vec<&str> = round.iter().map(|drawn| drawn.kind.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), kinds);
        }
        let numbers: Vec<usize> = faults(&acts).iter().map(|drawn| drawn.number).collect();
        assert_eq!(numbers, (0..numbers.len()).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_measured_comes_alone() {
        let acts: Vec<Act> = Schedule::new(plan(9)).take(300).collect();
        let own = |act: &Act| matches!(act, Act::Fault(drawn) if drawn.kind.table.is_own());
        let mut found = 0;
        for three in acts.windows(3).filter(|three| own(&three[1])) {
            assert_eq!((&three[0], &three[2]), (&Act::Quiet, &Act::Quiet));
            found += 1;
        }
        assert!(found > 10, "{found}");
    }

    #[test]
    fn there_is_quiet_often_enough_to_look_at_liveness() {
        let acts: Vec<Act> = Schedule::new(plan(2)).take(300).collect();
        let longest = acts.split(|act| *act == Act::Quiet).map(<[Act]>::len).max();
        assert!(longest <= Some(STRETCH), "{longest:?}");
    }

    #[test]
    fn most_faults_are_for_the_holder_and_all_are_within_their_bounds() {
        let acts: Vec<Act> = Schedule::new(plan(5)).take(1000).collect();
        let faults = faults(&acts);
        let holders = faults.iter().filter(|drawn| drawn.whom == Whom::Holder).count();
        assert!(holders * 100 > faults.len() * 70 && holders < faults.len(), "{holders} of {}", faults.len());
        let lease = plan(5).lease;
        assert!(faults.iter().all(|drawn| drawn.lasts >= lease / 10 && drawn.lasts < lease * 2 && drawn.member < 3));
        assert!(faults.iter().any(|drawn| drawn.beside == 3 && drawn.lasts > lease));
    }
}
