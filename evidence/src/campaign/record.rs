//! What campaigns came to, kept for each backend: `docs/evidence/campaign-BACKEND.json`. The page and the picture are drawn
//! from it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::belief::Belief;
use super::checker::{Hit, Verdict};
use super::event::Moment;
use super::tally::Tally;
use crate::circumstances::Circumstances;
use crate::record;

/// What is kept of one backend.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Record {
    /// Each subject's last measurement.
    pub subjects: Vec<Measurement>,
    /// A part of a run of ours, for the picture.
    pub stretch: Option<Stretch>,
}

/// The runs of one subject.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measurement {
    /// When, where and with what.
    pub circumstances: Circumstances,
    /// Each run.
    pub runs: Vec<Tally>,
    /// The commit of the checker, where it is another than that of the measurement.
    #[serde(default)]
    pub judged: Option<String>,
}

/// A part of a run, as it is drawn.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stretch {
    /// The store.
    pub backend: String,
    /// The run's seed.
    pub seed: u64,
    /// How many nodes there were.
    pub nodes: usize,
    /// Its first moment.
    pub from: Moment,
    /// Its last.
    pub until: Moment,
    /// All beliefs that are in it.
    pub beliefs: Vec<Belief>,
    /// All faults that are in it.
    pub hits: Vec<Hit>,
}

impl Record {
    /// What is kept of this backend; nothing where nothing is.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn load(backend: &str) -> anyhow::Result<Self> {
        Ok(record::find(&name(backend))?.unwrap_or_default())
    }

    /// Keeps it.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn save(&self, backend: &str) -> anyhow::Result<()> {
        record::save(&name(backend), self)
    }

    /// Puts a measurement in the place of the last one of its subject.
    pub fn replace(&mut self, measurement: Measurement) {
        let subject = |measurement: &Measurement| measurement.runs.first().map(|run| run.subject.clone());
        let new = subject(&measurement);
        self.subjects.retain(|old| subject(old) != new);
        self.subjects.push(measurement);
        self.subjects.sort_by_key(|measurement| rank(subject(measurement).as_deref()));
    }
}

impl Measurement {
    /// All its runs in one.
    #[must_use]
    pub fn sum(&self) -> Option<Tally> {
        let mut runs = self.runs.iter();
        let first = runs.next()?.clone();
        Some(runs.fold(first, Tally::with))
    }
}

/// How much of a run is drawn.
const LENGTH: Duration = Duration::from_secs(60);

impl Stretch {
    /// The stretch with the most that is worth seeing: ends of the pipe, each of another fault.
    #[must_use]
    pub fn of(tally: &Tally, verdict: &Verdict) -> Option<Self> {
        let length = LENGTH;
        let worth = |from: Moment| {
            let inside = |at: Moment| from <= at && at < from + length;
            let blamed = verdict.losses.iter().filter(|(at, _)| inside(*at)).filter_map(|(_, blamed)| *blamed);
            let mut kinds: Vec<&str> = blamed.map(|index| verdict.hits[index].kind.as_str()).collect();
            kinds.sort_unstable();
            kinds.dedup();
            kinds.len()
        };
        let last = verdict.hits.last()?.until;
        // It begins as a fault comes, but for a second.
        let starts = verdict.hits.iter().map(|hit| hit.from - Duration::from_secs(1));
        let from = starts.filter(|&from| from + length <= last).rev().max_by_key(|&from| worth(from))?;
        let until = from + length;
        Some(Self {
            backend: tally.backend.clone(),
            seed: tally.seed,
            nodes: tally.nodes,
            from,
            until,
            beliefs: verdict.beliefs.iter().filter(|one| one.until > from && one.from < until).cloned().collect(),
            hits: verdict.hits.iter().filter(|hit| hit.until > from && hit.from < until).cloned().collect(),
        })
    }
}

fn name(backend: &str) -> String {
    format!("campaign-{backend}")
}

/// Ours comes first.
fn rank(subject: Option<&str>) -> usize {
    use super::stage::Subject;
    Subject::ALL.iter().position(|one| Some(one.name()) == subject).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::kind::COMMON;
    use super::super::stage::{Subject, Table};
    use super::super::{backends, terms};
    use super::*;

    /// Seeds and nodes, of runs that came to their end.
    fn runs(measurement: &Measurement) -> BTreeSet<(u64, usize)> {
        let whole = |run: &&Tally| run.failed.is_none();
        measurement.runs.iter().filter(whole).map(|run| (run.seed, run.nodes)).collect()
    }

    /// What issue 8 asks of the evidence, of what is kept: whoever measures less, or finds a violation, sees it here.
    #[test]
    fn what_is_kept_is_enough_and_ours_kept_every_promise() {
        for (backend, _) in backends() {
            let record = Record::load(backend).unwrap();
            let of = |subject: Subject| {
                let is = |one: &&Measurement| one.runs.iter().any(|run| run.subject == subject.name());
                record.subjects.iter().find(is).unwrap_or_else(|| panic!("{backend}: nothing of {}", subject.name()))
            };
            let (ours, theirs) = (of(Subject::Ours), of(Subject::Distribution));
            let failed: Vec<_> = ours.runs.iter().filter_map(|run| run.failed.as_ref()).collect();
            assert!(failed.is_empty(), "{backend}: {failed:?}");
            let sum = ours.sum().unwrap();
            assert!(sum.is_kept(), "{backend}: a promise was broken");
            assert!(sum.faults() >= 1000, "{backend}: {} faults", sum.faults());
            let provoked = sum.losses() - sum.unprovoked;
            assert!(provoked >= 200, "{backend}: {provoked} ends of the pipe");
            let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
            for (name, counts) in &sum.kinds {
                // Of which some came beside another fault that matters.
                let kind = name.split_once(", with ").map_or(name.as_str(), |(kind, _)| kind);
                *kinds.entry(kind).or_default() += counts.faults;
            }
            for kind in COMMON.iter().chain(terms(backend).unwrap().kinds) {
                let faults = kinds.get(kind.name).copied().unwrap_or(0);
                assert!(faults >= 50, "{backend}: {}: {faults} faults", kind.name);
                if kind.table == Table::OwnTable {
                    assert!(sum.kinds[kind.name].noticed.count > 0, "{backend}: {}: nobody noticed", kind.name);
                }
            }
            assert_eq!(runs(ours), runs(theirs), "{backend}: other runs");
            assert_eq!(ours.circumstances.commit, theirs.circumstances.commit, "{backend}: another program");
            let caught = of(Subject::Unsafe).sum().unwrap().violations.count;
            assert!(caught > 0, "{backend}: the helper that is wrong on purpose was not caught");
            if backend == "rados" {
                assert!(theirs.sum().unwrap().violations.count > 0, "Samba's helper showed no violation");
            }
        }
    }
}
