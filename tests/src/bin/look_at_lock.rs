//! Says whether anybody has the lock on byte 0 of a file: `held`, `free`, or `missing` where there is no such file. Takes
//! nothing. A process of its own, since a look at a mount that hangs cannot be ended.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use mutex_tests::byte_zero::byte_zero;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

fn main() -> anyhow::Result<()> {
    let path = PathBuf::from(std::env::args_os().nth(1).context("usage: look_at_lock FILE")?);
    let answer = look(&path).with_context(|| format!("look at the lock on {}", path.display()))?;
    writeln!(io::stdout(), "{answer}").context("write the answer")
}

fn look(path: &Path) -> anyhow::Result<&'static str> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok("missing"),
        Err(error) => return Err(error).context("open it"),
    };
    let mut lock = byte_zero(libc::F_WRLCK);
    fcntl(&file, FcntlArg::F_GETLK(&mut lock)).context("F_GETLK")?;
    Ok(if i32::from(lock.l_type) == libc::F_UNLCK { "free" } else { "held" })
}
