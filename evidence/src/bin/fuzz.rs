//! `make fuzz`: runs the fuzz targets, and writes what came of it into docs/EVIDENCE.md.
//!
//! Two targets run at once, at the lowest priority, each for so many seconds over its seeds and what earlier runs have kept
//! (`target/fuzz/corpus`). All are built once, and libFuzzer's programs are started as they are: cargo-fuzz in between would
//! only wait for cargo's lock. Without a sanitizer: what is fuzzed has no `unsafe`, and it is twice as fast so.
//!
//! A target that finds something leaves it in `target/fuzz/found/TARGET-…`; `cargo +nightly fuzz run TARGET FILE` in fuzz/ shows
//! it again.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context, ensure};
use mutex_evidence::circumstances::Circumstances;
use mutex_evidence::{page, record};
use serde::{Deserialize, Serialize};

/// Under which name it is kept, and the part of the page.
const NAME: &str = "fuzz";
/// Of two processors, and others have work to do.
const LANES: usize = 2;
/// An input that takes longer is a find.
const TIMEOUT_SECONDS: u32 = 10;

/// What one target came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Row {
    target: String,
    /// What it reads, from its head.
    reads: String,
    executions: u64,
    /// Edges of the program that inputs have reached.
    edges: u64,
    seconds: u64,
    /// `None`: nothing was found.
    found: Option<String>,
    /// When, and of which commit.
    date: String,
    commit: String,
}

