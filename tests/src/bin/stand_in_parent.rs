//! A parent for a helper that a test can kill, in ctdbd's place.
//!
//!     stand_in_parent ordinary|pid-one PROGRAM [ARGUMENT...]
//!
//! Starts the program with its own standard output and error, lets go of both, and stays until its standard input
//! ends. With `pid-one` that is done by process 1 of a new PID namespace. It never reaps: a test looks at pidfds.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{dup2_stderr, dup2_stdout};

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let kind = arguments.next().context("usage: stand_in_parent ordinary|pid-one PROGRAM [ARGUMENT...]")?;
    let line: Vec<OsString> = arguments.collect();
    let [program, rest @ ..] = &line[..] else { bail!("no program to start") };

    let mut command = match kind.to_str() {
        Some("ordinary") => {
            let mut command = Command::new(program);
            command.args(rest).stdin(Stdio::null());
            command
        }
        Some("pid-one") => {
            // The next child is process 1 there.
            unshare(CloneFlags::CLONE_NEWPID).context("unshare the PID namespace (needs root)")?;
            let mut command = Command::new(std::env::current_exe().context("find myself")?);
            command.arg("ordinary").args(&line);
            command
        }
        _ => bail!("parent kind {kind:?}: not one of ordinary, pid-one"),
    };
    let _child = command.spawn().with_context(|| format!("start {}", program.to_string_lossy()))?;

    let null = File::options().write(true).open("/dev/null").context("open /dev/null")?;
    dup2_stdout(&null).context("let go of the pipe")?;
    dup2_stderr(&null).context("let go of standard error")?;
    std::io::stdin().read_to_end(&mut Vec::new()).context("wait for the end of standard input")?;
    Ok(())
}
