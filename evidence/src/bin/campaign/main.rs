//! The campaign: see `mutex_evidence::campaign`. `make campaign` is the whole of it, CI runs a short one.
//!
//!     campaign [--backend etcd,rados,file] [--subject ours,distribution,unsafe] [--seed N] [--runs N]
//!         [--rounds N | --faults N | --seconds N] [--nodes 3..9] [--side-by-side N] [--record]
//!     campaign [--backend etcd,rados,file] [--subject ours,distribution,unsafe] --judge
//!     campaign --redraw
//!
//! Of rounds the unsafe one has one at most, which is enough to catch it.
//!
//! Exit code 0: ours kept every promise, and the unsafe one was caught where it ran. With `--record` what was measured is
//! kept in `docs/evidence`, and written into `docs/EVIDENCE.md` with a picture.

use std::collections::VecDeque;
use std::io::{Write, stdout};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Parser;
use mutex_evidence::campaign::one::{Done, Job};
use mutex_evidence::campaign::record::{Measurement, Record, Stretch};
use mutex_evidence::campaign::run::{Orders, Until};
use mutex_evidence::campaign::stage::Subject;
use mutex_evidence::campaign::tally::Tally;
use mutex_evidence::campaign::{backends, judge, packages, report};
use mutex_evidence::circumstances::Circumstances;

