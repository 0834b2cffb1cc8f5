//! A Debian in a directory in memory, with the real ctdb. Made once a run; each trial has a copy.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, ensure};
use mutex_tests::services::ctdb::view::Root;
use mutex_tests::services::in_memory;
use tempfile::TempDir;

/// What our packages need there.
const INCLUDE: &str = "--include=ctdb,librados2,strace,fuse3";

/// A system and its copy are about 300 MiB each.
const ROOM: u64 = 3 << 30;

/// Our packages.
pub(crate) const ALL: [&str; 6] = [
    "ctdb-mutex-helpers",
    "ctdb-mutex-helpers-rados",
    "ctdb-mutex-helpers-etcd",
    "ctdb-mutex-helpers-events",
    "ctdb-mutex-helpers-selinux",
    "ctdb-mutex-helpers-tests",
];

/// Where those change files at every call of theirs.
const OF_DPKG: [&str; 4] = ["/var/lib/dpkg", "/var/log", "/var/cache", "/tmp"];

static SHARED: Mutex<Option<Made>> = Mutex::new(None);

struct Made {
    dir: TempDir,
    /// Where the .debs are.
    debs: PathBuf,
}

/// A Debian without our packages. Goes with this value.
pub(crate) struct System {
    dir: TempDir,
    debs: PathBuf,
}

/// Removes what all copies are from.
pub(crate) fn end_shared() {
    SHARED.lock().unwrap_or_else(PoisonError::into_inner).take();
}

fn make() -> anyhow::Result<Made> {
    let dir = in_memory::directory("mutex-deb-", ROOM)?;
    // mmdebstrap's own user for downloads reads there, and ctdbd's clients.
    fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let debs = match std::env::var_os("PACKAGES_DIR") {
        Some(packages) => PathBuf::from(packages).join("first"),
        None => {
            let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("build-packages");
            let packages = dir.path().join("packages");
            succeeded(Command::new(build).arg(&packages).output().context("run tests/build-packages")?)?;
            packages.join("first")
        }
    };
    let release = fs::read_to_string("/etc/os-release").context("read /etc/os-release")?;
    let suite = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let mut command = Command::new("mmdebstrap");
    command.args(["--quiet", "--variant=minbase", INCLUDE]).arg(suite.context("this is no Debian")?);
    let output = command.arg(dir.path().join("root")).stdin(Stdio::null()).output();
    succeeded(output.context("run mmdebstrap (package mmdebstrap)")?)?;
    Ok(Made { dir, debs })
}

fn succeeded(output: Output) -> anyhow::Result<String> {
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    ensure!(output.status.success(), "{}; {out} {err}", output.status);
    Ok(out)
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
        let dir = in_memory::directory("mutex-deb-", ROOM)?;
        fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let from = made.dir.path().join("root");
        succeeded(Command::new("cp").arg("-a").arg(from).arg(dir.path().join("root")).output()?).context("copy it")?;
        Ok(Self { dir, debs: made.debs.clone() })
    }

    /// The same with all our packages.
    pub(crate) fn installed() -> anyhow::Result<Self> {
        let system = Self::new()?;
        system.install(&ALL)?;
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
        succeeded(self.output(words)?).with_context(|| words.join(" "))
    }

    /// Installs these of our packages.
    pub(crate) fn install(&self, packages: &[&str]) -> anyhow::Result<()> {
        let place = self.path().join("var/cache/debs");
        fs::create_dir_all(&place)?;
        let mut words = vec!["dpkg".to_owned(), "--install".to_owned()];
        for package in packages {
            let found = fs::read_dir(&self.debs).with_context(|| format!("read {}", self.debs.display()))?;
            let names = found.flatten().filter_map(|entry| entry.file_name().into_string().ok());
            let mut of_package =
                names.filter(|name| name.starts_with(&format!("{package}_")) && name.ends_with(".deb"));
            let name = of_package.next().with_context(|| format!("no {package} in {}", self.debs.display()))?;
            fs::copy(self.debs.join(&name), place.join(&name))?;
            words.push(format!("/var/cache/debs/{name}"));
        }
        self.run(&words.iter().map(String::as_str).collect::<Vec<_>>()).map(drop)
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
