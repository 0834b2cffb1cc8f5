//! The unsafe helper of a campaign: a good one behind it, whose end is told too late.
//!
//!     campaign_late MILLISECONDS PROGRAM [ARGUMENT...]
//!
//! It passes the byte on, and closes its own pipe so long after the helper has closed its own: the bug of a helper that
//! counts a lease's age from something later than the send. SIGTERM ends it at once, and the helper sees that.

use std::io::{Read, Write};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::Context;

fn main() -> anyhow::Result<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let late = arguments.next().context("usage: campaign_late MILLISECONDS PROGRAM [ARGUMENT...]")?;
    let late = Duration::from_millis(late.to_string_lossy().parse().context("read the milliseconds")?);
    let program = arguments.next().context("no program")?;
    let mut helper =
        Command::new(program).args(arguments).stdout(Stdio::piped()).spawn().context("start the helper")?;
    let mut pipe = helper.stdout.take().context("the helper has no pipe")?;
    let mut byte = [0];
    let got = pipe.read(&mut byte).context("read the helper's byte")?;
    let mut out = std::io::stdout();
    out.write_all(&byte[..got]).and_then(|()| out.flush()).context("pass the byte on")?;
    if byte == *b"0" {
        // Its end, or a further byte, which there is none of.
        let _ = pipe.read(&mut byte);
        std::thread::sleep(late);
    }
    helper.wait().context("wait for the helper")?;
    Ok(ExitCode::SUCCESS)
}
