//! The event script of an installed package, run as ctdbd does.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use anyhow::{Context, ensure};
use mutex_tests::process::command::output;

use crate::distributions::Distribution;
use crate::root::Root;

/// Where CTDB's scripts keep what they know.
pub(crate) const STATES: &str = "/var/lib/ctdb/scripts";

/// A store that does not answer, which is what the script notes most about.
const FAILS: &str = "#!/bin/sh\nexit 2\n";

/// One `monitor` event. The root has too little in it for a shell to be run there, so it is told where everything is.
pub(crate) fn monitor(root: &Root, distribution: &Distribution) -> anyhow::Result<()> {
    let program = root.outside("fails");
    fs::write(&program, FAILS)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    let script = root.at("/usr/share/ctdb/events/legacy/02.mutex.script");
    let mut command = Command::new(&script);
    command.arg("monitor").env("CTDB_BASE", root.at("/etc/ctdb")).env("CTDB_SCRIPT_VARDIR", root.at(STATES));
    let said = output(command.env("CTDB_MUTEX_PROGRAM", program))?;
    ensure!(said.status.success(), "{}: {said:?}", distribution.name);
    let counter = root.at(STATES).join("mutex/failures");
    let counted = fs::read_to_string(&counter).with_context(|| format!("read {}", counter.display()))?;
    ensure!(counted == "1\n", "{counted:?} failures were counted");
    Ok(())
}
