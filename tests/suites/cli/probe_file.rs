//! `health --probe-file`: never two probes.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Instant;

use anyhow::{Context, ensure};
use mutex_tests::process::answer::Answer;
use mutex_tests::process::launch::Launch;
use mutex_tests::services::fuse::{HungFs, Locks};
use mutex_tests::wait::wait_for;
use nix::sys::stat::Mode;
use rustix::process::Signal;

use crate::health::{TIMEOUT, expect_line};
use crate::tool::{LIMIT, directory, file_lock, tool};
use crate::{Case, probes};

pub(crate) const CASES: &[Case] = &[
    ("health --probe-file: while the last probe hangs no other is started, and after the thaw one is", hangs),
    ("health --probe-file: the tool killed: its probe that hangs is the last one all the same", tool_killed),
    ("health --probe-file: while another probe runs none is started", at_once),
    ("health --probe-file: content of whatever kind keeps nobody from asking, but for a probe's that lives", content),
    ("health --probe-file: a FILE that is none is UNKNOWN, and nothing is started", no_file),
];

fn health(lock: &str, file: &Path) -> anyhow::Result<Launch> {
    Ok(tool(["health", lock, "--probe-file"])?.arg(file))
}

fn asked(lock: &str, file: &Path) -> anyhow::Result<Answer> {
    health(lock, file)?.args(&["--timeout-seconds", &TIMEOUT.as_secs().to_string()]).answer(LIMIT)
}

fn hangs() -> anyhow::Result<()> {
    let (dir, _) = directory()?;
    let file = dir.path().join("probe");
    let fs = HungFs::mount(Locks::Remote)?;
    let on_fs = fs.path().join("lock");
    let lock = file_lock(&on_fs)?;
    expect_line(&asked(&lock, &file)?, 0, "OK")?;
    let fault = fs.frozen();
    let frozen = fault.inject()?;
    expect_line(&asked(&lock, &file)?, 2, "CRITICAL")?;
    let hung = probes::groups(&on_fs);
    ensure!(hung.len() == 1, "probes that hang: {hung:?}");
    for _ in 0..2 {
        let start = Instant::now();
        let line = expect_line(&asked(&lock, &file)?, 2, "CRITICAL")?;
        let took = start.elapsed();
        ensure!(line.contains("still hangs") && !line.contains('|'), "{line:?}");
        ensure!(took < TIMEOUT / 2, "an answer after {took:?} without a question");
        ensure!(probes::groups(&on_fs) == hung, "another probe: {:?}, {hung:?}", probes::groups(&on_fs));
    }
    frozen.heal()?;
    wait_for("the probe to be gone", LIMIT, || probes::groups(&on_fs).is_empty().then_some(()))?;
    expect_line(&asked(&lock, &file)?, 0, "OK")?;
    Ok(())
}

/// As CTDB does with an event script that it cancels.
fn tool_killed() -> anyhow::Result<()> {
    let (dir, _) = directory()?;
    let file = dir.path().join("probe");
    let fs = HungFs::mount(Locks::Remote)?;
    let on_fs = fs.path().join("lock");
    let lock = file_lock(&on_fs)?;
    let fault = fs.frozen();
    let _frozen = fault.inject()?;
    let mut first = health(&lock, &file)?.args(&["--timeout-seconds", "60"]).start()?;
    wait_for("its probe to be noted", LIMIT, || {
        fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n')).then_some(())
    })?;
    let (worker, _) = wait_for("its worker", LIMIT, || first.supervisor().child(LIMIT).ok()?.child(LIMIT).ok())?;
    let waits_for = || fs::read_to_string(format!("/proc/{}/wchan", worker.pid())).unwrap_or_default();
    wait_for("its worker to wait for FUSE", LIMIT, || waits_for().contains("request_wait").then_some(()))?;
    first.supervisor().signal(Signal::KILL)?;
    first.exit_code(LIMIT).err().context("it has an exit code, and was killed")?;
    let hung = probes::groups(&on_fs);
    ensure!(hung.len() == 1, "probes that hang: {hung:?}");
    let line = expect_line(&asked(&lock, &file)?, 2, "CRITICAL")?;
    ensure!(line.contains("still hangs"), "{line:?}");
    ensure!(probes::groups(&on_fs) == hung, "another probe");
    Ok(())
}

