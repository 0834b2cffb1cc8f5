//! `hold`.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use mutex_tests::process::launch::{Launch, ParentKind};
use mutex_tests::process::{Process, programs};
use mutex_tests::wait::wait_for;
use rustix::process::Signal;
use serde_json::json;

use crate::running::{Running, fact, script};
use crate::tool::{LIMIT, answer, directory, expect_code, file_lock, objects, text, tool};
use crate::{Case, NOISE};

pub(crate) const CASES: &[Case] = &[
    ("hold says taken, holds, and says released at SIGINT, SIGTERM and SIGHUP", released),
    ("hold says lost the moment that the lock is, with exit code 4", lost),
    ("hold of a lock that ours holds says contended and by whom", contended),
    ("hold of a lock that Samba's helper holds, with its helper, says contended", contended_by_samba),
    ("hold takes another byte than CTDB knows, or none, for an error, and shows the helper's line", errors),
    ("hold of a helper that says nothing ends it at its limit, and says timed out", silent),
    ("hold says timed out where the helper does", timed_out),
    ("hold warns of bytes behind the first, and goes on", more_bytes),
    ("hold of a helper that never stops talking sees its byte and its end, and ends in time", talks),
    ("hold --wait-seconds takes the lock as soon as it is free", waits),
    ("hold --wait-seconds gives up in time, and can be ended meanwhile", waits_in_vain),
    ("hold starts a helper with no signal blocked or ignored, and in a group of its own", as_ctdb_does),
    ("hold closes the pipe before it tells the helper to go", pipe_first),
    ("hold kills a helper that does not go, and says so", stubborn),
    ("hold goes on without a reader and without its parent", alone),
    ("hold that is killed leaves no lock", killed),
    ("hold that was started by nohup ignores SIGHUP", nohup),
    ("hold before the byte can be ended, and says cancelled", cancelled),
];

/// Whether our helper would be given the lock.
fn is_free(file: &Path) -> anyhow::Result<bool> {
    let helper = programs::helper("ctdb_mutex_file_helper")?;
    let asked = Launch::new(helper, [file]).start()?;
    Ok(asked.status(LIMIT)? == '0')
}

fn wait_free(file: &Path) -> anyhow::Result<()> {
    wait_for("the lock to be free", LIMIT, || is_free(file).is_ok_and(|free| free).then_some(())).map(drop)
}

fn hold(lock: &str, more: &[&str]) -> anyhow::Result<Running> {
    Running::start(tool(["hold", lock])?.args(more))
}

/// It has taken the lock.
fn holding(lock: &str) -> anyhow::Result<Running> {
    let running = hold(lock, &[])?;
    running.event("taken")?;
    Ok(running)
}

fn number(line: &str, name: &str) -> anyhow::Result<f64> {
    fact(line, name)?.parse().with_context(|| format!("{name} in {line:?} is no number"))
}

fn released() -> anyhow::Result<()> {
    for (signal, name) in [(Signal::INT, "SIGINT"), (Signal::TERM, "SIGTERM"), (Signal::HUP, "SIGHUP")] {
        let (_dir, file) = directory()?;
        let lock = file_lock(&file)?;
        let start = Instant::now();
        let mut running = hold(&lock, &[])?;
        let taken = running.event("taken")?;
        let took = start.elapsed();
        ensure!(fact(&taken, "lock")? == lock, "{taken}");
        let told = number(&taken, "milliseconds")?;
        ensure!(told > 0.0 && told <= took.as_secs_f64() * 1e3, "{taken}, after {took:?}");
        let pid: i32 = fact(&taken, "pid")?.parse()?;
        ensure!(running.helper.supervisor().children() == [pid], "{taken}, but it has started another");
        ensure!(!is_free(&file)?, "said {taken}, and the lock is free");

        running.signal(signal)?;
        let released = running.event("released")?;
        running.ends_with(0)?;
        ensure!(fact(&released, "signal")? == name && fact(&released, "killed")? == "false", "{released}");
        ensure!(number(&released, "milliseconds")? < 1000.0 + NOISE.as_secs_f64() * 1e3, "{released}");
        number(&released, "held_seconds")?;
        ensure!(running.said()?.lines().count() == 2, "{:?}", running.said()?);
        ensure!(running.helper.stderr()?.is_empty(), "{:?}", running.helper.stderr()?);
        ensure!(is_free(&file)?, "said {released}, and the lock is not free");
    }
    Ok(())
}

