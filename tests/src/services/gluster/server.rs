//! The servers: glusterd and the bricks that it starts, in mount and PID namespaces of their own.
//!
//! glusterd is one a machine: where it keeps its volumes, its sockets and its logs is the same for each. So each has
//! directories of its own bound there. The first process in there is a shell, and everything ends with it.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};

use super::{BRICKS, GLUSTER, GLUSTERD, NSENTER, PLACE_VARIABLE, UNSHARE, VOLUME};
use crate::process::{Process, waits_readable};
use crate::services::command::run;
use crate::services::in_memory;
use crate::services::network::Namespace;
use crate::wait::wait_for;

/// How long the shell may take, glusterd to listen, and a command.
const LIMIT: Duration = Duration::from_secs(30);

/// A little less for a command, in its own words: what `nsenter` has started does not end with it.
const GLUSTER_LIMIT: &str = "--timeout=25";

/// A process that runs is found at once, unless the kernel's list of children changes while it is read.
const FIND_LIMIT: Duration = Duration::from_secs(1);

/// A killed process is gone at once; on a busy machine later.
const GONE_LIMIT: Duration = Duration::from_secs(5);

/// The first process. What others have mounted for their tests is not to live on in this copy of the mounts. The rest
/// ends with its standard input, so with the test however that ends; and while it waits, it waits for every orphan.
const SCRIPT: &str = r#"
set -e
mounts=$(cat /proc/mounts)
echo "$mounts" | while read -r _ point _; do
    case $point in "$1"/* | "$2"/*) umount -lc "$point" || : ;; esac
done
mount --bind "$0/lib" /var/lib/glusterd
mount --bind "$0/log" /var/log/glusterfs
mount -t tmpfs run /run
mkdir /run/gluster
for gsyncd in /usr/lib/glusterfs/gsyncd /usr/lib/*/glusterfs/gsyncd /usr/libexec/glusterfs/gsyncd; do
    [ ! -e "$gsyncd" ] || mount --bind "$0/gsyncd" "$gsyncd"
done
exec 3<&0
echo up
cat <&3 >/dev/null &
wait
"#;

/// What glusterd runs eleven times at its start, to set up what nobody uses here: Python, which takes two seconds.
const GSYNCD: &str = "#!/bin/sh\necho gsyncd\n";

/// The servers. They end with this value.
pub(super) struct Server {
    dir: PathBuf,
    /// Who made the namespaces, and the first process inside.
    outer: Child,
    init: Process,
}

