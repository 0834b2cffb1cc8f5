//! Who believed when: the events of the parents, read as intervals.
//!
//! A node believes from reading `0` until it reads the end of the pipe, or is about to send SIGTERM, or is killed; not
//! while its parent was stopped, and after that not before the parent has looked at the pipe again and found it open. Only
//! a stop that the campaign made is taken off: a parent that the machine was too busy to run believed all the same.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::event::{Event, Moment, Said, What};

/// A time in which a node believed without a break.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Belief {
    /// Whose it is.
    pub node: usize,
    /// Its lock, counted over all nodes: a lock has several beliefs where its parent was stopped in between.
    pub lock: usize,
    /// From here.
    pub from: Moment,
    /// Until here.
    pub until: Moment,
    /// What ended it.
    pub ended: Ended,
    /// The whole node was stopped while it believed, and went on at this time, before this belief: it is of before the
    /// stop.
    pub thawed: Option<Moment>,
}

/// What ends a belief.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    /// The end of the pipe: the lock is lost.
    Lost,
    /// The parent gave it back.
    Released,
    /// The parent was killed.
    Killed,
    /// The parent was stopped.
    Stopped,
    /// The campaign.
    Over,
}

/// What is known of a node at a point of its history.
#[derive(Default)]
struct Node {
    /// Its parent was killed, and there is no new one yet.
    dead: bool,
    /// The belief that lasts, with its beginning.
    believes: Option<Moment>,
    lock: Option<usize>,
    stopped: Option<Stop>,
    /// Stops that are over, since its helper was started or the parent was seen to know of them.
    over: Vec<Stop>,
    thawed: Option<Moment>,
}

#[derive(Clone, Copy)]
struct Stop {
    from: Moment,
    until: Option<Moment>,
    whole_node: bool,
}

/// All beliefs of a history, which is in the order of time; ordered by their beginnings.
#[must_use]
pub fn beliefs(history: &[Event]) -> Vec<Belief> {
    let mut nodes: BTreeMap<usize, Node> = BTreeMap::new();
    let mut all = Vec::new();
    let mut locks = 0;
    for Event { at, what } in history {
        let (at, number) = (*at, what.node());
        let Some(number) = number else { continue };
        let node = nodes.entry(number).or_default();
        let mut end = |node: &mut Node, until: Moment, ended: Ended| {
            if let (Some(from), Some(lock)) = (node.believes.take(), node.lock) {
                all.push(Belief { node: number, lock, from, until: until.max(from), ended, thawed: node.thawed });
            }
        };
        match what {
            What::Parent { .. } if node.dead => {}
            What::Parent { said: Said::Started { .. }, .. } => {
                (node.lock, node.thawed) = (None, None);
                node.over.clear();
            }
            What::Parent { said: Said::Byte('0'), .. } if node.lock.is_none() => {
                node.believes = Some(at);
                node.lock = Some(locks);
                locks += 1;
            }
            What::Parent { said: Said::Still { looked }, .. } if node.lock.is_some() => {
                if let Some(stop) = node.stop_between(*looked, at) {
                    end(node, stop.from.max(*looked), Ended::Stopped);
                    node.thawed = stop.until.filter(|_| stop.whole_node);
                    node.believes = Some(at);
                }
            }
            What::Parent { said: Said::End { looked }, .. } => {
                // Not seen any more after a stop: what it believed ended when it was stopped.
                let until = node.stop_between(*looked, at).map_or(at, |stop| stop.from.max(*looked));
                end(node, until, Ended::Lost);
                node.lock = None;
            }
            What::Parent { said: Said::Terminates, .. } => {
                end(node, at, Ended::Released);
                node.lock = None;
            }
            What::ParentEnds { .. } => {
                let until = node.stopped.map_or(at, |stop| stop.from);
                end(node, until, Ended::Killed);
                *node = Node { dead: true, ..Node::default() };
            }
            What::ParentBegins { .. } => node.dead = false,
            What::ParentStopped { whole_node, .. } => {
                node.stopped = Some(Stop { from: at, until: None, whole_node: *whole_node });
            }
            What::ParentGoesOn { .. } => {
                if let Some(mut stop) = node.stopped.take() {
                    stop.until = Some(at);
                    node.over.push(stop);
                }
            }
            _ => {}
        }
    }
    let over = history.last().map_or(Moment(0), |event| event.at);
    for (number, node) in nodes {
        if let (Some(from), Some(lock)) = (node.believes, node.lock) {
            let until = node.stopped.map_or(over, |stop| stop.from).max(from);
            all.push(Belief { node: number, lock, from, until, ended: Ended::Over, thawed: node.thawed });
        }
    }
    all.sort_by_key(|belief| (belief.from, belief.node));
    all
}