/// Faults at random on nodes that take one lock, and whether two ever held it at once.
#[derive(Parser)]
struct Options {
    /// The stores, with commas between them; all by default.
    #[arg(long, value_delimiter = ',')]
    backend: Vec<String>,
    /// Whose helpers, with commas between them.
    #[arg(long, value_delimiter = ',', default_value = "ours,unsafe")]
    subject: Vec<String>,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds, from the first one on, each on a stage of its own.
    #[arg(long, default_value_t = 1)]
    runs: u64,
    /// How many faults of each kind a run.
    #[arg(long, default_value_t = 4)]
    rounds: usize,
    /// How many faults a run, instead.
    #[arg(long, conflicts_with = "rounds")]
    faults: Option<usize>,
    /// How long a run, instead.
    #[arg(long, conflicts_with_all = ["rounds", "faults"])]
    seconds: Option<u64>,
    /// How many nodes, 3 to 9; by default the seed tells.
    #[arg(long)]
    nodes: Option<usize>,
    /// How many runs at once.
    #[arg(long, default_value_t = 2)]
    side_by_side: usize,
    /// Keep what is measured, and write it down.
    #[arg(long)]
    record: bool,
    /// Judge the runs that are kept anew, from their events in target/campaign, and measure nothing.
    #[arg(long)]
    judge: bool,
    /// Write the page and draw the picture anew from what is kept, and measure nothing.
    #[arg(long)]
    redraw: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    if options.redraw {
        report::write()?;
        return Ok(ExitCode::SUCCESS);
    }
    let jobs = options.jobs()?;
    if options.judge {
        judge::again(|backend, subject| {
            jobs.iter().any(|job| (job.backend, job.orders.subject.name()) == (backend, subject))
        })?;
        report::write()?;
        return Ok(ExitCode::SUCCESS);
    }
    let (done, failures) = work(jobs, options.side_by_side.max(1));
    say(&format!("\n{}", table(&done)))?;
    for failure in &failures {
        say(&format!("\nFAILED: {failure:#}"))?;
    }
    for Done { complaint, .. } in done.iter().filter(|done| !done.complaint.is_empty()) {
        say(&format!("\n{complaint}"))?;
    }
    if options.record {
        options.record(&done)?;
    }
    let verdict = verdict(&done, failures.len());
    say(&format!(
        "\n{verdict}",
        verdict = verdict.as_ref().map_or_else(ToString::to_string, |()| "as promised".to_owned())
    ))?;
    Ok(if verdict.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Options {
    fn jobs(&self) -> anyhow::Result<VecDeque<Job>> {
        let known = backends();
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        let until = match (self.seconds, self.faults) {
            (Some(seconds), _) => Until::Elapsed(Duration::from_secs(seconds)),
            (_, Some(faults)) => Until::Faults(faults),
            _ => Until::Rounds(self.rounds),
        };
        if self.nodes.is_some_and(|nodes| !(3..=9).contains(&nodes)) {
            bail!("--nodes: 3 to 9");
        }
        if let Some(unknown) = self.backend.iter().find(|backend| !names.contains(&backend.as_str())) {
            bail!("--backend {unknown}: not one of {}", names.join(", "));
        }
        let mut subjects = Vec::new();
        for name in &self.subject {
            let subject = Subject::ALL.into_iter().find(|subject| subject.name() == name);
            subjects.push(subject.with_context(|| format!("--subject {name}: not one of ours, distribution, unsafe"))?);
        }
        let mut jobs = VecDeque::new();
        for seed in self.seed..self.seed + self.runs {
            for &subject in &subjects {
                for &(backend, new_stage) in &known {
                    if self.backend.is_empty() || self.backend.iter().any(|name| name == backend) {
                        let until = match until {
                            // It need not go on when it has been caught, and may take longer to be.
                            Until::Elapsed(time) if subject == Subject::Unsafe => Until::Caught(time * 3),
                            Until::Rounds(rounds) if subject == Subject::Unsafe => Until::Rounds(rounds.min(1)),
                            other => other,
                        };
                        // 3 to 9, each in turn.
                        let nodes = self.nodes.unwrap_or(3 + usize::try_from(seed * 2 % 7)?);
                        jobs.push_back(Job { backend, new_stage, nodes, orders: Orders { subject, seed, until } });
                    }
                }
            }
        }
        Ok(jobs)
    }

    fn record(&self, done: &[Done]) -> anyhow::Result<()> {
        let profile = if cfg!(debug_assertions) { "" } else { " --release" };
        let command = format!("cargo run{profile} -p mutex-evidence --bin campaign -- {}", arguments());
        for (backend, _) in backends() {
            let mut record = Record::load(backend)?;
            for subject in Subject::ALL {
                let of = |done: &&Done| {
                    (done.tally.backend.as_str(), done.tally.subject.as_str()) == (backend, subject.name())
                };
                let all: Vec<&Done> = done.iter().filter(of).collect();
                if all.is_empty() {
                    continue;
                }
                let circumstances = Circumstances::now(&command, packages(backend, subject))?.with_load()?;
                let runs = all.iter().map(|done| done.tally.clone()).collect();
                record.replace(Measurement { circumstances, runs, judged: None });
                if subject == Subject::Ours {
                    let stretch = all.iter().find_map(|done| Stretch::of(&done.tally, &done.verdict));
                    record.stretch = stretch.or(record.stretch);
                }
                record.save(backend)?;
            }
        }
        report::write()
    }
}

fn arguments() -> String {
    std::env::args().skip(1).collect::<Vec<_>>().join(" ")
}

/// Does all, so many at once; in an order of their own. One that fails does not keep the others from it.
fn work(jobs: VecDeque<Job>, side_by_side: usize) -> (Vec<Done>, Vec<anyhow::Error>) {
    let (jobs, done) = (Mutex::new(jobs), Mutex::new((Vec::new(), Vec::new())));
    let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let worker = || {
        while let Some(job) = next() {
            let one = one(&job);
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            match one {
                Ok(one) => done.0.extend(one),
                Err(failure) => done.1.push(failure),
            }
        }
    };
    // A panic ends the process.
    std::thread::scope(|scope| (0..side_by_side).for_each(|_| drop(scope.spawn(worker))));
    let (mut done, failures) = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|done: &Done| (done.tally.backend.clone(), done.tally.subject.clone(), done.tally.seed));
    (done, failures)
}

fn one(job: &Job) -> anyhow::Result<Option<Done>> {
    let about =
        format!("{}, {}, seed {}, {} nodes", job.backend, job.orders.subject.name(), job.orders.seed, job.nodes);
    let start = Instant::now();
    let progress = |faults: usize| {
        if faults % 50 == 0 {
            let _ = say(&format!("{about}: {faults} faults, {} s", start.elapsed().as_secs()));
        }
    };
    say(&format!("{about}: begins"))?;
    let done = job.run(progress)?;
    let outcome = match &done {
        None => "there is no such helper".to_owned(),
        Some(Done { tally, .. }) => format!(
            "{}{} faults, {} ends seen, {} violations, {:.0} s",
            if tally.failed.is_some() { "failed, " } else { "" },
            tally.faults(),
            tally.losses(),
            tally.violations.count,
            tally.seconds
        ),
    };
    say(&format!("{about}: {outcome}"))?;
    Ok(done)
}

fn table(done: &[Done]) -> String {
    let head = format!(
        "{:<6} {:<12} {:>5} {:>5} {:>6} {:>5} {:>5} {:>10} {:>8} {:>9} {:>7} {:>12} {:>4} {:>7} {:>5}\n",
        "store",
        "helper",
        "seed",
        "nodes",
        "faults",
        "locks",
        "ends",
        "violations",
        "longest",
        "no holder",
        "fencing",
        "busy (longest)",
        "3s",
        "no byte",
        "extra"
    );
    let row = |Done { tally, .. }: &Done| {
        let Tally { backend, subject, seed, nodes, locks, violations, fencing, without_holder, busy, tries, .. } =
            tally;
        format!(
            "{backend:<6} {subject:<12} {seed:>5} {nodes:>5} {:>6} {locks:>5} {:>5} {:>10} {:>8.3} {without_holder:>9} {:>7} {:>5} ({:.3}) {:>6} {:>7} {:>5}\n",
            tally.faults(),
            tally.losses(),
            violations.count,
            violations.longest,
            fencing.count,
            busy.count,
            busy.longest,
            tries.errors,
            tries.no_byte,
            tries.extra_bytes
        )
    };
    head + &done.iter().map(row).collect::<String>()
}

/// What is wrong, if anything is.
fn verdict(done: &[Done], failures: usize) -> anyhow::Result<()> {
    if failures > 0 {
        bail!("{failures} runs failed");
    }
    for Done { tally, .. } in done {
        let about = format!("{}, {}, seed {}", tally.backend, tally.subject, tally.seed);
        if tally.failed.is_some() {
            bail!("{about}: the run failed");
        }
        if tally.subject == Subject::Ours.name() && !tally.is_kept() {
            bail!("{about}: a promise was broken");
        }
        if tally.subject == Subject::Unsafe.name() && tally.violations.count == 0 {
            bail!("{about}: the helper that is wrong on purpose was not caught");
        }
    }
    Ok(())
}

fn say(line: &str) -> anyhow::Result<()> {
    writeln!(stdout(), "{line}").context("write to standard output")
}
