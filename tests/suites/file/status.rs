//! `--status` and `--health`: they take nothing, and trust nothing that stands in the file.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use mutex_tests::process::answer::Answer;
use mutex_tests::process::launch::Launch;
use mutex_tests::process::programs;
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::services::fuse::{HungFs, Locks};
use mutex_tests::wait::wait_for;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{Case, GONE, NOISE, directory, helper, holder};

pub(crate) const CASES: &[Case] = &[
    ("--status of a free lock says free and makes nothing", free),
    ("--status of a lock that ours holds says who holds it", held),
    ("--status of a lock that Samba's helper holds says held, and does not name an earlier holder", held_by_samba),
    ("--status shows hostile content of the file escaped and bounded", hostile),
    ("--status with a frozen file system ends at its limit with exit code 2", || frozen("--status")),
    ("--health with a frozen file system ends at its limit with exit code 2", || frozen("--health")),
    ("--health of a good place is exit code 0 and takes nothing", healthy),
    ("--health and -v say that a file system is of one machine, and nothing else does", of_one_machine),
    ("--health of a missing directory is exit code 3 with one line", unhealthy),
    ("--status and --health refuse a file system of another kind than required", another_kind),
    ("--status that nobody reads can be ended", unread),
];

/// Runs the helper to its end, which must come within `limit`.
fn ask(file: &Path, options: &[&str], limit: Duration) -> anyhow::Result<Answer> {
    helper(file)?.args(options).answer(limit)
}

/// The answer of `--status --json`.
fn status(file: &Path) -> anyhow::Result<Value> {
    let Answer { code, stdout, stderr } = ask(file, &["--status", "--json"], ANSWER_LIMIT)?;
    let text = String::from_utf8(stdout).context("--json is not UTF-8")?;
    ensure!(code == 0, "{}; {text:?}; {stderr:?}", code);
    let answer: Value = serde_json::from_str(&text).with_context(|| format!("not JSON: {text:?}"))?;
    ensure!(answer["object"] == json!(file), "object in {answer}");
    ensure!(answer["store"].is_object(), "store in {answer}");
    Ok(answer)
}

fn free() -> anyhow::Result<()> {
    let (dir, file) = directory()?;
    let answer = status(&file)?;
    ensure!(answer["state"] == "free", "no file yet: {answer}");
    ensure!(fs::read_dir(dir.path())?.next().is_none(), "something was made");

    let first = holder(&file)?;
    first.signal(Signal::TERM)?;
    first.gone(GONE)?;
    let answer = status(&file)?;
    ensure!(answer["state"] == "free", "after a release: {answer}");
    let Answer { code, stdout, .. } = ask(&file, &["--status"], ANSWER_LIMIT)?;
    let text = String::from_utf8_lossy(&stdout).to_lowercase();
    ensure!(code == 0 && text.contains("free"), "in words: {}, {text:?}", code);
    Ok(())
}

fn held() -> anyhow::Result<()> {
    for lock_type in ["posix", "ofd", "flock"] {
        let (_dir, file) = directory()?;
        let holder = crate::helper(&file)?.args(&["1", "2", "--lock-type", lock_type]).start()?;
        holder.expect('0', ANSWER_LIMIT)?;
        let host = fs::read_to_string("/proc/sys/kernel/hostname")?;
        let processes = [holder.supervisor().pid(), holder.worker()?.pid()];
        // The holder's line is written after the lock is taken, by the way.
        let named = || {
            let Answer { stdout, .. } =
                ask(&file, &["--status", "--json", "--lock-type", lock_type], ANSWER_LIMIT).ok()?;
            let answer: Value = serde_json::from_slice(&stdout).ok()?;
            let pid = processes.iter().any(|pid| answer["holder"]["pid"] == *pid);
            let known = pid && answer["holder"]["host"] == host.trim() && !answer["holder"]["since"].is_null();
            (answer["state"] == "held" && known).then_some(())
        };
        let what = format!("--status to name the holder of a {lock_type} lock");
        wait_for(&what, Duration::from_secs(3), named)?;
        ensure!(holder.pipe()?.is_silent(), "{lock_type}: the holder's pipe is not silent after --status");
    }
    Ok(())
}

fn held_by_samba() -> anyhow::Result<()> {
    let samba = programs::packaged("/usr/libexec/ctdb/ctdb_mutex_fcntl_helper", "ctdb")?;
    let (_dir, file) = directory()?;
    // Leaves its line in the file.
    let earlier = holder(&file)?;
    let earlier_pids = [earlier.supervisor().pid(), earlier.worker()?.pid()];
    earlier.signal(Signal::TERM)?;
    earlier.gone(GONE)?;

    let theirs = Launch::new(samba, [&file]).start()?;
    theirs.expect('0', ANSWER_LIMIT).context("Samba's helper")?;
    let answer = status(&file)?;
    ensure!(answer["state"] == "held", "{answer}");
    ensure!(earlier_pids.iter().all(|pid| answer["holder"]["pid"] != *pid), "an earlier holder: {answer}");
    Ok(())
}