impl Node {
    /// The stop of a parent that looked at the first of these times, and not again before the second; from the beginning
    /// of the first until the end of the last, where there are several.
    fn stop_between(&mut self, looked: Moment, looks: Moment) -> Option<Stop> {
        let within = |stop: &Stop| stop.from < looks && stop.until.is_some_and(|until| until > looked);
        let found: Vec<Stop> = self.over.drain(..).filter(within).collect();
        let (first, last) = (found.first()?, found.last()?);
        Some(Stop { from: first.from, ..*last })
    }
}

impl What {
    /// The node that this is about.
    #[must_use]
    pub fn node(&self) -> Option<usize> {
        match *self {
            Self::Parent { node, .. }
            | Self::ParentBegins { node }
            | Self::ParentEnds { node }
            | Self::ParentStopped { node, .. }
            | Self::ParentGoesOn { node } => Some(node),
            _ => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Events with times in milliseconds.
    pub(crate) fn said(at: u64, node: usize, said: Said) -> Event {
        event(at, What::Parent { node, said })
    }

    pub(crate) fn event(at: u64, what: What) -> Event {
        Event { at: ms(at), what }
    }

    pub(crate) fn ms(at: u64) -> Moment {
        Moment(at * 1_000_000)
    }

    pub(crate) fn stopped(at: u64, node: usize, whole_node: bool) -> Event {
        event(at, What::ParentStopped { node, whole_node })
    }

    pub(crate) fn goes_on(at: u64, node: usize) -> Event {
        event(at, What::ParentGoesOn { node })
    }

    const STARTED: Said = Said::Started { helper: 1 };

    fn spans(history: &[Event]) -> Vec<(usize, u64, u64, Ended)> {
        let span =
            |Belief { node, from, until, ended, .. }: Belief| (node, from.0 / 1_000_000, until.0 / 1_000_000, ended);
        beliefs(history).into_iter().map(span).collect()
    }

    #[test]
    fn a_belief_is_from_the_byte_to_the_end_or_the_signal() {
        let history = [
            said(1, 0, STARTED),
            said(5, 0, Said::Byte('0')),
            said(9, 0, Said::Terminates),
            said(10, 1, STARTED),
            said(11, 1, Said::Byte('1')),
            said(20, 1, STARTED),
            said(21, 1, Said::Byte('0')),
            said(40, 1, Said::End { looked: ms(39) }),
            said(41, 2, STARTED),
            said(42, 2, Said::Terminates),
            said(43, 2, STARTED),
            said(44, 2, Said::End { looked: ms(43) }),
        ];
        assert_eq!(spans(&history), [(0, 5, 9, Ended::Released), (1, 21, 40, Ended::Lost)]);
    }

    #[test]
    fn a_stopped_parent_believes_nothing_until_it_has_looked() {
        let history = [
            said(1, 0, STARTED),
            said(5, 0, Said::Byte('0')),
            stopped(100, 0, false),
            goes_on(900, 0),
            said(903, 0, Said::Still { looked: ms(99) }),
            said(950, 0, Said::Terminates),
        ];
        assert_eq!(spans(&history), [(0, 5, 100, Ended::Stopped), (0, 903, 950, Ended::Released)]);
        assert!(beliefs(&history).iter().all(|belief| belief.thawed.is_none() && belief.lock == 0));
    }

    #[test]
    fn an_end_that_is_seen_after_a_stop_ended_the_belief_at_the_stop() {
        let history = [
            said(1, 0, STARTED),
            said(5, 0, Said::Byte('0')),
            stopped(100, 0, false),
            goes_on(900, 0),
            said(902, 0, Said::End { looked: ms(99) }),
        ];
        assert_eq!(spans(&history), [(0, 5, 100, Ended::Lost)]);
    }

    #[test]
    fn a_busy_machine_is_no_excuse() {
        let history = [
            said(1, 0, STARTED),
            said(5, 0, Said::Byte('0')),
            said(903, 0, Said::Still { looked: ms(99) }),
            said(2000, 0, Said::End { looked: ms(1000) }),
        ];
        assert_eq!(spans(&history), [(0, 5, 2000, Ended::Lost)]);
    }

    #[test]
    fn a_stop_counts_once_and_only_where_it_was() {
        let history = [
            said(1, 0, STARTED),
            said(5, 0, Said::Byte('0')),
            stopped(100, 0, false),
            goes_on(200, 0),
            said(201, 0, Said::Still { looked: ms(99) }),
            // Busy, later.
            said(500, 0, Said::Still { looked: ms(210) }),
            said(700, 0, Said::End { looked: ms(510) }),
        ];
        assert_eq!(spans(&history), [(0, 5, 100, Ended::Stopped), (0, 201, 700, Ended::Lost)]);
    }

    #[test]
    fn two_stops_between_two_looks_are_one() {
        let history = [
            said(1, 0, STARTED),
            said(5, 0, Said::Byte('0')),
            stopped(100, 0, false),
            goes_on(200, 0),
            stopped(201, 0, false),
            goes_on(300, 0),
            said(301, 0, Said::End { looked: ms(99) }),
        ];
        assert_eq!(spans(&history), [(0, 5, 100, Ended::Lost)]);
    }

    #[test]
    fn a_stop_too_short_to_be_noticed_changes_nothing() {
        let history = [
            said(1, 0, STARTED),
            said(5, 0, Said::Byte('0')),
            stopped(100, 0, false),
            goes_on(110, 0),
            said(700, 0, Said::End { looked: ms(690) }),
        ];
        assert_eq!(spans(&history), [(0, 5, 700, Ended::Lost)]);
    }

    #[test]
    fn a_killed_parent_believes_no_more_and_a_stopped_one_not_since_its_stop() {
        let killed = |at| event(at, What::ParentEnds { node: 0 });
        let history = [
            said(1, 0, STARTED),
            said(5, 0, Said::Byte('0')),
            killed(50),
            // Between that and the kill: nobody acts on it any more.
            said(50, 0, Said::Terminates),
            said(51, 0, STARTED),
            said(52, 0, Said::Byte('0')),
            event(55, What::ParentBegins { node: 0 }),
            said(60, 0, STARTED),
            said(65, 0, Said::Byte('0')),
            stopped(80, 0, false),
            killed(90),
        ];
        assert_eq!(spans(&history), [(0, 5, 50, Ended::Killed), (0, 65, 80, Ended::Killed)]);
    }

    #[test]
    fn a_node_that_was_stopped_whole_is_known_by_it_afterwards() {
        let history = [
            said(1, 0, STARTED),
            said(5, 0, Said::Byte('0')),
            stopped(100, 0, true),
            goes_on(900, 0),
            said(901, 0, Said::Still { looked: ms(99) }),
            said(905, 0, Said::End { looked: ms(902) }),
            said(906, 0, STARTED),
            said(910, 0, Said::Byte('0')),
            said(911, 0, Said::Terminates),
        ];
        let thawed: Vec<_> = beliefs(&history).into_iter().map(|belief| belief.thawed).collect();
        assert_eq!(thawed, [None, Some(ms(900)), None]);
    }

    #[test]
    fn a_byte_that_is_first_read_after_a_thaw_is_no_belief_of_before_it() {
        let history = [
            said(1, 0, STARTED),
            stopped(2, 0, true),
            goes_on(900, 0),
            said(901, 0, Said::Byte('0')),
            said(905, 0, Said::Terminates),
            said(1000, 0, STARTED),
            said(1001, 0, Said::Byte('0')),
        ];
        let thawed: Vec<_> = beliefs(&history).into_iter().map(|belief| (belief.thawed, belief.ended)).collect();
        assert_eq!(thawed, [(None, Ended::Released), (None, Ended::Over)]);
    }

    #[test]
    fn bytes_after_the_first_are_nothing() {
        let history = [
            said(1, 0, STARTED),
            said(5, 0, Said::Byte('0')),
            said(6, 0, Said::Byte('0')),
            said(9, 0, Said::Terminates),
        ];
        assert_eq!(spans(&history), [(0, 5, 9, Ended::Released)]);
    }
}
