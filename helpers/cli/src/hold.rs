//! `ctdb-mutex hold`.

use std::process::ExitCode;

use anyhow::bail;

/// Take the lock as CTDB does, say what came of it, and hold it until Ctrl-C
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The lock as in ctdb.conf; default: the one that is configured there
    lock: Option<String>,
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let lock = crate::lock::Lock::find(args.lock.as_deref())?;
    bail!("{}: not built yet", lock.text())
}
