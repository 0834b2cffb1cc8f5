//! `bench`: figures that agree with each other, and nothing left behind.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use mutex_tests::process::launch::Launch;
use mutex_tests::process::programs;
use mutex_tests::wait::wait_for;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{Winsize, openpty};
use rustix::process::Signal;
use serde_json::Value;

use crate::Case;
use crate::tool::{answer, directory, expect_code, file_lock, objects, text, tool};

pub(crate) const CASES: &[Case] = &[
    ("bench: every time has all runs, and its percentiles are in order", in_order),
    ("bench: memory is that of all processes that hold the lock", memory),
    ("bench: in a pipe a line begins with what it is about", lines),
    ("bench: on a terminal a histogram is no wider than it", terminal),
    ("bench --against: a helper against itself", itself),
    ("bench --against: Samba's helper on the same file", another),
    ("bench --against: who is first changes with every run", alternates),
    ("bench of a lock that is held: exit 1, and its holder is left alone", held),
    ("bench: SIGINT midway: it prints what it has, and nothing is left", interrupted),
    ("bench of a helper that gives the lock twice: exit 3 and says so", twice),
    ("bench of a helper that leaves the lock behind: exit 1 with the runs before", leaves_behind),
    ("bench of a helper that does not end: it is killed, and nothing is left", stays),
];

/// A few runs of a file helper, at 60 ms each, and what has to be waited for on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// What our helpers wait before they look once more, and answer 1 (DESIGN 3).
const SECOND_LOOK_MS: f64 = 50.0;

const TIMES: [&str; 4] = ["take", "contended", "pipe_end", "release"];

fn bench(arguments: &[&str]) -> anyhow::Result<Vec<Value>> {
    let done = tool([&["bench", "--json"], arguments].concat())?.answer(LIMIT)?;
    expect_code(&done, 0)?;
    ensure!(done.stderr.is_empty(), "it said {:?}", done.stderr);
    objects(&done)
}

/// The objects of this event, of this side.
fn all<'a>(objects: &'a [Value], event: &str, of: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["event"] == event && (of.is_empty() || object["of"] == of)).collect()
}

fn number(object: &Value, name: &str) -> anyhow::Result<f64> {
    object[name].as_f64().with_context(|| format!("no number {name} in {object}"))
}

fn in_order() -> anyhow::Result<()> {
    let (_dir, file) = directory()?;
    let objects = bench(&[&file_lock(&file)?, "--runs", "5"])?;
    let latencies = all(&objects, "latency", "lock");
    let names: Vec<_> = latencies.iter().filter_map(|latency| latency["what"].as_str()).collect();
    ensure!(names == TIMES, "times of {names:?}");
    for latency in &latencies {
        ensure!(latency["n"] == 5, "{latency}");
        let names = ["min_ms", "p50_ms", "p95_ms", "p99_ms", "max_ms"];
        let values = names.iter().map(|name| number(latency, name)).collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(values.is_sorted() && values[0] > 0.0, "{latency}");
    }
    let min = |time: usize| number(latencies[time], "min_ms");
    ensure!(min(1)? >= SECOND_LOOK_MS, "answered 1 before a second look: {}", latencies[1]);
    ensure!(min(0)? < number(latencies[0], "max_ms")?, "five takes of the same length: {}", latencies[0]);
    let [take, release] = [0, 3].map(|time| number(latencies[time], "p50_ms"));
    ensure!(take? < 10_000.0 && release? < 10_000.0, "no such times: {latencies:?}");
    ensure!(number(latencies[2], "p50_ms")? <= number(latencies[3], "p50_ms")?, "gone before its pipe: {latencies:?}");
    let end = objects.last().context("it said nothing")?;
    ensure!(*end == serde_json::json!({"event": "end", "asked": 5, "whole": true}), "its last words: {end}");
    Ok(())
}

