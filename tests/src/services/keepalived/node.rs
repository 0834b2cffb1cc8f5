//! One node: a copy of the example with paths of its own, and its keepalived.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::process::Signal;

use super::record::Record;
use super::{PLACE_VARIABLE, Setup, examples};
use crate::process::{Process, programs};
use crate::services::command::run;
use crate::services::network::Namespace;

pub(super) const KEEPALIVED: &str = "/usr/sbin/keepalived";

/// Its interface on the link of VRRP.
pub(super) const LINK: &str = "vrrp";

/// The address of whoever is promoted.
const ADDRESS: &str = "10.0.1.100/24";

/// keepalived waits a second for its end.
const END_LIMIT: Duration = Duration::from_secs(20);

/// `ip` and the like.
const COMMAND_LIMIT: Duration = Duration::from_secs(10);

/// A node.
pub struct Node {
    name: String,
    place: PathBuf,
    host: Namespace,
    keepalived: Mutex<Option<Child>>,
}

impl Node {
    pub(super) fn new(dir: &Path, number: usize, setup: &Setup<'_>, record: &Record) -> anyhow::Result<Self> {
        let name = format!("node{}", number + 1);
        let host = Namespace::new()?;
        host.ip("link set lo up\n")?;
        let node = Self { place: dir.join(&name), name, host, keepalived: Mutex::default() };
        node.install(setup, record).with_context(|| format!("install the example of {}", examples().display()))?;
        Ok(node)
    }

    /// Copies the example, and gives it this node's paths and a service that can be seen.
    fn install(&self, setup: &Setup<'_>, record: &Record) -> anyhow::Result<()> {
        let from = examples().join("keepalived");
        let active = self.place.join("active");
        for directory in [&active, &self.state()] {
            fs::create_dir_all(directory)?;
        }
        for file in fs::read_dir(from.join("active"))? {
            let file = file?;
            fs::copy(file.path(), active.join(file.file_name()))?;
        }
        let conf = fs::read_to_string(from.join("keepalived.conf"))?;
        let (active_path, state_path) = (active.display().to_string(), self.state().display().to_string());
        let own = [("/etc/keepalived/active", &*active_path), ("/run/keepalived-active", &state_path), ("eth1", LINK)];
        let conf = own.iter().try_fold(conf, |conf, (theirs, ours)| {
            ensure!(conf.contains(theirs), "keepalived.conf does not name {theirs}");
            Ok(conf.replace(theirs, ours))
        })?;
        fs::write(self.conf(), conf)?;

        let tool = programs::helper("ctdb-mutex")?;
        let settings = active.join("settings");
        let settled = fs::read_to_string(&settings)?;
        let own = [
            ("LOCK", format!("'{}'", setup.lock)),
            ("GRACE_MILLISECONDS", setup.grace.as_millis().to_string()),
            ("DEMOTE_SECONDS", "3".to_owned()),
            ("REST_SECONDS", "2".to_owned()),
            ("ADDRESS", ADDRESS.to_owned()),
            ("INTERFACE", LINK.to_owned()),
            ("STATE", state_path),
            ("LOG", self.log().display().to_string()),
            ("CTDB_MUTEX", tool.display().to_string()),
        ];
        let own = own.iter().try_fold(settled.clone(), |all, (name, value)| {
            ensure!(settled.lines().any(|line| line.starts_with(&format!("{name}="))), "no setting {name}");
            Ok(format!("{all}{name}={value}\n"))
        })?;
        fs::write(&settings, own)?;

        let common = self.place.parent().context("a directory of both")?.display().to_string();
        let words =
            [("@COMMON@", &*common), ("@NODE@", &self.name), ("@RECORD@", &record.path().display().to_string())];
        for (hook, text) in [("promote", PROMOTE), ("demote", DEMOTE)] {
            fs::rename(active.join(hook), active.join(format!("{hook}.example")))?;
            let text = words.iter().fold(text.to_owned(), |text, (word, ours)| text.replace(word, ours));
            fs::write(active.join(hook), text)?;
            fs::set_permissions(active.join(hook), fs::Permissions::from_mode(0o755))?;
        }
        Ok(())
    }

    /// Its network.
    pub(super) fn host(&self) -> &Namespace {
        &self.host
    }

    fn state(&self) -> PathBuf {
        self.place.join("run")
    }

    fn conf(&self) -> PathBuf {
        self.place.join("keepalived.conf")
    }

    fn log(&self) -> PathBuf {
        self.place.join("log")
    }

    fn output(&self) -> PathBuf {
        self.place.join("output")
    }

    /// Starts keepalived.
    pub fn start(&self) -> anyhow::Result<()> {
        let output = File::options().create(true).append(true).open(self.output())?;
        let mut command = Command::new(KEEPALIVED);
        command.args(["--dont-fork", "--log-console", "--log-detail", "--vrrp", "--config-id", &self.name]);
        for (option, file) in
            [("--use-file", self.conf()), ("--pid", self.pid("pid")), ("--vrrp_pid", self.pid("vrrp"))]
        {
            command.arg(option).arg(file);
        }
        command.env(PLACE_VARIABLE, &self.place).process_group(0);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let _inside = self.host.enter()?;
        let child = command.spawn().context("start keepalived")?;
        *self.keepalived() = Some(child);
        Ok(())
    }

    fn pid(&self, of: &str) -> PathBuf {
        self.place.join(format!("keepalived.{of}"))
    }

    /// Ends keepalived as systemd does.
    pub fn stop(&self) -> anyhow::Result<()> {
        let mut running = self.keepalived();
        let mut child = running.take().with_context(|| format!("no keepalived runs on {}", self.name))?;
        let process = Process::open(i32::try_from(child.id())?)?;
        process.signal(Signal::TERM)?;
        let gone = process.wait_gone(END_LIMIT);
        // Nothing where it is gone.
        let _ = child.kill();
        child.wait()?;
        gone.map(drop)
    }

