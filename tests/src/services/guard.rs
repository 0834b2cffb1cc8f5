//! Ends the processes of a service whose test was killed before it could: ctdbd leaves its parent's process group,
//! session and terminal, and a service that is stopped hears of nothing.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context;

/// Waits for the end of its standard input, which comes however the test ends. Then every process of the service is
/// killed, again until there is none (one may just have been started), and the directory goes. What is mounted below it is
/// unmounted by force, before that too: a process that waits for a FUSE server of this service may be the last who has
/// the server's device open, and then nothing else ends it.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
cat >/dev/null
unmount() {
    while read -r _ point _; do
        case $point in "$0"/*) umount -flc "$point" ;; esac
    done </proc/mounts
}
# grep calls it a failure when one of all processes ends meanwhile: what it found counts, not its status.
# mfsmount writes its title over its environment. Not as arguments: grep would find itself.
signs() { printf '%s\n' "$1=$0/" "(mounted on: $0/"; }
while unmount; left=$(signs "$1" | grep -lszF -f - /proc/[0-9]*/environ /proc/[0-9]*/cmdline); [ -n "$left" ]; do
    for found in $left; do
        pid=${found#/proc/}
        kill -KILL "${pid%/*}" 2>/dev/null
    done
done
unmount
rm -rf "$0"
"#;

/// A shell that outlives this process for a moment.
pub(super) struct Guard {
    shell: Child,
}

impl Guard {
    /// Guards the processes in whose environment this variable begins with this directory and a slash.
    pub(super) fn over(dir: &Path, variable: &str) -> anyhow::Result<Self> {
        let shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT])
            .arg(dir)
            .arg(variable)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // What ends the tests' process group must not end the guard.
            .process_group(0)
            .spawn()
            .context("start the guard of a service")?;
        Ok(Self { shell })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}
