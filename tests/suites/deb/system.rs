//! A Debian in a directory in memory, with the real ctdb. Made once a run; each trial has a copy.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use mutex_tests::packages::{self, SUFFIXES};
use mutex_tests::process::command::{run, succeeded};
use mutex_tests::services::ctdb::view::Root;
use mutex_tests::services::in_memory;
use tempfile::TempDir;

/// What our packages need there.
const INCLUDE: &str = "--include=ctdb,librados2,strace,fuse3";

/// A system and its copy are about 300 MiB each.
const ROOM: u64 = 3 << 30;

/// Where those change files at every call of theirs.
const OF_DPKG: [&str; 4] = ["/var/lib/dpkg", "/var/log", "/var/cache", "/tmp"];

static SHARED: Mutex<Option<TempDir>> = Mutex::new(None);

/// A Debian without our packages. Goes with this value.
pub(crate) struct System {
    dir: TempDir,
}

/// Removes what all copies are from.
pub(crate) fn end_shared() {
    SHARED.lock().unwrap_or_else(PoisonError::into_inner).take();
}

fn directory() -> anyhow::Result<TempDir> {
    let dir = in_memory::directory("mutex-deb-", ROOM)?;
    // mmdebstrap's own user for downloads reads there, and ctdbd's clients.
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755))?;
    Ok(dir)
}

fn make() -> anyhow::Result<TempDir> {
    let dir = directory()?;
    let release = fs::read_to_string("/etc/os-release").context("read /etc/os-release")?;
    let suite = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let mut command = Command::new("mmdebstrap");
    command.args(["--quiet", "--variant=minbase", INCLUDE]).arg(suite.context("this is no Debian")?);
    run(command.arg(dir.path().join("root")).stdin(Stdio::null()))?;
    Ok(dir)
}

impl System {
    /// One with ctdb, and nothing of ours.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let made = match shared.take() {
            Some(made) => made,
            None => make()?,
        };
        let made = shared.insert(made);
        let dir = directory()?;
        run(Command::new("cp").arg("-a").args([made.path().join("root"), dir.path().join("root")]))?;
        Ok(Self { dir })
    }

    /// The same with all our packages.
    pub(crate) fn installed() -> anyhow::Result<Self> {
        let system = Self::new()?;
        system.install(&SUFFIXES)?;
        Ok(system)
    }

    /// Where it is.
    pub(crate) fn root(&self) -> Root {
        Root(self.path().to_owned())
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// Runs a command in it.
    pub(crate) fn output(&self, words: &[&str]) -> anyhow::Result<Output> {
        let (program, arguments) = words.split_first().context("no program")?;
        let mut command = Command::new(program);
        command.args(arguments).env("LC_ALL", "C.UTF-8").env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        self.root().output(command.stdin(Stdio::null())).with_context(|| words.join(" "))
    }

    /// Runs one that must succeed.
    pub(crate) fn run(&self, words: &[&str]) -> anyhow::Result<String> {
        succeeded(&self.output(words)?).with_context(|| words.join(" "))
    }

    /// Installs those of our packages whose names end so.
    pub(crate) fn install(&self, suffixes: &[&str]) -> anyhow::Result<()> {
        let place = self.path().join("var/cache/debs");
        fs::create_dir_all(&place)?;
        let mut words = vec!["dpkg".to_owned(), "--install".to_owned()];
        for suffix in suffixes {
            let deb = packages::deb(suffix)?;
            let name = deb.file_name().context("a package without a name")?;
            fs::copy(&deb, place.join(name))?;
            words.push(format!("/var/cache/debs/{}", name.to_string_lossy()));
        }
        self.run(&words.iter().map(String::as_str).collect::<Vec<_>>()).map(drop)
    }

    /// Configures this system's CTDB with a lock.
    pub(crate) fn configure(&self, lock: &str) -> anyhow::Result<()> {
        let conf = format!("[cluster]\n  cluster lock = {lock}\n");
        fs::write(self.path().join("etc/ctdb/ctdb.conf"), conf).context("write ctdb.conf")
    }

    /// Every path in it but dpkg's own.
    pub(crate) fn files(&self) -> anyhow::Result<BTreeSet<String>> {
        let root = self.path();
        let mut files = BTreeSet::new();
        let mut left = vec![root.clone()];
        while let Some(dir) = left.pop() {
            for entry in fs::read_dir(&dir).with_context(|| format!("read {}", dir.display()))? {
                let path = entry?.path();
                let about = path.symlink_metadata()?;
                let inside = format!("/{}", path.strip_prefix(&root)?.display());
                if OF_DPKG.contains(&inside.as_str()) {
                    continue;
                }
                if about.is_dir() {
                    left.push(path);
                }
                files.insert(format!("{inside} {:o} {}:{}", about.mode(), about.uid(), about.gid()));
            }
        }
        Ok(files)
    }
}