    /// Kills keepalived, both of its processes: none says anything any more.
    pub fn kill(&self) -> anyhow::Result<()> {
        let mut running = self.keepalived();
        let mut child = running.take().with_context(|| format!("no keepalived runs on {}", self.name))?;
        kill(&mut child)
    }

    /// Kills what campaigns for the lock, and that alone.
    pub fn kill_campaign(&self) -> anyhow::Result<()> {
        let pid = fs::read_to_string(self.state().join("pid")).context("nobody campaigns")?;
        Process::open(pid.trim().parse()?)?.signal(Signal::KILL)
    }

    /// Tells the example that the node is master as a keepalived does that is gone by the time that it is heard; until all
    /// that comes of it has ended.
    pub fn told_by_nobody(&self) -> anyhow::Result<()> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", ORPHAN]).arg(self.place.join("active/notify")).env(PLACE_VARIABLE, &self.place);
        let _inside = self.host.enter()?;
        run(&mut command, COMMAND_LIMIT).map(drop)
    }

    /// What keepalived has told the example last: `master`, `backup`, `fault` or `stop`.
    #[must_use]
    pub fn told(&self) -> Option<String> {
        Some(fs::read_to_string(self.state().join("wanted")).ok()?.trim().to_owned())
    }

    /// Whether it has the lock or tries to get it.
    #[must_use]
    pub fn campaigns(&self) -> bool {
        self.state().join("pid").exists()
    }

    /// Whether it has the address of the promoted one.
    pub fn has_address(&self) -> anyhow::Result<bool> {
        let _inside = self.host.enter()?;
        let shown = run(Command::new("/usr/sbin/ip").args(["-o", "address", "show", "dev", LINK]), COMMAND_LIMIT)?;
        Ok(shown.contains(ADDRESS))
    }

    /// Makes its `demote` hang, until that is mended.
    pub fn demotion_hangs(&self) -> anyhow::Result<Spoiled> {
        self.spoil("demotion-hangs")
    }

    /// Makes its `demote` fail.
    pub fn demotion_fails(&self) -> anyhow::Result<Spoiled> {
        self.spoil("demotion-fails")
    }

    /// Makes its `promote` fail, after it has done all it has to do.
    pub fn promotion_fails(&self) -> anyhow::Result<Spoiled> {
        self.spoil("promotion-fails")
    }

    fn spoil(&self, switch: &str) -> anyhow::Result<Spoiled> {
        let switch = self.place.join(switch);
        fs::write(&switch, "")?;
        Ok(Spoiled(switch))
    }

    /// How often its `demote` has failed.
    #[must_use]
    pub fn failures(&self) -> usize {
        fs::read_to_string(self.place.join("failures")).unwrap_or_default().lines().count()
    }

    /// What it said, for a message.
    pub(super) fn said(&self) -> String {
        let text = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
        format!("{} (told {:?}): {} {}", self.name, self.told(), text(self.log()), text(self.output()))
    }

    fn keepalived(&self) -> MutexGuard<'_, Option<Child>> {
        self.keepalived.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A hook that does not do what it should.
pub struct Spoiled(PathBuf);

impl Spoiled {
    /// From now on it does.
    pub fn mend(self) -> anyhow::Result<()> {
        fs::remove_file(&self.0).context("mend a hook")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.keepalived().take() {
            let _ = kill(&mut child);
        }
    }
}

/// The parent would start another in a killed one's place, and a killed parent's child would end in order.
fn kill(child: &mut Child) -> anyhow::Result<()> {
    let parent = Process::open(i32::try_from(child.id())?)?;
    let stopped = parent.freeze();
    for pid in parent.children() {
        Process::open(pid).and_then(|vrrp| vrrp.signal(Signal::KILL)).ok();
    }
    child.kill()?;
    child.wait()?;
    stopped
}

/// All that comes of it has the pipe to `cat`, which ends with the last.
const ORPHAN: &str = r#"/bin/sh -c '{
    until read -r _ _ _ parent _ </proc/self/stat && [ "$parent" != $$ ]; do sleep 0.01; done
    exec "$0" master
} 8>&1 &' "$0" | cat
"#;

/// Its service does not end at SIGTERM: somebody has to see to it. Before it begins, nobody else's may be there.
const PROMOTE: &str = r#"#!/bin/sh
set -eu
here=${0%/*}
note() { echo "$1 @NODE@ $(date +%s.%N)" >>@RECORD@; }
for other in @COMMON@/service.*; do
    [ "$other" != @COMMON@/service.@NODE@ ] || continue
    if pid=$(cat "$other" 2>/dev/null) && kill -0 "$pid" 2>/dev/null; then note overlap; fi
done
note promoting
(trap '' TERM INT HUP; exec sleep 600) &
echo $! >@COMMON@/service.@NODE@
"$0.example"
[ ! -e "${here%/*}/promotion-fails" ] || exit 1
note promoted
"#;

const DEMOTE: &str = r#"#!/bin/sh
set -eu
here=${0%/*}
[ ! -e "${here%/*}/demotion-hangs" ] || sleep 600
if [ -e "${here%/*}/demotion-fails" ]; then
    echo "$$" >>"${here%/*}/failures"
    exit 1
fi
if pid=$(cat @COMMON@/service.@NODE@ 2>/dev/null); then
    kill -KILL "$pid" 2>/dev/null || true
    rm @COMMON@/service.@NODE@
fi
"$0.example"
echo "demoted @NODE@ $(date +%s.%N)" >>@RECORD@
"#;