fn lost() -> anyhow::Result<()> {
    let (_dir, file) = directory()?;
    let mut running = holding(&file_lock(&file)?)?;
    fs::remove_file(&file)?;
    let removed = Instant::now();
    let lost = running.event("lost")?;
    // A proof a second, which may have begun just before (P2c).
    let limit = Duration::from_secs(2) + NOISE;
    ensure!(removed.elapsed() < limit, "said so after {:?}", removed.elapsed());
    running.ends_with(4)?;
    number(&lost, "held_seconds")?;
    let line = running.helper.one_line()?;
    ensure!(line.contains(&*file.to_string_lossy()), "not the helper's line: {line:?}");
    Ok(())
}

fn contended() -> anyhow::Result<()> {
    let (_dir, file) = directory()?;
    let lock = file_lock(&file)?;
    let first = holding(&lock)?;
    let pid: i64 = fact(&first.event("taken")?, "pid")?.parse()?;
    let host = fs::read_to_string("/proc/sys/kernel/hostname")?;
    // The holder's line is written after the lock is taken, by the way.
    let named = || {
        let said = answer(["hold", &lock, "--json"]).ok().filter(|said| said.code == 1)?;
        let event = objects(&said).ok()?.pop()?;
        let known = event["holder"]["pid"] == pid && event["holder"]["host"] == host.trim();
        (event["event"] == "contended" && event["milliseconds"].is_number() && known).then_some(())
    };
    wait_for("hold to name the holder", LIMIT, named)?;
    // The file itself is a LOCK too, and nothing is said on standard error.
    let said = tool(["hold"])?.arg(&file).answer(LIMIT)?;
    expect_code(&said, 1)?;
    ensure!(text(&said).starts_with("contended ") && said.stderr.is_empty(), "{:?}, {:?}", text(&said), said.stderr);
    ensure!(number(text(&said).trim(), "holder.pid")? == pid as f64, "{:?}", text(&said));
    Ok(())
}

fn contended_by_samba() -> anyhow::Result<()> {
    let samba = programs::packaged("/usr/libexec/ctdb/ctdb_mutex_fcntl_helper", "ctdb")?;
    let (_dir, file) = directory()?;
    let lock = format!("!{} {}", samba.display(), file.display());
    let mut first = holding(&lock)?;
    let said = answer(["hold", &lock])?;
    expect_code(&said, 1)?;
    ensure!(text(&said).starts_with("contended "), "{:?}", text(&said));
    first.signal(Signal::TERM)?;
    first.ends_with(0)?;
    ensure!(is_free(&file)?, "Samba's helper was not ended");
    Ok(())
}

fn errors() -> anyhow::Result<()> {
    let (dir, _) = directory()?;
    for (lines, what) in [
        ("printf 4", "'4'"),
        ("echo", "'\\n'"),
        ("printf 3; echo why >&2; exit 3", "exit code 3"),
        ("echo why >&2; exit 7", "exit code 7"),
        ("kill -9 $$", "signal 9"),
        // CTDB closes the pipe at any of them.
        ("printf 3; exec sleep 100", "error"),
    ] {
        let helper = script(dir.path(), "helper", lines)?;
        let said = answer(["hold".to_owned(), format!("!{}", helper.display()), "--json".to_owned()])?;
        expect_code(&said, 3)?;
        let events = objects(&said)?;
        ensure!(events.len() == 1 && events[0]["event"] == "error", "{lines}: {events:?}");
        ensure!(text(&said).contains(what.trim_matches('\'')), "{lines}: {events:?} has no {what}");
        if lines.contains("why") {
            ensure!(
                events[0]["lines"] == json!(["why"]) && said.stderr == "why\n",
                "{lines}: {events:?}, {:?}",
                said.stderr
            );
        }
    }
    Ok(())
}

