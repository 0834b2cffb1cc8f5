//! Where the RPMs are, and what rpm says of them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, bail, ensure};
use mutex_tests::services::in_memory;
use tempfile::TempDir;

/// The name of the source package and of the first binary one.
pub(crate) const NAME: &str = "ctdb-mutex-helpers";

/// Those that are installed; debuginfo is not, and belongs to no case.
pub(crate) const INSTALLED: [&str; 6] = ["", "-rados", "-etcd", "-events", "-selinux", "-tests"];

/// What two builds, with their compiled crates, need.
const ROOM: u64 = 8 << 30;

/// Those of a run without PACKAGES_DIR.
static OWN: Mutex<Option<TempDir>> = Mutex::new(None);

/// The directory that `tests/build-packages` has filled.
pub(crate) fn directory() -> anyhow::Result<PathBuf> {
    if let Some(dir) = std::env::var_os("PACKAGES_DIR") {
        let dir = PathBuf::from(dir);
        ensure!(dir.is_absolute(), "PACKAGES_DIR {}: must be an absolute path", dir.display());
        return Ok(dir);
    }
    let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
    if own.is_none() {
        let dir = in_memory::directory("mutex-packages-", ROOM).context("make a directory")?;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/build-packages");
        run(Command::new(script).arg(dir.path()))?;
        *own = Some(dir);
    }
    Ok(own.as_ref().context("no directory")?.path().to_owned())
}

/// Removes what this run has built.
pub(crate) fn end() {
    drop(OWN.lock().unwrap_or_else(PoisonError::into_inner).take());
}

/// All RPMs of one of the two builds, the source's too, in the order of their names.
pub(crate) fn all(build: &str) -> anyhow::Result<Vec<PathBuf>> {
    let dir = directory()?.join(build);
    let mut found = Vec::new();
    for folder in ["SRPMS", "RPMS/noarch", &format!("RPMS/{}", std::env::consts::ARCH)] {
        let folder = dir.join(folder);
        for entry in std::fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
            found.push(entry?.path());
        }
    }
    found.sort();
    Ok(found)
}

/// The binary package whose name ends so, of the first build.
pub(crate) fn package(suffix: &str) -> anyhow::Result<PathBuf> {
    let begins = format!("{NAME}{suffix}-0.");
    let of_name = |path: &PathBuf| {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        file.starts_with(&begins) && !file.ends_with(".src.rpm")
    };
    let Some(found) = all("first")?.into_iter().find(of_name) else { bail!("no RPM {begins}*") };
    Ok(found)
}

/// Those that are installed, of the first build.
pub(crate) fn installed() -> anyhow::Result<Vec<PathBuf>> {
    INSTALLED.into_iter().map(package).collect()
}

/// The lines that `rpm -qp` prints of a package with these options.
pub(crate) fn query(package: &Path, options: &[&str]) -> anyhow::Result<Vec<String>> {
    // The packages of Debian's rpm are no concern of this query, and it has its own place for them.
    let text = run(Command::new("rpm").args(["--dbpath", "/nonexistent", "-qp"]).args(options).arg(package))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// Runs a command that must succeed; what it printed.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<String> {
    let output = output(command)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}\n{text}{errors}", output.status);
    Ok(text)
}

/// Runs a command to its end.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.output().with_context(|| format!("run {program} (install the package that has it: see tests/install-deps)"))
}
