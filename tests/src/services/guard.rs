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
///
/// Nothing is waited for without a bound: there may be a process that cannot end, and one of anybody's that nobody can
/// read about (one that hangs in `execve`, as it closes a file of a file system that hangs).
const SCRIPT: &str = r#"
trap '' HUP INT TERM
variable=$1
cat >/dev/null
unmount() {
    while read -r _ point _; do
        case $point in "$0"/*) timeout -s KILL 5 umount -flc "$point" ;; esac
    done </proc/mounts
}
# mfsmount writes its title over its environment. Not as arguments: grep would find itself.
signs() { printf '%s\n' "$variable=$0/" "(mounted on: $0/"; }
search() {
    limit=$1
    shift
    signs | timeout -s KILL "$limit" grep -lszF --line-buffered -f - "$@"
}
look() {
    left=$(search 5 /proc/[0-9]*/environ /proc/[0-9]*/cmdline)
    # grep calls it a failure when one of all processes ends meanwhile: what it found counts, not its status. But where it
    # had to be killed it has not come to those after the one it hung at.
    [ $? = 137 ] || return
    left=$(for process in /proc/[0-9]*; do search 1 "$process/environ" "$process/cmdline"; done)
    round=$((round + 9))
}
round=0
while unmount 2>/dev/null; look 2>/dev/null; [ -n "$left" ] && [ "$round" -lt 100 ]; do
    [ "$left" != "$before" ] || sleep 0.1
    before=$left
    for found in $left; do
        pid=${found#/proc/}
        pid=${pid%/*}
        kill -KILL "$pid" 2>/dev/null
        # libfaketime's, which would be in the way of another process of that number.
        rm -f "/dev/shm/faketime_shm_$pid" "/dev/shm/sem.faketime_sem_$pid"
    done
    round=$((round + 1))
done
if [ -n "$left" ]; then
    echo "the guard of $0 leaves it there, with processes that do not end:" $left >&2
    exit 1
fi
unmount 2>/dev/null
timeout -s KILL 60 rm -rf "$0"
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