fn silent() -> anyhow::Result<()> {
    let (dir, _) = directory()?;
    let told = dir.path().join("told");
    let lines = format!("trap 'echo > {}; exit' TERM\nwhile :; do sleep 0.05; done", told.display());
    let helper = script(dir.path(), "helper", &lines)?;
    let start = Instant::now();
    let said = answer(["hold".to_owned(), format!("!{}", helper.display()), "--timeout-seconds=1".to_owned()])?;
    ensure!(start.elapsed() > Duration::from_secs(1), "over after {:?}", start.elapsed());
    expect_code(&said, 2)?;
    ensure!(text(&said).starts_with("timed-out "), "{:?}", text(&said));
    ensure!(fact(text(&said).trim(), "by")? == "ctdb-mutex", "{:?}", text(&said));
    ensure!(told.exists(), "the helper was not told to go by SIGTERM");
    Ok(())
}

fn timed_out() -> anyhow::Result<()> {
    let (dir, _) = directory()?;
    let helper = script(dir.path(), "helper", "printf 2; echo 'no answer' >&2; exit 2")?;
    let said = answer(["hold".to_owned(), format!("!{}", helper.display())])?;
    expect_code(&said, 2)?;
    ensure!(fact(text(&said).trim(), "by")? == "helper", "{:?}", text(&said));
    ensure!(said.stderr == "no answer\n", "{:?}", said.stderr);
    Ok(())
}

