//! What has happened so far, told by several at once: the run, and each parent through a pipe of its own.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::event::{Event, Moment, Said, What};

/// The events so far, and what they come to. Cloning it gives the same one.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    events: Vec<Event>,
    nodes: Vec<Live>,
}

/// What is known of a node now. It may be some milliseconds old.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// The helper that its parent runs.
    pub helper: Option<i32>,
    /// Whether that has answered `0`.
    pub holds: bool,
}

impl Log {
    /// Notes something that happens now.
    ///
    /// # Errors
    /// Where there is no clock.
    pub fn note(&self, what: What) -> anyhow::Result<()> {
        self.push(Event { at: Moment::now()?, what });
        Ok(())
    }

    /// Notes something that happened.
    pub fn push(&self, event: Event) {
        let mut state = self.state();
        match event.what {
            What::Parent { node, said } => {
                let live = state.live(node);
                match said {
                    Said::Started { helper } => *live = Live { helper: Some(helper), holds: false },
                    Said::Byte('0') => live.holds = live.helper.is_some(),
                    Said::Byte(_) | Said::End { .. } | Said::Terminates => *live = Live::default(),
                    Said::Extra(_) | Said::Still { .. } | Said::Failed => {}
                }
            }
            What::ParentEnds { node } => *state.live(node) = Live::default(),
            _ => {}
        }
        state.events.push(event);
    }

    /// A node as it is now.
    #[must_use]
    pub fn live(&self, node: usize) -> Live {
        *self.state().live(node)
    }

    /// All events, in the order of time.
    #[must_use]
    pub fn history(&self) -> Vec<Event> {
        let mut events = self.state().events.clone();
        events.sort_by_key(|event| event.at);
        events
    }

    /// Notes what a parent says until it says no more.
    pub fn listen(&self, parent: impl Read) {
        for line in BufReader::new(parent).lines() {
            let Ok(line) = line else { return };
            // A parent that was killed in the middle of a word.
            if let Ok(event) = serde_json::from_str(&line) {
                self.push(event);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn live(&mut self, node: usize) -> &mut Live {
        if self.nodes.len() <= node {
            self.nodes.resize(node + 1, Live::default());
        }
        &mut self.nodes[node]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::belief::tests::{ms, said};

    #[test]
    fn a_log_knows_who_holds_and_sorts_what_came_late() {
        let log = Log::default();
        log.push(said(5, 1, Said::Started { helper: 7 }));
        assert_eq!(log.live(1), Live { helper: Some(7), holds: false });
        log.push(said(6, 1, Said::Byte('0')));
        log.push(said(3, 0, Said::Byte('1')));
        assert_eq!((log.live(1).holds, log.live(0).holds), (true, false));
        assert_eq!(log.history()[0].at, ms(3));
        log.push(said(9, 1, Said::End { looked: ms(8) }));
        assert_eq!(log.live(1), Live::default());
    }

    #[test]
    fn what_a_killed_parent_did_not_finish_is_passed_over() {
        let log = Log::default();
        let line = serde_json::to_string(&said(5, 1, Said::Terminates)).unwrap();
        log.listen(format!("{line}\n{}", &line[..9]).as_bytes());
        assert_eq!(log.history(), [said(5, 1, Said::Terminates)]);
    }
}