fn hostile() -> anyhow::Result<()> {
    let (_dir, file) = directory()?;
    let holder = holder(&file)?;
    let pid = holder.worker()?.pid();
    // The true worker's number: another's line would not be shown at all.
    let host = "\u{1b}[2J\u{9b}31m\r\n\u{7}\u{202e}\u{61c}evil";
    let contents: [Vec<u8>; 7] = [
        // Every character of it is escaped to eight.
        json!({"host": "\u{202e}".repeat(1000), "worker_pid": pid, "since": "y"}).to_string().into(),
        json!({"host": host, "worker_pid": pid, "since": host}).to_string().into(),
        format!("{}\n", json!({"host": "x".repeat(5_000_000), "worker_pid": pid, "since": "y"})).into(),
        b"\x1b[2J\x07\x9b evil \xff\xfe\n".to_vec(),
        b"\xff".repeat(5_000_000),
        b"[".repeat(1_000_000),
        br#"{"host": ["\u001b[2J"], "pid": -1e400, "since": {"a": null}}"#.to_vec(),
    ];
    for (number, content) in contents.iter().enumerate() {
        // In place: the same inode.
        fs::write(&file, content)?;
        let answer = status(&file).with_context(|| format!("content {number}"))?;
        ensure!(answer["state"] == "held", "content {number}: {answer}");
        for options in [&["--status"][..], &["--status", "--json"]] {
            let Answer { stdout, stderr, .. } = ask(&file, options, ANSWER_LIMIT)?;
            let text = String::from_utf8_lossy(&stdout).into_owned() + &stderr;
            let bad = text
                .chars()
                .find(|sign| (sign.is_control() && *sign != '\n') || matches!(sign, '\u{202e}' | '\u{61c}'));
            ensure!(bad.is_none(), "content {number}, {options:?}: {bad:?} unescaped");
            ensure!(text.len() < 10_000, "content {number}, {options:?}: {} bytes", text.len());
        }
    }
    ensure!(holder.pipe()?.is_silent(), "the holder's pipe is not silent");
    Ok(())
}

fn frozen(option: &str) -> anyhow::Result<()> {
    let fs = HungFs::mount(Locks::Local)?;
    let file = fs.path().join("lock");
    let fault = fs.frozen();
    let _frozen = fault.inject()?;
    for (options, limit) in [(&[option, "--acquire-timeout-seconds", "1"][..], 1), (&[option], 5)] {
        let limit = Duration::from_secs(limit);
        let start = Instant::now();
        let Answer { code, stderr, .. } = ask(&file, options, limit + GONE)?;
        ensure!(code == 2, "{options:?}: {}, {stderr:?}", code);
        ensure!(start.elapsed() + NOISE > limit, "{options:?}: over after {:?}", start.elapsed());
    }
    Ok(())
}

fn healthy() -> anyhow::Result<()> {
    let (dir, file) = directory()?;
    let Answer { code, stderr, .. } = ask(&file, &["--health"], ANSWER_LIMIT)?;
    ensure!(code == 0 && stderr.is_empty(), "{}, {stderr:?}", code);
    ensure!(fs::read_dir(dir.path())?.next().is_none(), "something was made");
    let first = holder(&file)?;
    let Answer { code, stderr, .. } = ask(&file, &["--health"], ANSWER_LIMIT)?;
    ensure!(code == 0 && stderr.is_empty(), "while held: {}, {stderr:?}", code);
    ensure!(first.pipe()?.is_silent(), "the holder's pipe is not silent");
    Ok(())
}

fn of_one_machine() -> anyhow::Result<()> {
    const WORDS: &str = "no other node sees this one";
    let (_dir, file) = directory()?;
    for lock_type in ["posix", "ofd", "flock"] {
        let of_type = ["--lock-type", lock_type];
        let Answer { stdout, .. } = ask(&file, &[&of_type[..], &["--health"]].concat(), ANSWER_LIMIT)?;
        let text = String::from_utf8(stdout)?;
        ensure!(text.contains(WORDS), "--health: {text:?}");
        let silent = helper(&file)?.args(&of_type).start()?;
        silent.expect('0', ANSWER_LIMIT)?;
        silent.signal(Signal::TERM)?;
        silent.gone(GONE)?;
        ensure!(silent.stderr()?.is_empty(), "without -v: {:?}", silent.stderr()?);
        let verbose = helper(&file)?.args(&of_type).arg("-v").start()?;
        verbose.expect('0', ANSWER_LIMIT)?;
        let warned = || verbose.stderr().is_ok_and(|text| text.contains(WORDS)).then_some(());
        wait_for("-v to warn", ANSWER_LIMIT, warned).with_context(|| format!("{:?}", verbose.stderr()))?;
    }
    Ok(())
}

fn unhealthy() -> anyhow::Result<()> {
    let (dir, _) = directory()?;
    let file = dir.path().join("missing/lock");
    let Answer { code, stderr, .. } = ask(&file, &["--health"], ANSWER_LIMIT)?;
    ensure!(code == 3, "{}, {stderr:?}", code);
    ensure!(stderr.lines().count() == 1 && stderr.contains("missing"), "{stderr:?}");
    Ok(())
}

fn another_kind() -> anyhow::Result<()> {
    let (_dir, file) = directory()?;
    for question in ["--status", "--health"] {
        let Answer { code, stdout, stderr } = ask(&file, &[question, "--require-fs", "ceph"], ANSWER_LIMIT)?;
        ensure!(code == 3, "{question}: {}, {stderr:?}", code);
        ensure!(stderr.lines().count() == 1 && stderr.contains("ceph"), "{question}: {stderr:?}");
        ensure!(stdout.is_empty(), "{question}: {:?}", String::from_utf8_lossy(&stdout));
    }
    Ok(())
}

fn unread() -> anyhow::Result<()> {
    let (_dir, file) = directory()?;
    let (_reader, writer) = nix::unistd::pipe()?;
    let size = nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_GETPIPE_SZ)?;
    let mut writer = fs::File::from(writer);
    writer.write_all(&vec![b'x'; usize::try_from(size)?])?;
    let asked = crate::helper(&file)?.args(&["--status"]).stdout(writer.into()).start()?;
    // Ends when it has given the answer to the supervisor.
    asked.worker()?.wait_gone(ANSWER_LIMIT)?;
    asked.signal(Signal::TERM)?;
    asked.gone(GONE)?;
    Ok(())
}
