//! The tool on a terminal: in a pane of tmux, as a person has it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use mutex_tests::process::launch::Launch;
use mutex_tests::process::programs;
use mutex_tests::wait::wait_for;

use crate::Case;
use crate::running::Running;
use crate::tool::{LIMIT, answer, directory, file_lock, text};

pub(crate) const CASES: &[Case] = &[
    ("on a terminal hold says words, and Ctrl-C releases", words),
    ("on a terminal status says words, in a pipe lines", status),
    ("on a terminal bench shows a helper's line in place of its progress", bench),
    ("on a terminal that shows nothing more hold can be ended", stopped),
    ("on a terminal that goes away hold releases", hangs_up),
];

/// A terminal with a shell in it. Ends with this value.
struct Terminal {
    socket: tempfile::TempDir,
}

impl Terminal {
    fn open() -> anyhow::Result<Self> {
        programs::packaged("/usr/bin/tmux", "tmux")?;
        let socket = tempfile::Builder::new().prefix("mutex-tmux-").tempdir().context("make a directory")?;
        let terminal = Self { socket };
        // A server of its own, without anybody's settings; wide, as lines that are cut cannot be looked for.
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "250", "-y", "40", "PS1='ready$? ' exec sh"])?;
        terminal.shows("ready0")?;
        Ok(terminal)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("/usr/bin/tmux");
        command.arg("-S").arg(self.socket.path().join("socket")).args(arguments).env_remove("TMUX");
        // Else it shows _ for what is not ASCII.
        command.env("LC_ALL", "C.UTF-8").env("TERM", "xterm");
        command
    }

    fn tmux(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.command(arguments).output().context("run tmux")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "tmux {arguments:?}: {errors}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Types a line.
    fn types(&self, line: &str) -> anyhow::Result<()> {
        self.tmux(&["send-keys", "-l", line])?;
        self.tmux(&["send-keys", "Enter"]).map(drop)
    }

    fn key(&self, key: &str) -> anyhow::Result<()> {
        self.tmux(&["send-keys", key]).map(drop)
    }

    fn screen(&self) -> anyhow::Result<String> {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits for this text on the screen.
    fn shows(&self, what: &str) -> anyhow::Result<String> {
        let shown = || self.screen().ok().filter(|screen| screen.contains(what));
        let shown = wait_for(&format!("{what:?} on the screen"), LIMIT, shown);
        Ok(shown.with_context(|| format!("it shows {:?}", self.screen()))?.0)
    }

    /// The command in question, quoted for the shell, typed.
    fn runs(&self, command: &str, lock: &str) -> anyhow::Result<()> {
        self.types(&format!("clear; {} {command} '{lock}'", programs::helper("ctdb-mutex")?.display()))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Nobody is left where it fails.
        let _ = self.command(&["kill-server"]).output();
    }
}

fn is_free(file: &Path) -> bool {
    let free = || -> anyhow::Result<bool> {
        let asked = Launch::new(programs::helper("ctdb_mutex_file_helper")?, [file]).start()?;
        Ok(asked.status(LIMIT)? == '0')
    };
    free().unwrap_or(false)
}

fn words() -> anyhow::Result<()> {
    let (_dir, file) = directory()?;
    let lock = file_lock(&file)?;
    let terminal = Terminal::open()?;
    terminal.runs("hold", &lock)?;
    let screen = terminal.shows("Ctrl-C releases it")?;
    ensure!(screen.contains("taken in") && screen.contains(" ms") && !screen.contains("milliseconds="), "{screen}");
    ensure!(!is_free(&file), "it says that it holds the lock, and the lock is free");

    // What a second terminal sees; the holder's line is written after the lock is taken, by the way.
    let named = || {
        let other = Terminal::open().ok()?;
        other.runs("hold", &lock).ok()?;
        other.shows("ready1").ok().filter(|screen| screen.contains("held by process"))
    };
    let (screen, _) = wait_for("hold to name the holder", LIMIT, named)?;
    ensure!(screen.contains("contended after"), "{screen}");

    terminal.key("C-c")?;
    let screen = terminal.shows("ready0")?;
    ensure!(screen.contains("released after") && screen.contains("gone in"), "{screen}");
    ensure!(is_free(&file), "it says that it released the lock, and the lock is not free");
    // The helper's own line, and then what it means. On a terminal that does not show the words of before.
    let third = Terminal::open()?;
    third.runs("hold", &lock)?;
    third.shows("Ctrl-C releases it")?;
    std::fs::remove_file(&file)?;
    let screen = third.shows("ready4")?;
    ensure!(screen.contains("LOST after") && screen.contains("ctdb_mutex_file_helper: "), "{screen}");
    Ok(())
}

fn status() -> anyhow::Result<()> {
    let (_dir, file) = directory()?;
    let lock = file_lock(&file)?;
    let holder = Running::start(crate::tool::tool(["hold", &lock])?)?;
    holder.event("taken")?;
    let terminal = Terminal::open()?;
    let named = || {
        terminal.runs("status", &lock).ok()?;
        let screen = terminal.shows("ready0").ok()?;
        screen.contains("holder:  process").then_some(screen)
    };
    let (screen, _) = wait_for("the holder's name on the screen", LIMIT, named)?;
    for words in ["state:   held", " ago)", "inode ", "store:   "] {
        ensure!(screen.contains(words), "no {words:?} in {screen}");
    }
    let lines = text(&answer(["status", &lock])?);
    ensure!(lines.starts_with("status lock=") && lines.lines().count() == 1, "{lines:?}");
    Ok(())
}

fn bench() -> anyhow::Result<()> {
    let (dir, _) = directory()?;
    let terminal = Terminal::open()?;
    terminal.runs("bench", &file_lock(&dir.path().join("missing/lock"))?)?;
    let screen = terminal.shows("ready3")?;
    ensure!(screen.lines().any(|line| line.starts_with("ctdb_mutex_file_helper: ")), "{screen}");
    ensure!(!screen.contains("run 0 of"), "{screen}");
    Ok(())
}

/// Ctrl-S: whoever writes to it waits.
fn stopped() -> anyhow::Result<()> {
    let (_dir, file) = directory()?;
    let terminal = Terminal::open()?;
    terminal.runs("hold", &file_lock(&file)?)?;
    terminal.shows("Ctrl-C releases it")?;
    let pid = terminal.tmux(&["display-message", "-p", "#{pane_pid}"])?;
    let shell = mutex_tests::process::Process::open(pid.trim().parse()?)?;
    let hold = shell.child(LIMIT)?;
    terminal.key("C-s")?;
    // Ctrl-C would start it again.
    hold.signal(rustix::process::Signal::TERM)?;
    hold.wait_gone(LIMIT)?;
    ensure!(is_free(&file), "the lock is not free");
    terminal.key("C-q")
}

fn hangs_up() -> anyhow::Result<()> {
    let (_dir, file) = directory()?;
    let terminal = Terminal::open()?;
    terminal.runs("hold", &file_lock(&file)?)?;
    terminal.shows("Ctrl-C releases it")?;
    ensure!(!is_free(&file), "the lock is free");
    drop(terminal);
    wait_for("the lock to be free", LIMIT, || is_free(&file).then_some(())).map(drop)
}
