//! For people: words on a terminal, `--help`, `--version`.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use mutex_tests::process::helper::Helper;
use mutex_tests::process::launch::Stderr;
use mutex_tests::process::programs;
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::wait::wait_for;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::openpty;
use rustix::process::Signal;

use crate::{Case, GONE, NOISE, directory, helper};

pub(crate) const CASES: &[Case] = &[
    ("on a terminal it says that the lock is held and how to let go", words),
    ("a terminal with room for less than a line is not waited for", nearly_full),
    ("--help and --version go to standard output with exit code 0", help),
    ("--help does not panic when standard output is closed or full", help_nowhere),
];

fn words() -> anyhow::Result<()> {
    let (_dir, file) = directory()?;
    let (holder, screen) = on_terminal(&file)?;
    holder.expect('0', ANSWER_LIMIT)?;
    let text = wait_for_words(&screen, &["hold", "held"])?;
    ensure!(["ctrl-c", "sigterm", "kill"].iter().any(|way| text.contains(way)), "no way to let go in {text:?}");

    let (contender, screen) = on_terminal(&file)?;
    contender.expect('1', ANSWER_LIMIT)?;
    wait_for_words(&screen, &["held", "contend", "another", "other"])?;
    Ok(())
}

/// poll() says of it that it can be written to.
fn nearly_full() -> anyhow::Result<()> {
    let (dir, _) = directory()?;
    // Names of at most 255 bytes, and with them a line that is longer than the room.
    let deep = (0..12).fold(dir.path().to_owned(), |path, _| path.join("x".repeat(200)));
    fs::create_dir_all(&deep)?;
    let start = || helper(deep.join("lock"))?.stderr(Stderr::NearlyFullTerminal).start();
    let holder = start()?;
    holder.expect('0', ANSWER_LIMIT)?;
    let contender = start()?;
    contender.expect('1', ANSWER_LIMIT)?;
    contender.gone(GONE)?;
    holder.signal(Signal::TERM)?;
    holder.end(NOISE)?;
    holder.gone(GONE)?;
    Ok(())
}

fn on_terminal(file: &std::path::Path) -> anyhow::Result<(Helper, OwnedFd)> {
    let terminal = openpty(None, None).context("open a terminal")?;
    let started = helper(file)?.stderr(Stderr::Into(terminal.slave)).start()?;
    Ok((started, terminal.master))
}

/// What stands on the screen, in small letters, once one of these words does.
fn wait_for_words(screen: &OwnedFd, words: &[&str]) -> anyhow::Result<String> {
    let mut reader = File::from(screen.try_clone()?);
    let mut text = String::new();
    let found = wait_for(&format!("one of {words:?} on the terminal"), Duration::from_secs(2), || {
        let mut ready = [PollFd::new(screen.as_fd(), PollFlags::POLLIN)];
        while poll(&mut ready, PollTimeout::ZERO).is_ok_and(|count| count > 0) {
            let mut piece = [0; 4096];
            // A terminal whose other side is gone answers EIO.
            let Ok(count @ 1..) = reader.read(&mut piece) else { break };
            text.push_str(&String::from_utf8_lossy(&piece[..count]).to_lowercase());
        }
        words.iter().any(|word| text.contains(word)).then_some(())
    });
    found.with_context(|| format!("the terminal shows {text:?}"))?;
    Ok(text)
}

fn help() -> anyhow::Result<()> {
    for option in ["--help", "--version"] {
        let said = Command::new(programs::helper("ctdb_mutex_file_helper")?).arg(option).output()?;
        ensure!(said.status.code() == Some(0), "{option}: {}", said.status);
        ensure!(!said.stdout.is_empty(), "{option}: nothing on standard output");
        ensure!(said.stderr.is_empty(), "{option}: standard error {:?}", String::from_utf8_lossy(&said.stderr));
    }
    Ok(())
}

fn help_nowhere() -> anyhow::Result<()> {
    let full = File::options().write(true).open("/dev/full")?;
    let starts = [
        ("closed", helper("--help")?.stdout_closed().start()?),
        ("full", helper("--help")?.stdout(full.into()).start()?),
    ];
    for (how, mut started) in starts {
        // Fails where a signal ended it, as a panic does.
        let code = started.exit_code(ANSWER_LIMIT).with_context(|| how)?;
        let said = started.stderr()?;
        ensure!(code != 101 && !said.contains("panicked"), "standard output {how}: exit code {code}, {said:?}");
    }
    Ok(())
}
