//! Runs every proof of the model and looks for every counterexample, and writes down what it found.

use std::fmt::Write;

use anyhow::{Context, ensure};
use mutex_evidence::circumstances::Circumstances;
use mutex_evidence::{page, record};
use mutex_model::cases::{self, Counterexample};
use mutex_model::check::{find, prove};
use nix::sys::resource::{UsageWho, getrusage};
use serde::Serialize;

/// What is kept.
#[derive(Serialize)]
struct Record {
    circumstances: Circumstances,
    proofs: Vec<Proof>,
    mutations: Vec<Found>,
    beyond: Vec<Found>,
}

/// A proof that holds.
#[derive(Serialize)]
struct Proof {
    name: &'static str,
    states: usize,
    steps: usize,
    seconds: f64,
}

/// A counterexample that was found.
#[derive(Serialize)]
struct Found {
    name: &'static str,
    breaks: &'static str,
    states: usize,
    run: Vec<String>,
}

fn main() -> anyhow::Result<()> {
    let record = Record {
        circumstances: Circumstances::now("make model", &[])?,
        proofs: cases::proofs().into_iter().map(proof).collect::<anyhow::Result<_>>()?,
        mutations: cases::mutations().into_iter().map(found).collect::<anyhow::Result<_>>()?,
        beyond: cases::beyond().into_iter().map(found).collect::<anyhow::Result<_>>()?,
    };
    record::save("model", &record)?;
    page::write("model", &text(&record)?)
}

fn proof(proof: cases::Proof) -> anyhow::Result<Proof> {
    let start = cpu_seconds()?;
    let outcome = prove(proof.helper);
    ensure!(outcome.broken.is_empty(), "{}: broken: {:?}", proof.name, outcome.broken);
    ensure!(outcome.unreached.is_empty(), "{}: never reached: {:?}", proof.name, outcome.unreached);
    let seconds = ((cpu_seconds()? - start) * 10.0).round() / 10.0;
    Ok(Proof { name: proof.name, states: outcome.states, steps: outcome.steps, seconds })
}

/// What this process has had of the processors: the same on a busy machine and on an idle one.
fn cpu_seconds() -> anyhow::Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).context("ask for the time used")?;
    let times = [usage.user_time(), usage.system_time()];
    Ok(times.iter().map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6).sum())
}

fn found(row: Counterexample) -> anyhow::Result<Found> {
    let outcome = find(row.helper, row.breaks);
    let run = outcome.broken.iter().find(|(property, _)| *property == row.breaks);
    let (_, run) = run.with_context(|| format!("{}: not found in {} states", row.name, outcome.states))?;
    let run = run.iter().map(|action| format!("{action:?}")).collect();
    Ok(Found { name: row.name, breaks: row.breaks, states: outcome.states, run })
}

fn text(record: &Record) -> anyhow::Result<String> {
    let mut text = format!("{}.\n\n", record.circumstances.line());
    writeln!(text, "| proven: every property, in every state | states | longest way | seconds of a core |")?;
    writeln!(text, "|---|---:|---:|---:|")?;
    for Proof { name, states, steps, seconds } in &record.proofs {
        writeln!(text, "| {name} | {states} | {steps} steps | {seconds:.1} |")?;
    }
    for (head, rows) in [("rule broken", &record.mutations), ("worse than promised for", &record.beyond)] {
        writeln!(text, "\n| {head} | breaks | found after |\n|---|---|---:|")?;
        for Found { name, breaks, states, run } in rows {
            writeln!(text, "| {name} | {breaks} | {} steps, {states} states |", run.len())?;
        }
    }
    Ok(text)
}