fn memory() -> anyhow::Result<()> {
    let (_dir, file) = directory()?;
    let objects = bench(&[&file_lock(&file)?, "--runs", "2"])?;
    let memory = all(&objects, "memory", "lock");
    let memory = memory.first().context("no line of memory")?;
    ensure!(memory["n"] == 2 && memory["processes"] == 2, "supervisor and worker, twice: {memory}");
    let (rss, pss) = (number(memory, "rss_kib")?, number(memory, "pss_kib")?);
    // Two processes of one program share its pages.
    ensure!(100.0 < pss && pss < rss && rss < 1e6, "{memory}");
    Ok(())
}

fn lines() -> anyhow::Result<()> {
    let (_dir, file) = directory()?;
    let lock = file_lock(&file)?;
    let done = answer(["bench", &lock, "--runs", "2"])?;
    expect_code(&done, 0)?;
    let text = text(&done);
    let mut wanted = vec![format!("measured of=lock lock={lock:?} n=2")];
    wanted.extend(TIMES.map(|time| format!("latency of=lock what={time} n=2 min_ms=")));
    wanted.push("memory of=lock n=2 rss_kib=".to_owned());
    wanted.push("end asked=2 whole=true".to_owned());
    let are_these = wanted.iter().zip(text.lines()).all(|(wanted, line)| line.starts_with(wanted));
    ensure!(are_these && text.lines().count() == wanted.len(), "lines: {text}");
    Ok(())
}

