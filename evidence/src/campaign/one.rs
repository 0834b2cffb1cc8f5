//! One run from its orders to its numbers: stage, campaign, checker; and what is kept and said where a promise was broken.

use std::fmt::Write as _;
use std::fs;
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
    /// Does it. `None` where the backend has no such subject.
    ///
    /// # Errors
    /// Where something of the campaign itself fails.
    pub fn run(&self, progress: impl FnMut(usize)) -> anyhow::Result<Option<Done>> {
        let Self { backend, new_stage, nodes, orders } = self;
        let (subject, seed) = (orders.subject.name(), orders.seed);
        let about = || format!("{backend}, {subject}, seed {seed}");
        let stage = new_stage(*nodes).with_context(|| format!("{}: set up the stage", about()))?;
        let dir = tempfile::tempdir().context("make a directory for what helpers say")?;
        let Some(seen) = run(stage.as_ref(), orders, dir.path(), progress).with_context(about)? else {
            return Ok(None);
        };
        let rules = Rules::of(stage.as_ref());
        drop(stage);
        let verdict = check(&seen.history, &rules);
        let tally = Tally::of((backend, subject, seed, *nodes), &seen, &verdict, &rules);
        let mut complaint = String::new();
        if orders.subject == Subject::Ours && !tally.is_kept() {
            let kept = keep(&format!("{backend}-{subject}-{seed}"), &seen, dir.path())?;
            complaint = complain(&tally, &seen, &verdict, rules.times.lease)?;
            writeln!(complaint, "All events, and what the helpers said: {}", kept.display())?;
        }
        Ok(Some(Done { tally, verdict, complaint }))
    }
}

/// Keeps the events and the helpers' words in `target/campaign`.
fn keep(name: &str, seen: &Seen, said: &Path) -> anyhow::Result<PathBuf> {
    let place = programs::target_dir()?.join("campaign").join(name);
    fs::create_dir_all(&place).with_context(|| format!("make {}", place.display()))?;
    let mut events = String::new();
    for event in &seen.history {
        writeln!(events, "{}", serde_json::to_string(event)?)?;
    }
    fs::write(place.join("events.jsonl"), events).context("keep the events")?;
    for file in fs::read_dir(said)?.flatten() {
        fs::copy(file.path(), place.join(file.file_name())).context("keep what helpers said")?;
    }
    Ok(place)
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
        if let Some(bound) = counts.bound.filter(|&bound| counts.promised && counts.overlaps.longest > bound) {
            writeln!(
                text,
                "TOO LONG: {kind}: both believed for {:.3} s, not {bound:.3} s at most",
                counts.overlaps.longest
            )?;
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
