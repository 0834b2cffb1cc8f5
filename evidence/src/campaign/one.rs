//! One run from its orders to its numbers: stage, campaign, checker; and what is kept and said where a promise was broken.

use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use mutex_tests::process::programs;

use super::NewStage;
use super::checker::{Overlap, Rules, Verdict, check};
use super::event::Event;
use super::run::{Orders, Seen, run};
use super::stage::Subject;
use super::tally::Tally;

/// What to do.
#[derive(Clone)]
pub struct Job {
    /// The name of the backend.
    pub backend: &'static str,
    /// Its stage.
    pub new_stage: NewStage,
    /// How many nodes.
    pub nodes: usize,
    /// The rest.
    pub orders: Orders,
}

/// What came of it.
pub struct Done {
    /// The numbers.
    pub tally: Tally,
    /// The whole verdict.
    pub verdict: Verdict,
    /// What was broken, for people; empty where nothing was, and for who is not ours.
    pub complaint: String,
}

impl Job {
    /// Does it. `None` where the backend has no such subject. One that fails is told of in its numbers, with what it saw
    /// until then, so that no run vanishes from the record.
    ///
    /// # Errors
    /// Where what was seen cannot be kept.
    pub fn run(&self, progress: impl FnMut(usize)) -> anyhow::Result<Option<Done>> {
        let Self { backend, orders, .. } = self;
        let place = empty_place(&format!("{backend}-{}-{}", orders.subject.name(), orders.seed))?;
        match self.run_in(&place, progress) {
            Ok(done) => Ok(done),
            Err(error) => {
                let tally = Tally::failed(self.about(), &error);
                let complaint = failed(&tally);
                Ok(Some(Done { tally, verdict: Verdict::default(), complaint }))
            }
        }
    }

    fn about(&self) -> (&str, &str, u64, usize) {
        (self.backend, self.orders.subject.name(), self.orders.seed, self.nodes)
    }

    fn run_in(&self, place: &Path, progress: impl FnMut(usize)) -> anyhow::Result<Option<Done>> {
        let stage = (self.new_stage)(self.nodes).context("set up the stage")?;
        let Some(seen) = run(stage.as_ref(), &self.orders, place, progress)? else { return Ok(None) };
        let rules = Rules::of(&stage.terms());
        drop(stage);
        // Of all runs: a better checker can look at them again.
        keep(place, &seen)?;
        let verdict = check(&seen.history, &rules);
        let tally = Tally::of(self.about(), &seen, &verdict, &rules);
        let mut complaint = failed(&tally);
        if self.orders.subject == Subject::Ours && !tally.is_kept() {
            complaint += &complain(&tally, &seen, &verdict, rules.times.lease)?;
            writeln!(complaint, "All events, and what the helpers said: {}", place.display())?;
        }
        Ok(Some(Done { tally, verdict, complaint }))
    }
}

/// A directory in `target/campaign` for a run's events and its helpers' words, with nothing of an older run in it.
fn empty_place(name: &str) -> anyhow::Result<PathBuf> {
    let place = programs::target_dir()?.join("campaign").join(name);
    match fs::remove_dir_all(&place) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).context("remove an older run's files"),
        _ => {}
    }
    fs::create_dir_all(&place).with_context(|| format!("make {}", place.display()))?;
    Ok(place)
}

/// Keeps the events.
fn keep(place: &Path, seen: &Seen) -> anyhow::Result<()> {
    let mut events = String::new();
    for event in &seen.history {
        writeln!(events, "{}", serde_json::to_string(event)?)?;
    }
    fs::write(place.join("events.jsonl"), events).context("keep the events")
}

/// A failed run in a line; nothing for others.
fn failed(tally: &Tally) -> String {
    let Tally { backend, subject, seed, .. } = tally;
    tally
        .failed
        .as_ref()
        .map_or_else(String::new, |error| format!("FAILED: {backend}, {subject}, seed {seed}: {error}\n"))
}

/// The most that are shown in full.
const SHOWN: usize = 5;

fn complain(tally: &Tally, seen: &Seen, verdict: &Verdict, lease: Duration) -> anyhow::Result<String> {
    let Tally { backend, subject, seed, nodes, without_holder, .. } = tally;
    let mut text = format!("{backend}, {subject}, seed {seed}, {nodes} nodes:\n");
    for overlap in verdict.violations().take(SHOWN) {
        let [one, other] = overlap.nodes;
        writeln!(text, "VIOLATION: nodes {one} and {other} both believed for {:?}:", overlap.length())?;
        text.push_str(&timeline(&seen.history, overlap, lease));
    }
    let more = tally.violations.count.saturating_sub(SHOWN);
    if more > 0 {
        writeln!(text, "and {more} more violations")?;
    }
    if *without_holder > 0 {
        writeln!(
            text,
            "NO HOLDER in {without_holder} of {} quiets, for up to {:.1} s",
            tally.quiets.count, tally.quiets.longest
        )?;
    }
    for (kind, counts) in &tally.kinds {
        if let Some((longest, bound)) = counts.too_long() {
            writeln!(text, "TOO LONG: {kind}: believed for {longest:.3} s, not {bound:.3} s at most")?;
        }
    }
    Ok(text)
}

/// What happened around an overlap. The tries of others are left out: they are most of all.
fn timeline(history: &[Event], overlap: &Overlap, lease: Duration) -> String {
    use super::event::{Said, What};
    let (from, until) = (overlap.from - lease * 2, overlap.until + Duration::from_millis(500));
    let idle = |what: &What| {
        let tries = matches!(what, What::Parent { said: Said::Started { .. } | Said::Byte('1'), .. });
        tries && what.node().is_some_and(|node| !overlap.nodes.contains(&node))
    };
    let shown = history.iter().filter(|event| from <= event.at && event.at <= until && !idle(&event.what));
    let line = |Event { at, what }: &Event| {
        let mark = if overlap.from <= *at && *at <= overlap.until { '*' } else { ' ' };
        format!("{mark} {:>8.3} s  {what}\n", at.since(from).as_secs_f64())
    };
    shown.map(line).collect()
}