fn terminal() -> anyhow::Result<()> {
    const COLUMNS: u16 = 60;
    let (_dir, file) = directory()?;
    let size = Winsize { ws_row: 24, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
    let terminal = openpty(Some(&size), None).context("open a terminal")?;
    let mut bench = tool(["bench", &file_lock(&file)?, "--runs", "3"])?.stdout(terminal.slave).start()?;
    ensure!(bench.exit_code(LIMIT)? == 0, "{:?}", bench.stderr());
    let mut said = Vec::new();
    let mut more = [0; 4096];
    // It has ended, so all that it said is there. The terminal's end need not come: what another case starts meanwhile, a
    // service say, may have inherited that side.
    let is_there = || {
        let mut ready = [PollFd::new(terminal.master.as_fd(), PollFlags::POLLIN)];
        poll(&mut ready, PollTimeout::ZERO).is_ok_and(|count| count > 0)
    };
    while is_there() {
        let Ok(count @ 1..) = nix::unistd::read(&terminal.master, &mut more) else { break };
        said.extend(&more[..count]);
    }
    let said = String::from_utf8(said)?;
    let histograms: Vec<_> = said.lines().filter(|line| line.contains('|')).collect();
    ensure!(histograms.len() == TIMES.len(), "a histogram a time: {said}");
    for line in histograms {
        let width = line.trim_end().chars().count();
        ensure!(width <= usize::from(COLUMNS) && line.contains('█'), "{width} columns: {line:?}");
    }
    ensure!(said.contains("3 runs"), "how many: {said}");
    Ok(())
}

fn itself() -> anyhow::Result<()> {
    let (_dir, file) = directory()?;
    let lock = file_lock(&file)?;
    let objects = bench(&[&lock, "--runs", "5", "--against", &lock])?;
    for of in ["lock", "against"] {
        let measured = all(&objects, "measured", of);
        ensure!(measured.len() == 1 && measured[0]["n"] == 5, "{of}: {measured:?}");
        ensure!(all(&objects, "latency", of).len() == TIMES.len(), "{of}: {objects:?}");
    }
    let ratios = all(&objects, "ratio", "");
    let names: Vec<_> = ratios.iter().filter_map(|ratio| ratio["what"].as_str()).collect();
    ensure!(names == [&TIMES[..], &["rss", "pss"]].concat(), "ratios of {names:?}");
    for ratio in &ratios {
        let what = ratio["what"].as_str().unwrap_or_default();
        let value = number(ratio, "ratio")?;
        let expected = median(&objects, "lock", what)? / median(&objects, "against", what)?;
        // What is printed has three digits behind the point, and a pipe may end within a tenth of a millisecond.
        let is_it = (value / expected - 1.0).abs() < 0.05;
        ensure!(is_it, "{expected} by the medians: {ratio}");
        // All but the busy machine's noise.
        ensure!(!["contended", "rss"].contains(&what) || (0.4..2.5).contains(&value), "against itself: {ratio}");
    }
    Ok(())
}

/// A side's median, of a time or of memory.
fn median(objects: &[Value], of: &str, what: &str) -> anyhow::Result<f64> {
    if TIMES.contains(&what) {
        let latency = all(objects, "latency", of).into_iter().find(|latency| latency["what"] == what);
        return number(latency.context("no such time")?, "p50_ms");
    }
    number(all(objects, "memory", of).first().context("no memory")?, &format!("{what}_kib"))
}

fn another() -> anyhow::Result<()> {
    let (_dir, file) = directory()?;
    let samba = programs::packaged("/usr/libexec/ctdb/ctdb_mutex_fcntl_helper", "ctdb")?;
    let samba = format!("!{} {}", samba.display(), file.display());
    let objects = bench(&[&samba, "--runs", "2", "--against", &file_lock(&file)?])?;
    ensure!(all(&objects, "measured", "lock")[0]["lock"] == samba.as_str(), "{objects:?}");
    let contended = ["lock", "against"].map(|of| median(&objects, of, "contended"));
    ensure!(contended.iter().all(|time| time.as_ref().is_ok_and(|time| *time > 0.0)), "{contended:?}");
    Ok(())
}

/// A program that does this, as LOCK with these arguments.
fn script(dir: &Path, name: &str, does: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let path = dir.join(name);
    fs::write(&path, format!("#!/bin/sh\n{does}\n"))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(format!("!{} {}", path.display(), arguments.join(" ")))
}

/// Our file helper, whose starts are noted in a file.
fn noted(dir: &Path, name: &str, log: &Path) -> anyhow::Result<String> {
    let helper = programs::helper("ctdb_mutex_file_helper")?;
    let does = format!("echo {name} >>{}\nexec {} \"$@\"", log.display(), helper.display());
    script(dir, name, &does, &[&dir.join("lock").display().to_string(), "1", "2"])
}

fn started(log: &Path) -> Vec<String> {
    fs::read_to_string(log).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn alternates() -> anyhow::Result<()> {
    let (dir, _file) = directory()?;
    let log = dir.path().join("log");
    let [a, b] = ["a", "b"].map(|name| noted(dir.path(), name, &log));
    bench(&[&a?, "--runs", "3", "--against", &b?])?;
    // A holder and a contender each; the first round does not count.
    let wanted: Vec<String> = "a a b b b b a a a a b b b b a a".split(' ').map(str::to_owned).collect();
    ensure!(started(&log) == wanted, "started in the order {:?}", started(&log));
    Ok(())
}

fn held() -> anyhow::Result<()> {
    let (dir, file) = directory()?;
    let lock = file_lock(&file)?;
    let helper = programs::helper("ctdb_mutex_file_helper")?;
    let arguments = [file.clone().into_os_string(), "1".into(), "2".into()];
    let holder = Launch::new(helper, arguments).start()?;
    holder.expect('0', LIMIT)?;
    // It says who it is after its byte.
    let said = || fs::read(&file).ok().filter(|line| line.ends_with(b"\n"));
    let (before, _) = wait_for("the holder's line", LIMIT, said)?;
    let free = file_lock(&dir.path().join("free"))?;
    for arguments in [vec!["bench", &lock], vec!["bench", &free, "--against", &lock]] {
        let refused = tool(&arguments)?.answer(LIMIT)?;
        expect_code(&refused, 1)?;
        ensure!(refused.stdout.is_empty(), "it measured: {:?}", text(&refused));
        let (lines, names) = (refused.stderr.lines().count(), refused.stderr.contains(&lock));
        ensure!(lines == 1 && names && refused.stderr.contains("another holds the lock"), "{:?}", refused.stderr);
    }
    ensure!(holder.pipe()?.is_silent() && fs::read(&file)? == before, "the holder was disturbed");
    nothing_of(&dir.path().join("free"))
}

fn interrupted() -> anyhow::Result<()> {
    let (dir, file) = directory()?;
    let log = dir.path().join("log");
    let lock = noted(dir.path(), "helper", &log)?;
    let said = tempfile::NamedTempFile::new()?;
    let many = ["bench", &lock, "--runs", "100000", "--json"];
    let mut bench = tool(many)?.stdout(said.reopen()?.into()).start()?;
    // The first round does not count, the second has to be over.
    wait_for("two runs and a bit", LIMIT, || (started(&log).len() > 4).then_some(()))?;
    bench.signal(Signal::INT)?;
    ensure!(bench.exit_code(LIMIT)? == 0, "{:?}", bench.stderr());
    let text = fs::read_to_string(said.path())?;
    let objects: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let measured = all(&objects, "measured", "lock");
    let count = measured.first().and_then(|measured| measured["n"].as_u64()).context("nothing measured")?;
    ensure!((1..100_000).contains(&count), "{count} runs");
    let latencies = all(&objects, "latency", "lock");
    ensure!(latencies.len() == TIMES.len() && latencies.iter().all(|latency| latency["n"] == count), "{text}");
    let end = objects.last().context("it said nothing")?;
    ensure!(end["whole"] == false && end["asked"] == 100_000, "its last words: {end}");
    nothing_of(&file)?;
    let arguments = [file.into_os_string(), "1".into(), "2".into()];
    Launch::new(programs::helper("ctdb_mutex_file_helper")?, arguments).start()?.expect('0', LIMIT)
}

/// No process names this path on its command line.
fn nothing_of(path: &Path) -> anyhow::Result<()> {
    let path = path.as_os_str().as_encoded_bytes();
    let has_it = |process: &PathBuf| {
        let line = fs::read(process.join("cmdline")).unwrap_or_default();
        line.windows(path.len()).any(|part| part == path)
    };
    let left = || -> Vec<PathBuf> {
        let all = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
        all.filter(has_it).collect()
    };
    let left = left();
    ensure!(left.is_empty(), "left behind: {left:?}");
    Ok(())
}

fn twice() -> anyhow::Result<()> {
    let (dir, _file) = directory()?;
    let lock = script(dir.path(), "generous", "printf 0\nexec sleep 60", &[])?;
    let done = answer(["bench", &lock])?;
    expect_code(&done, 3)?;
    ensure!(done.stderr.contains("answered 0 while another"), "{:?}", done.stderr);
    Ok(())
}

fn leaves_behind() -> anyhow::Result<()> {
    let (dir, _file) = directory()?;
    let left = dir.path().join("left");
    // Three holders and their contenders come and go; what the third leaves is never let go.
    let does = format!(
        "left={}\ncount=$(cat $left.count 2>/dev/null || echo 0)\n\
         if ! mkdir $left 2>/dev/null; then printf 1; exit 1; fi\n\
         echo $((count + 1)) >$left.count\n\
         [ $count = 2 ] || trap 'rmdir $left; exit 0' TERM\n\
         printf 0\nwhile :; do sleep 0.01; done",
        left.display()
    );
    let lock = script(dir.path(), "forgetful", &does, &[])?;
    let done = tool(["bench", &lock, "--json"])?.answer(LIMIT)?;
    expect_code(&done, 1)?;
    ensure!(done.stderr.contains("did not let it go"), "{:?}", done.stderr);
    let objects = objects(&done)?;
    let measured = all(&objects, "measured", "lock");
    ensure!(measured.len() == 1 && measured[0]["n"] == 2, "{objects:?}");
    Ok(())
}

fn stays() -> anyhow::Result<()> {
    let (dir, file) = directory()?;
    let does = "if mkdir \"$1\" 2>/dev/null; then printf 0; else printf 1; exit; fi\n\
                trap '' TERM\nfor second in $(seq 30); do sleep 1; done";
    let lock = script(dir.path(), "stubborn", does, &[&file.display().to_string()])?;
    let done = tool(["bench", &lock])?.answer(LIMIT)?;
    expect_code(&done, 3)?;
    ensure!(done.stderr.contains("is killed") && done.stderr.contains("is not gone"), "{:?}", done.stderr);
    nothing_of(&file)
}
