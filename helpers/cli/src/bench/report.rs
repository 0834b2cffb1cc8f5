//! What was measured: a table and histograms on a terminal, stable lines in a pipe, JSON where asked.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use mutex_core::escape;
use rustix::termios::tcgetwinsize;
use serde_json::Value;

use super::Side;
use super::figures::{Series, bars, ratio};
use super::processes::Memory;
use super::sample::Sample;
use crate::say::{self, Voice};

/// A time of a run.
struct Latency {
    /// In lines, never to be changed.
    what: &'static str,
    words: &'static str,
    of: fn(&Sample) -> Duration,
}

/// In their order.
const LATENCIES: [Latency; 4] = [
    Latency { what: "take", words: "start to 0", of: |sample| sample.take },
    Latency { what: "contended", words: "start to 1", of: |sample| sample.contended },
    Latency { what: "pipe_end", words: "SIGTERM to end of pipe", of: |sample| sample.pipe_end },
    Latency { what: "release", words: "SIGTERM to gone", of: |sample| sample.release },
];

/// How a side is named in lines: its text may be the other's too.
const SIDES: [&str; 2] = ["lock", "against"];

/// The histograms' width at most, and what stands around them in their line.
const BINS: usize = 40;
const AROUND: usize = 36;
const NARROWEST: usize = 10;

/// What is said, and how.
pub(super) struct Report {
    pub(super) voice: Voice,
    pub(super) asked: u32,
    pub(super) is_whole: bool,
}

impl Report {
    /// Says all of it; nothing where nothing was measured.
    pub(super) fn say(&self, sides: &[Side]) {
        if sides.iter().all(|side| side.samples.is_empty()) {
            return;
        }
        if let Voice::Words = self.voice {
            say::print(&self.words(sides));
            return;
        }
        for (name, side) in SIDES.iter().zip(sides) {
            self.side(name, side);
        }
        if let [first, second] = sides {
            for (what, ratio) in ratios(first, second) {
                self.voice.event("ratio", &[("what", what.into()), ("ratio", rounded(ratio))], "");
            }
        }
        let facts = [("asked", self.asked.into()), ("whole", self.is_whole.into())];
        self.voice.event("end", &facts, "");
    }

    fn side(&self, name: &str, side: &Side) {
        let of = [("of", Value::from(name))];
        let lock = [("lock", side.lock.text().into()), ("n", side.samples.len().into())];
        self.voice.event("measured", &[&of[..], &lock].concat(), "");
        for latency in &LATENCIES {
            let Some(series) = latency.series(side) else { continue };
            let millis = |percent| rounded(millis(series.percentile(percent)));
            let facts = [
                ("what", latency.what.into()),
                ("n", series.count().into()),
                ("min_ms", millis(0)),
                ("p50_ms", millis(50)),
                ("p95_ms", millis(95)),
                ("p99_ms", millis(99)),
                ("max_ms", millis(100)),
            ];
            self.voice.event("latency", &[&of[..], &facts].concat(), "");
        }
        if let Some(memory) = Held::of(side) {
            let facts = [
                ("n", memory.rss_kib.count().into()),
                ("rss_kib", memory.rss_kib.median().into()),
                ("pss_kib", memory.pss_kib.median().into()),
                ("processes", memory.processes.max().into()),
            ];
            self.voice.event("memory", &[&of[..], &facts].concat(), "");
        }
    }

    fn words(&self, sides: &[Side]) -> String {
        let mut text = String::new();
        let mut counts: Vec<_> = sides.iter().map(|side| side.samples.len().to_string()).collect();
        counts.dedup();
        let runs = counts.join(" and ");
        let ended = if self.is_whole { String::new() } else { format!(" of {}", self.asked) };
        let _ = writeln!(text, "{runs}{ended} runs, after one to load the programs\n");
        for side in sides {
            table(&mut text, side);
        }
        if let [first, second] = sides {
            let _ = writeln!(text, "{}\nas a part of {}, medians:", shown(first), shown(second));
            for (what, ratio) in ratios(first, second) {
                let _ = writeln!(text, "  {what:<10} {ratio:>8.3}");
            }
            text.push('\n');
        }
        for latency in &LATENCIES {
            histograms(&mut text, latency, sides);
        }
        text
    }
}