#[derive(Serialize, Deserialize)]
struct Record {
    /// Those of the newest run, which need not have run all targets.
    circumstances: Circumstances,
    rows: Vec<Row>,
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Whether nothing was found. Arguments: the seconds of each target, and the targets, all where none is named.
fn run() -> anyhow::Result<bool> {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().context("usage: fuzz SECONDS [TARGET…]")?;
    let seconds: u64 = seconds.parse().with_context(|| format!("{seconds:?} is no number of seconds"))?;
    let known = targets()?;
    let mut wanted: Vec<String> = arguments.collect();
    if wanted.is_empty() {
        wanted = known.iter().map(|(name, _)| name.clone()).collect();
    }
    for name in &wanted {
        ensure!(known.iter().any(|(known, _)| known == name), "there is no target {name}");
    }
    build(&wanted)?;
    let circumstances = Circumstances::now(format!("make fuzz SECONDS={seconds}"), &[])?;
    let (waiting, done) = (Mutex::new(VecDeque::from(wanted)), Mutex::new(Vec::new()));
    let next = || waiting.lock().ok().and_then(|mut waiting| waiting.pop_front());
    std::thread::scope(|scope| {
        let lane = || -> anyhow::Result<()> {
            while let Some(name) = next() {
                let reads = known.iter().find(|(known, _)| *known == name).map(|(_, reads)| reads.clone());
                let row = fuzz(&name, reads.unwrap_or_default(), seconds, &circumstances)?;
                complain(&row.line());
                if let Ok(mut done) = done.lock() {
                    done.push(row);
                }
            }
            Ok(())
        };
        let lanes: Vec<_> = (0..LANES).map(|_| scope.spawn(lane)).collect();
        lanes.into_iter().try_for_each(|lane| lane.join().unwrap_or_else(|_| anyhow::bail!("a lane panicked")))
    })?;
    let done = done.into_inner().unwrap_or_default();
    let clean = done.iter().all(|row| row.found.is_none());
    keep(circumstances, done, &known)?;
    Ok(clean)
}

/// The targets and what each reads, in their order in the manifest.
fn targets() -> anyhow::Result<Vec<(String, String)>> {
    let manifest = fs::read_to_string(top().join("Cargo.toml")).context("read fuzz/Cargo.toml")?;
    let names = manifest.split("[[bin]]").skip(1).filter_map(|part| part.split('"').nth(1));
    names
        .map(|name| {
            let path = top().join("targets").join(format!("{name}.rs"));
            let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            let head = text.lines().next().unwrap_or_default().trim_start_matches("//! ");
            let reads = head.split(". See ").next().unwrap_or(head);
            Ok((name.to_owned(), reads.to_owned()))
        })
        .collect()
}

fn top() -> PathBuf {
    record::top().join("fuzz")
}

/// Where programs, corpora and finds are.
fn place(part: &str) -> PathBuf {
    record::top().join("target/fuzz").join(part)
}

fn build(targets: &[String]) -> anyhow::Result<()> {
    let made = place("build");
    fs::create_dir_all(&made).with_context(|| format!("make {}", made.display()))?;
    for target in targets {
        let mut command = Command::new("cargo");
        command.args(["+nightly", "fuzz", "build", "--sanitizer", "none", "--target-dir"]).arg(&made).arg(target);
        let built = command.current_dir(top()).status().context("run cargo")?;
        ensure!(
            built.success(),
            "cannot build {target}; it needs a nightly compiler and cargo-fuzz: rustup toolchain install nightly && cargo \
             install cargo-fuzz"
        );
    }
    Ok(())
}

fn fuzz(name: &str, reads: String, seconds: u64, circumstances: &Circumstances) -> anyhow::Result<Row> {
    let (corpus, found, log) = (place("corpus").join(name), place("found"), place("log").join(name));
    for directory in [&corpus, &found, &place("log")] {
        fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
    }
    let program = program(name)?;
    let mut command = Command::new("nice");
    command.args(["-n", "19"]).arg(program).arg(&corpus).arg(top().join("seeds").join(name));
    command.arg(format!("-max_total_time={seconds}")).arg(format!("-timeout={TIMEOUT_SECONDS}"));
    command.arg("-print_final_stats=1").arg(format!("-artifact_prefix={}/{name}-", found.display()));
    let dictionary = top().join("dictionaries").join(format!("{name}.dict"));
    if dictionary.is_file() {
        command.arg(format!("-dict={}", dictionary.display()));
    }
    let output = File::create(&log).with_context(|| format!("write {}", log.display()))?;
    // What a check writes goes there.
    let scratch = tempfile::tempdir().context("make a directory")?;
    command.env("TMPDIR", scratch.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(output);
    let started = Instant::now();
    let status = command.status().with_context(|| format!("run {name}"))?;
    let took = started.elapsed().as_secs();
    let said = String::from_utf8_lossy(&fs::read(&log).context("read libFuzzer's words")?).into_owned();
    let stats = Stats::of(&said).with_context(|| format!("{name} has told nothing: see {}", log.display()))?;
    let found =
        (!status.success()).then(|| match said.lines().find_map(|line| line.split("Test unit written to ").nth(1)) {
            Some(path) => Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned(),
            None => status.to_string(),
        });
    let (date, commit) = (circumstances.date.clone(), circumstances.commit.clone());
    let Stats { executions, edges } = stats;
    Ok(Row { target: name.to_owned(), reads, executions, edges, seconds: took, found, date, commit })
}

fn program(name: &str) -> anyhow::Result<PathBuf> {
    let places = fs::read_dir(place("build")).context("look for the targets")?;
    let mut programs = places.flatten().map(|entry| entry.path().join("release").join(name));
    programs.find(|path| path.is_file()).with_context(|| format!("{name} was not built"))
}

/// What libFuzzer says at its end.
#[derive(Debug, PartialEq, Eq)]
struct Stats {
    executions: u64,
    edges: u64,
}

impl Stats {
    fn of(said: &str) -> Option<Self> {
        let number = |line: &str, behind: &str| line.split(behind).nth(1)?.split_whitespace().next()?.parse().ok();
        let executions = said.lines().rev().find_map(|line| number(line, "stat::number_of_executed_units:"))?;
        let edges = said.lines().rev().find_map(|line| number(line, " cov: "))?;
        Some(Self { executions, edges })
    }
}

impl Row {
    fn line(&self) -> String {
        let Self { target, reads, executions, edges, seconds, found, date, commit } = self;
        let outcome = found.as_deref().map_or("clean".to_owned(), |file| format!("**found** {file}"));
        format!("| `{target}` | {reads} | {executions} | {edges} | {seconds} | {outcome} | {date}, {commit} |")
    }
}

/// Puts the rows in the place of older ones of the same targets, and writes the page. A target that is gone goes.
fn keep(circumstances: Circumstances, done: Vec<Row>, known: &[(String, String)]) -> anyhow::Result<()> {
    let old = record::find::<Record>(NAME)?.map(|record| record.rows).unwrap_or_default();
    let row = |name: &String| {
        let of = |rows: &[Row]| rows.iter().find(|row| row.target == *name).cloned();
        of(&done).or_else(|| of(&old))
    };
    let rows: Vec<Row> = known.iter().filter_map(|(name, _)| row(name)).collect();
    let lines: Vec<String> = rows.iter().map(Row::line).collect();
    let head = "| target | reads | executions | coverage (edges) | seconds | outcome | when, commit |\n\
                |---|---|---|---|---|---|---|";
    page::write(NAME, &format!("{head}\n{}\n\n{}", lines.join("\n"), circumstances.line()))?;
    record::save(NAME, &Record { circumstances, rows })
}

/// For who waits.
#[allow(clippy::print_stderr)] // No helper: a person reads along.
fn complain(line: &str) {
    eprintln!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_of_libfuzzer_are_read() {
        let said = "#2\tINITED cov: 5 ft: 6 corp: 1/1b\n#9\tDONE   cov: 12 ft: 20 corp: 3/9b lim: 4\n\
                    stat::number_of_executed_units: 9\nstat::average_exec_per_sec:     0\n";
        assert_eq!(Stats::of(said), Some(Stats { executions: 9, edges: 12 }));
        assert_eq!(Stats::of("error"), None);
    }
}