impl Server {
    /// Makes the namespaces on a host and starts glusterd there; it has no volume yet.
    pub(super) fn start(dir: &Path, host: &Namespace) -> anyhow::Result<Self> {
        for folder in ["lib", "log/bricks"] {
            fs::create_dir_all(dir.join(folder)).context("make a directory for glusterd")?;
        }
        for brick in 0..BRICKS {
            fs::create_dir_all(brick_dir(dir, brick)).context("make a directory for a brick")?;
        }
        let gsyncd = dir.join("gsyncd");
        fs::write(&gsyncd, GSYNCD).context("write gsyncd")?;
        fs::set_permissions(&gsyncd, fs::Permissions::from_mode(0o755))?;
        let said = File::create(dir.join("server.out")).context("make a file for the servers' output")?;
        let mut outer = {
            let _inside = host.enter()?;
            Command::new(UNSHARE)
                .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "/bin/sh", "-c", SCRIPT])
                .arg(dir)
                .arg(std::env::temp_dir())
                .arg(in_memory::PLACE)
                .env(PLACE_VARIABLE, dir.join("server"))
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(said)
                .spawn()
                .context("start unshare")?
        };
        let init = match wait_up(outer.stdout.take()).and_then(|()| first_child(&outer)) {
            Ok(init) => init,
            Err(error) => {
                end(&mut outer);
                let said = fs::read_to_string(dir.join("server.out")).unwrap_or_default();
                return Err(error.context(format!("make the servers' namespaces (needs root): {}", said.trim())));
            }
        };
        let server = Self { dir: dir.to_owned(), outer, init };
        server.start_glusterd()?;
        Ok(server)
    }

    /// Starts glusterd, and waits until it answers.
    pub(super) fn start_glusterd(&self) -> anyhow::Result<()> {
        ensure!(self.find(GLUSTERD).is_none(), "glusterd runs already");
        run(&mut self.inside(GLUSTERD), LIMIT)?;
        // Asked before it listens, the command would wait for 3 s.
        let sockets = format!("/proc/{}/net/unix", self.init.pid());
        let listens = || fs::read_to_string(&sockets).is_ok_and(|all| all.contains("/glusterd.socket")).then_some(());
        wait_for("glusterd to listen", LIMIT, listens)?;
        self.gluster(&["pool", "list"]).map(drop)
    }

    /// Kills glusterd, and waits until it is gone. The bricks go on.
    pub(super) fn kill_glusterd(&self) -> anyhow::Result<()> {
        kill(&self.glusterd()?)
    }

    /// Runs a `gluster` command, and returns what it printed.
    pub(super) fn gluster(&self, arguments: &[&str]) -> anyhow::Result<String> {
        run(self.inside(GLUSTER).args(["--mode=script", GLUSTER_LIMIT]).args(arguments), LIMIT)
    }

    /// The process of a brick.
    pub(super) fn brick(&self, brick: usize) -> anyhow::Result<Process> {
        wait_found(&format!("brick {brick} to be found"), || self.find_brick(brick))
    }

    /// Kills a brick, and waits until it is gone.
    pub(super) fn kill_brick(&self, brick: usize) -> anyhow::Result<()> {
        kill(&self.brick(brick)?)
    }

    /// Starts the bricks that do not run, and waits until all do.
    pub(super) fn start_bricks(&self) -> anyhow::Result<()> {
        self.gluster(&["volume", "start", VOLUME, "force"])?;
        let run = || (0..BRICKS).all(|brick| self.find_brick(brick).is_some()).then_some(());
        wait_for("every brick to run", LIMIT, run).map(drop)
    }

    /// Stops all of them where they are.
    pub(super) fn freeze(&self) -> anyhow::Result<()> {
        self.all()?.iter().try_for_each(Process::freeze)
    }

    /// Lets all of them go on.
    pub(super) fn go_on(&self) -> anyhow::Result<()> {
        self.all()?.iter().try_for_each(Process::go_on)
    }

    /// The last error of glusterd in this directory, for a message.
    pub(super) fn said(dir: &Path) -> String {
        let log = fs::read_to_string(dir.join("log/glusterd.log")).unwrap_or_default();
        let line = log.lines().rfind(|line| line.contains("] E [")).unwrap_or_default();
        format!("glusterd's last error: {line:?}")
    }

    /// An error where one is missing: a fault of fewer would be another one.
    fn all(&self) -> anyhow::Result<Vec<Process>> {
        [self.glusterd()].into_iter().chain((0..BRICKS).map(|brick| self.brick(brick))).collect()
    }

    fn glusterd(&self) -> anyhow::Result<Process> {
        wait_found("glusterd to be found", || self.find(GLUSTERD))
    }

    fn find_brick(&self, brick: usize) -> Option<Process> {
        self.find(brick_dir(&self.dir, brick))
    }

    /// The server with this word in its command line. It has put itself into the background, so it is the shell's child.
    fn find(&self, word: impl AsRef<Path>) -> Option<Process> {
        let is_it = |process: &Process| {
            let line = fs::read_to_string(format!("/proc/{}/cmdline", process.pid())).unwrap_or_default();
            line.split('\0').any(|one| Path::new(one) == word.as_ref())
        };
        self.init.children().into_iter().filter_map(|pid| Process::open(pid).ok()).find(is_it)
    }

    /// A command in there, which `nsenter` waits for.
    fn inside(&self, program: &str) -> Command {
        let mut command = Command::new(NSENTER);
        command.args(["--target", &self.init.pid().to_string(), "--mount", "--net", "--pid", "--", program]);
        command.env(PLACE_VARIABLE, self.dir.join("server"));
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It is gone when everything in its namespace is.
        self.init.end();
        let _ = self.init.wait_gone(GONE_LIMIT);
        end(&mut self.outer);
    }
}

/// Where a brick keeps its files.
pub(super) fn brick_dir(dir: &Path, brick: usize) -> PathBuf {
    dir.join(format!("brick{brick}"))
}

/// Waits for the shell's word.
fn wait_up(output: Option<ChildStdout>) -> anyhow::Result<()> {
    let mut output = output.context("no output")?;
    ensure!(waits_readable(output.as_fd(), LIMIT)?, "no word within {LIMIT:?}");
    let mut word = [0; 3];
    output.read_exact(&mut word).context("it ended")?;
    Ok(())
}

/// The process that a fault is for. An error where there is none: the fault would do nothing.
fn wait_found(what: &str, find: impl FnMut() -> Option<Process>) -> anyhow::Result<Process> {
    wait_for(what, FIND_LIMIT, find).map(|(process, _)| process)
}

fn kill(process: &Process) -> anyhow::Result<()> {
    process.end();
    process.wait_gone(GONE_LIMIT).map(drop)
}

fn first_child(outer: &Child) -> anyhow::Result<Process> {
    Process::open(i32::try_from(outer.id())?)?.child(LIMIT)
}

/// A child that nobody has waited for: its number is its own.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}
