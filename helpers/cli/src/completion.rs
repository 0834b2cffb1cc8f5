//! `ctdb-mutex completion`.

use std::process::ExitCode;

use anyhow::bail;

/// Print the completion script of a shell
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The lock as in ctdb.conf; default: the one that is configured there
    lock: Option<String>,
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let lock = crate::lock::Lock::find(args.lock.as_deref())?;
    bail!("{}: not built yet", lock.text())
}
