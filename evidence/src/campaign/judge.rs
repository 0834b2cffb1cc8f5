//! Kept runs, judged anew: their events stay in `target/campaign`, so that a better checker need not wait for another two hours.

use std::fs;
use std::time::Duration;

use anyhow::{Context, ensure};
use mutex_tests::process::programs;

use super::checker::{Rules, Verdict, check};
use super::event::Event;
use super::record::{Measurement, Record, Stretch};
use super::run::Seen;
use super::tally::Tally;
use super::{backends, terms};
use crate::circumstances::commit;

/// Judges the runs of these backends and subjects that are in the records, and keeps the new numbers.
///
/// # Errors
/// Where their events are not there, or are those of other runs.
pub fn again(wanted: impl Fn(&str, &str) -> bool) -> anyhow::Result<()> {
    for (backend, _) in backends() {
        let mut record = Record::load(backend)?;
        let rules = Rules::of(&terms(backend).with_context(|| format!("nothing is known of {backend}"))?);
        for measurement in &mut record.subjects {
            let subject = measurement.runs.first().map(|run| run.subject.clone()).unwrap_or_default();
            if !wanted(backend, &subject) {
                continue;
            }
            let judged: Vec<(Tally, Verdict)> =
                measurement.runs.iter().map(|run| one(run, &rules)).collect::<anyhow::Result<_>>()?;
            if subject == super::stage::Subject::Ours.name() {
                let stretch = judged.iter().find_map(|(tally, verdict)| Stretch::of(tally, verdict));
                record.stretch = stretch.or(record.stretch);
            }
            *measurement = Measurement {
                circumstances: measurement.circumstances.clone(),
                runs: judged.into_iter().map(|(tally, _)| tally).collect(),
                judged: Some(commit()?),
            };
        }
        record.save(backend)?;
    }
    Ok(())
}

/// The numbers of a run, from its events.
fn one(run: &Tally, rules: &Rules) -> anyhow::Result<(Tally, Verdict)> {
    let Tally { backend, subject, seed, nodes, seconds, missed, failed, .. } = run;
    let path =
        programs::target_dir()?.join("campaign").join(format!("{backend}-{subject}-{seed}")).join("events.jsonl");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let events = text.lines().map(serde_json::from_str::<Event>).collect::<Result<Vec<_>, _>>();
    let history = events.with_context(|| format!("understand {}", path.display()))?;
    let seen = Seen { history, took: Duration::from_secs_f64(*seconds), missed: *missed, failed: failed.clone() };
    let verdict = check(&seen.history, rules);
    let tally = Tally::of((backend, subject, *seed, *nodes), &seen, &verdict, rules);
    let is_same = (tally.faults(), tally.locks) == (run.faults(), run.locks);
    ensure!(is_same, "{} is not of the run in the record", path.display());
    Ok((tally, verdict))
}