fn talks() -> anyhow::Result<()> {
    let (dir, _) = directory()?;
    let talk = "yes >&2 &\ntrap \"kill $!; exit\" TERM";
    let quiet = |name: &str, lines: &str| -> anyhow::Result<Launch> {
        let helper = script(dir.path(), name, lines)?;
        let tool = programs::helper("ctdb-mutex")?;
        let launch = Launch::new("/bin/sh", ["-c", r#"exec "$0" "$@" 2>/dev/null"#]).arg(tool);
        Ok(launch.args(&["hold", &format!("!{}", helper.display())]))
    };
    let mut running = Running::start(quiet("holds", &format!("{talk}\nprintf 0\nwait"))?)?;
    running.event("taken")?;
    running.signal(Signal::INT)?;
    running.ends_with(0)?;
    let released = running.event("released")?;
    ensure!(fact(&released, "killed")? == "false", "{released}");

    let said = quiet("mute", &format!("{talk}\nwait"))?.arg("--timeout-seconds=1").answer(LIMIT)?;
    expect_code(&said, 2)?;
    // What it has left behind talks on.
    let said = quiet("leaves", "yes >&2 &\nprintf 3")?.answer(LIMIT)?;
    expect_code(&said, 3)?;
    ensure!(text(&said).contains("exit code 0"), "{:?}", text(&said));
    Ok(())
}

fn more_bytes() -> anyhow::Result<()> {
    let (dir, _) = directory()?;
    let helper = script(dir.path(), "helper", "printf 0111\nexec sleep 100")?;
    let mut running = holding(&format!("!{}", helper.display()))?;
    let warned = || running.helper.stderr().is_ok_and(|text| text.contains("warning")).then_some(());
    wait_for("a warning", LIMIT, warned)?;
    running.signal(Signal::INT)?;
    running.ends_with(0)?;
    running.event("released")?;
    ensure!(running.helper.stderr()?.lines().count() == 1, "{:?}", running.helper.stderr()?);
    Ok(())
}

fn waits() -> anyhow::Result<()> {
    let samba = programs::packaged("/usr/libexec/ctdb/ctdb_mutex_fcntl_helper", "ctdb")?;
    let (_dir, file) = directory()?;
    // Ours waits by itself, the other is started again and again.
    for lock in [file_lock(&file)?, format!("!{} {}", samba.display(), file.display())] {
        let first = holding(&lock)?;
        let mut second = hold(&lock, &["--wait-seconds", "60"])?;
        second.event("waiting")?;
        first.signal(Signal::TERM)?;
        second.event("taken")?;
        second.signal(Signal::TERM)?;
        second.ends_with(0)?;
        ensure!(second.said()?.lines().count() == 3, "{:?}", second.said()?);
    }
    Ok(())
}

fn waits_in_vain() -> anyhow::Result<()> {
    let samba = programs::packaged("/usr/libexec/ctdb/ctdb_mutex_fcntl_helper", "ctdb")?;
    let (_dir, file) = directory()?;
    let _holder = holding(&file_lock(&file)?)?;
    for lock in [file_lock(&file)?, format!("!{} {}", samba.display(), file.display())] {
        let start = Instant::now();
        let said = answer(["hold", &lock, "--wait-seconds", "1"])?;
        expect_code(&said, 1)?;
        ensure!(start.elapsed() > Duration::from_secs(1), "{lock}: over after {:?}", start.elapsed());

        let mut ended = hold(&lock, &["--wait-seconds", "60"])?;
        ended.event("waiting")?;
        ended.signal(Signal::INT)?;
        ended.event("cancelled")?;
        ended.ends_with(0)?;
    }
    Ok(())
}

/// The helper is cp, which copies what Linux says of itself: a shell would set its signals in order first.
fn as_ctdb_does() -> anyhow::Result<()> {
    let (dir, _) = directory()?;
    let (status, stdin) = (dir.path().join("status"), dir.path().join("stdin"));
    // Signals that the tool reads it has blocked; what it was started to ignore it ignores.
    for start in [r#"exec "$0" "$@""#, r#"trap "" HUP INT TERM QUIT; exec "$0" "$@""#] {
        for lock in [
            format!("!/bin/cp /proc/self/status {}", status.display()),
            format!("!/bin/cp --no-dereference --force /proc/self/fd/0 {}", stdin.display()),
        ] {
            let launch = Launch::new("/bin/sh", ["-c", start]).arg(programs::helper("ctdb-mutex")?);
            // It writes no byte.
            expect_code(&launch.args(&["hold", &lock]).answer(LIMIT)?, 3)?;
        }
        let status = fs::read_to_string(&status)?;
        let told = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            line.with_context(|| format!("no {name} in {status}"))
        };
        // Those above are glibc's own and real-time ones, which nobody but the test's parent sets.
        let ordinary = (1 << 31) - 1;
        for name in ["SigBlk:", "SigIgn:"] {
            ensure!(u64::from_str_radix(told(name)?, 16)? & ordinary == 0, "{start}: {name} {}", told(name)?);
        }
        ensure!(told("NSpgid:")? == told("Pid:")?, "its group is {}, not {}", told("NSpgid:")?, told("Pid:")?);
        let stdin = fs::read_link(&stdin)?;
        ensure!(stdin == Path::new("/dev/null"), "standard input {}", stdin.display());
    }
    Ok(())
}

fn pipe_first() -> anyhow::Result<()> {
    let (dir, _) = directory()?;
    let seen = dir.path().join("seen");
    let lines = format!(
        "trap '' PIPE\ntrap 'if printf x 2>/dev/null; then echo open; else echo closed; fi > {}; exit' TERM\n\
         printf 0\nwhile :; do sleep 0.05; done",
        seen.display()
    );
    // The redirection is the whole if's: its printf has to reach the pipe.
    let lines = lines.replace("if printf x 2>/dev/null", "exec 3>&1; if printf x >&3 2>/dev/null");
    let helper = script(dir.path(), "helper", &lines)?;
    let mut running = holding(&format!("!{}", helper.display()))?;
    running.signal(Signal::INT)?;
    running.ends_with(0)?;
    let seen = fs::read_to_string(seen).context("the helper was not told to go by SIGTERM")?;
    ensure!(seen == "closed\n", "SIGTERM came while the pipe was {seen:?}");
    Ok(())
}

fn stubborn() -> anyhow::Result<()> {
    let (dir, _) = directory()?;
    let helper = script(dir.path(), "helper", "trap '' TERM PIPE\nprintf 0\nwhile :; do sleep 0.05; done")?;
    let mut running = holding(&format!("!{}", helper.display()))?;
    let started = Process::open(fact(&running.event("taken")?, "pid")?.parse()?)?;
    running.signal(Signal::INT)?;
    // Its patience is 5 s.
    let released = running.event("released")?;
    ensure!(fact(&released, "killed")? == "true", "{released}");
    running.ends_with(0)?;
    ensure!(started.is_gone(), "the helper is still there");
    ensure!(running.helper.stderr()?.contains("killed"), "{:?}", running.helper.stderr()?);

    // The second Ctrl-C is one too many for patience.
    let mut running = holding(&format!("!{}", helper.display()))?;
    running.signal(Signal::INT)?;
    let start = Instant::now();
    while running.helper.stderr()?.is_empty() && start.elapsed() < LIMIT {
        // Signals of one kind are one until they are seen.
        let _ = running.signal(Signal::INT);
        std::thread::yield_now();
    }
    running.ends_with(0)?;
    ensure!(start.elapsed() < Duration::from_secs(4), "the second Ctrl-C changed nothing for {:?}", start.elapsed());
    Ok(())
}

fn alone() -> anyhow::Result<()> {
    let (_dir, file) = directory()?;
    let lock = file_lock(&file)?;
    let (parent, mut held) = tool(["hold", &lock])?.start_under(ParentKind::Ordinary)?;
    ensure!(held.status(LIMIT)? == 't', "it did not say taken");
    let helper = held.worker()?;
    held.close_reader();
    parent.kill()?;
    ensure!(!is_free(&file)?, "the lock is free");
    ensure!(!helper.is_gone() && !held.supervisor().is_gone(), "it is gone");
    held.signal(Signal::TERM)?;
    held.gone(LIMIT)?;
    ensure!(is_free(&file)?, "the lock is not free after SIGTERM");
    Ok(())
}

fn killed() -> anyhow::Result<()> {
    let (_dir, file) = directory()?;
    let running = holding(&file_lock(&file)?)?;
    let helper = running.helper.worker()?;
    running.signal(Signal::KILL)?;
    helper.wait_gone(LIMIT)?;
    wait_free(&file)
}

fn nohup() -> anyhow::Result<()> {
    let (_dir, file) = directory()?;
    let launch = Launch::new("/bin/sh", ["-c", r#"trap "" HUP; exec "$0" "$@""#])
        .arg(programs::helper("ctdb-mutex")?)
        .args(&["hold", &file_lock(&file)?]);
    let mut running = Running::start(launch)?;
    running.event("taken")?;
    running.signal(Signal::HUP)?;
    // What comes after it is seen, so it was too.
    running.signal(Signal::TERM)?;
    let released = running.event("released")?;
    ensure!(fact(&released, "signal")? == "SIGTERM", "{released}");
    running.ends_with(0)?;
    Ok(())
}

fn cancelled() -> anyhow::Result<()> {
    let (dir, _) = directory()?;
    let started = dir.path().join("started");
    let helper = script(dir.path(), "helper", &format!("echo $$ > {}\nexec sleep 100", started.display()))?;
    let mut running = hold(&format!("!{}", helper.display()), &[])?;
    let pid = || fs::read_to_string(&started).ok()?.trim().parse().ok();
    let (pid, _) = wait_for("the helper to start", LIMIT, pid)?;
    let helper = Process::open(pid)?;
    running.signal(Signal::TERM)?;
    running.event("cancelled")?;
    running.ends_with(0)?;
    ensure!(helper.is_gone(), "the helper is still there");
    Ok(())
}