impl Latency {
    fn series(&self, side: &Side) -> Option<Series> {
        let nanos = |sample: &Sample| u64::try_from((self.of)(sample).as_nanos()).unwrap_or(u64::MAX);
        Series::of(side.samples.iter().map(nanos))
    }
}

/// What a side takes while it holds the lock.
struct Held {
    rss_kib: Series,
    pss_kib: Series,
    processes: Series,
}

impl Held {
    fn of(side: &Side) -> Option<Self> {
        let all = |of: fn(Memory) -> u64| Series::of(side.samples.iter().filter_map(|sample| sample.memory.map(of)));
        Some(Self {
            rss_kib: all(|memory| memory.rss_kib)?,
            pss_kib: all(|memory| memory.pss_kib)?,
            processes: all(|memory| memory.processes)?,
        })
    }
}

/// What the first takes as a part of the second.
fn ratios(first: &Side, second: &Side) -> Vec<(&'static str, f64)> {
    let times = LATENCIES
        .iter()
        .filter_map(|latency| Some((latency.what, ratio(&latency.series(first)?, &latency.series(second)?)?)));
    let memory = Held::of(first).zip(Held::of(second)).into_iter().flat_map(|(first, second)| {
        let rss = ratio(&first.rss_kib, &second.rss_kib).map(|ratio| ("rss", ratio));
        let pss = ratio(&first.pss_kib, &second.pss_kib).map(|ratio| ("pss", ratio));
        [rss, pss].into_iter().flatten()
    });
    times.chain(memory).collect()
}

fn table(text: &mut String, side: &Side) {
    let _ = writeln!(text, "{}", shown(side));
    let [min, p50, p95, p99, max] = ["min", "p50", "p95", "p99", "max"];
    let _ = writeln!(text, "  {:<34}{min:>8} {p50:>8} {p95:>8} {p99:>8} {max:>8}", "ms");
    for latency in &LATENCIES {
        let Some(series) = latency.series(side) else { continue };
        let name = format!("{} ({})", latency.what, latency.words);
        let _ = write!(text, "  {name:<34}");
        for percent in [0, 50, 95, 99, 100] {
            let _ = write!(text, "{:>8.2} ", millis(series.percentile(percent)));
        }
        // A blank at a line's end breaks a line that fills the terminal.
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    let memory = match Held::of(side) {
        Some(Held { rss_kib, pss_kib, processes }) => {
            let (rss, pss, count) = (rss_kib.median(), pss_kib.median(), processes.max());
            let noun = if count == 1 { "process" } else { "processes" };
            format!("memory: {rss} KiB resident, {pss} KiB proportional, in {count} {noun}")
        }
        None => "memory: not to be read".to_owned(),
    };
    let _ = writeln!(text, "  {memory}\n");
}

/// One a side, all over the same times.
fn histograms(text: &mut String, latency: &Latency, sides: &[Side]) {
    let all: Vec<_> = sides.iter().filter_map(|side| latency.series(side)).collect();
    let (Some(low), Some(high)) = (all.iter().map(Series::min).min(), all.iter().map(Series::max).max()) else {
        return;
    };
    for (number, series) in all.iter().enumerate() {
        let what = if number == 0 { latency.what } else { "against" };
        let bars = bars(&series.histogram(low, high, bins()));
        let _ = writeln!(text, "{what:<10}{:>9.2} ms |{bars}| {:.2} ms", millis(low), millis(high));
    }
}

fn bins() -> usize {
    let width = tcgetwinsize(io::stdout()).map_or(0, |size| usize::from(size.ws_col));
    if width == 0 { BINS } else { width.saturating_sub(AROUND).clamp(NARROWEST, BINS) }
}

fn shown(side: &Side) -> String {
    escape(side.lock.text())
}

fn millis(nanos: u64) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64() * 1000.0
}

/// To what is worth reading.
fn rounded(value: f64) -> Value {
    Value::from((value * 1000.0).round() / 1000.0)
}