fn at_once() -> anyhow::Result<()> {
    let (dir, _) = directory()?;
    let file = dir.path().join("probe");
    let fs = HungFs::mount(Locks::Remote)?;
    let on_fs = fs.path().join("lock");
    let lock = file_lock(&on_fs)?;
    let fault = fs.frozen();
    let frozen = fault.inject()?;
    let mut first = health(&lock, &file)?.args(&["--timeout-seconds", "60"]).start()?;
    wait_for("its probe", LIMIT, || (!probes::groups(&on_fs).is_empty()).then_some(()))?;
    let line = expect_line(&asked(&lock, &file)?, 2, "CRITICAL")?;
    ensure!(line.contains("another probe is running"), "{line:?}");
    ensure!(probes::groups(&on_fs).len() == 1, "two probes");
    frozen.heal()?;
    let code = first.exit_code(LIMIT)?;
    ensure!(code == 0 || code == 1, "the first was disturbed: exit code {code}");
    expect_line(&asked(&lock, &file)?, 0, "OK")?;
    Ok(())
}

/// A process that is no probe, in a group of its own.
struct Sleeper(Child);

impl Sleeper {
    fn start() -> anyhow::Result<Self> {
        Ok(Self(Command::new("/usr/bin/sleep").arg("600").process_group(0).spawn().context("start sleep")?))
    }

    /// Field 22 of its stat.
    fn start_time(&self) -> anyhow::Result<u64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        let (_, fields) = stat.rsplit_once(") ").context("no name")?;
        fields.split(' ').nth(19).context("no start time")?.parse().context("the start time")
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn content() -> anyhow::Result<()> {
    let (dir, on_disk) = directory()?;
    let file = dir.path().join("probe");
    let lock = file_lock(&on_disk)?;
    let sleeper = Sleeper::start()?;
    let (group, start) = (sleeper.0.id(), sleeper.start_time()?);
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let boot = boot.trim();

    let lives = format!("{group} {start} {boot}\n");
    fs::write(&file, &lives)?;
    let line = expect_line(&asked(&lock, &file)?, 2, "CRITICAL")?;
    ensure!(line.contains("still hangs") && line.contains(&group.to_string()), "{line:?}");
    ensure!(fs::read_to_string(&file)? == lives, "the probe that hangs is forgotten");

    let others = [
        String::new(),
        "\n".to_owned(),
        "none\n".to_owned(),
        format!("{group}\n"),
        format!("{group} {start}\n"),
        format!("{group} {start} {boot} more\n"),
        format!("-{group} {start} {boot}\n"),
        format!("{group} {start} another-boot\n"),
        // Another process has the number since.
        format!("{group} {} {boot}\n", start.saturating_sub(3000)),
        format!("{group} {} {boot}\n", start + 3000),
        format!("99999999999999999999 {start} {boot}\n"),
        format!("{group} 99999999999999999999 {boot}\n"),
        format!("{group} {} {boot}\n", u64::MAX),
        "\u{0}\u{1b}[2J\u{202e} | ".repeat(100_000),
    ];
    for other in others {
        fs::write(&file, &other)?;
        let shown: String = other.chars().take(80).collect();
        expect_line(&asked(&lock, &file)?, 0, "OK").with_context(|| format!("with {shown:?}"))?;
        let noted = fs::read_to_string(&file)?;
        ensure!(noted.len() < 100 && noted.trim_end().ends_with(boot), "after {shown:?}: {noted:?}");
    }
    Ok(())
}

fn no_file() -> anyhow::Result<()> {
    let (dir, _) = directory()?;
    let [folder, fifo, link, nowhere] = ["folder", "fifo", "link", "not-there/probe"].map(|name| dir.path().join(name));
    fs::create_dir(&folder)?;
    nix::unistd::mkfifo(&fifo, Mode::S_IRWXU)?;
    symlink(dir.path().join("elsewhere"), &link)?;
    // A lock that would be CRITICAL, were anybody asked.
    let lock = file_lock(&dir.path().join("no-folder/lock"))?;
    for file in [folder, fifo, link, nowhere] {
        let line = expect_line(&asked(&lock, &file)?, 3, "UNKNOWN")?;
        ensure!(line.contains(&file.display().to_string()), "FILE is not named: {line:?}");
    }
    ensure!(!dir.path().join("elsewhere").exists(), "made through a symbolic link");
    Ok(())
}
