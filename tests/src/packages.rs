//! The packages that `tests/build-packages` makes: where they are, and what they say of themselves.
//!
//! | module | what is in it |
//! |---|---|
//! | `own` | those of a run that was given none |
//! | this one | a package by its name |

mod own;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use tempfile::TempDir;

use crate::process::command::run;

/// The name of the source package and of the first binary one.
pub const NAME: &str = "ctdb-mutex-helpers";

/// How the names go on of those that are installed; what has debug information alone belongs to no case.
pub const SUFFIXES: [&str; 6] = ["", "-rados", "-etcd", "-events", "-selinux", "-tests"];

/// The directory that `tests/build-packages` has filled: PACKAGES_DIR, else one of the tests' own.
///
/// # Errors
/// Where there is none and none can be built.
pub fn directory() -> anyhow::Result<PathBuf> {
    let Some(dir) = std::env::var_os("PACKAGES_DIR") else { return own::directory() };
    let dir = PathBuf::from(dir);
    ensure!(dir.is_absolute(), "PACKAGES_DIR {}: must be an absolute path", dir.display());
    Ok(dir)
}

/// The names of those that are installed.
#[must_use]
pub fn names() -> Vec<String> {
    SUFFIXES.iter().map(|suffix| format!("{NAME}{suffix}")).collect()
}

/// All RPMs of one build, the source's too, in the order of their names.
///
/// # Errors
/// Where it has left none.
pub fn rpms(build: &str) -> anyhow::Result<Vec<PathBuf>> {
    let dir = directory()?.join(build);
    let mut found = Vec::new();
    for folder in ["SRPMS", "RPMS/noarch", &format!("RPMS/{}", std::env::consts::ARCH)] {
        found.extend(entries(&dir.join(folder))?);
    }
    found.sort();
    Ok(found)
}

/// The binary RPM of this build whose name ends so.
///
/// # Errors
/// Where there is none.
pub fn rpm(build: &str, suffix: &str) -> anyhow::Result<PathBuf> {
    named(rpms(build)?, &format!("{NAME}{suffix}-0."), |file| file.ends_with(".rpm") && !file.ends_with(".src.rpm"))
}

/// The Debian package whose name ends so.
///
/// # Errors
/// Where there is none.
pub fn deb(suffix: &str) -> anyhow::Result<PathBuf> {
    named(entries(&directory()?.join("first"))?, &format!("{NAME}{suffix}_"), |file| file.ends_with(".deb"))
}

/// The lines that `rpm -qp` prints of a package with these options.
///
/// # Errors
/// Where that is no package.
pub fn query(rpm: &Path, options: &[&str]) -> anyhow::Result<Vec<String>> {
    // The packages of Debian's rpm are no concern of this query, and it has its own place for them.
    let text = run(Command::new("rpm").args(["--dbpath", "/nonexistent", "-qp"]).args(options).arg(rpm))?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn entries(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

fn named(all: Vec<PathBuf>, begins: &str, ends: impl Fn(&str) -> bool) -> anyhow::Result<PathBuf> {
    let is_it = |path: &PathBuf| {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        file.starts_with(begins) && ends(&file)
    };
    all.into_iter().find(is_it).with_context(|| format!("no package {begins}*"))
}

/// What a Debian package has in it, unpacked.
///
/// # Errors
/// Where that is no package.
pub fn unpacked_deb(deb: &Path) -> anyhow::Result<TempDir> {
    let dir = directory_of_own()?;
    run(Command::new("dpkg-deb").arg("--extract").arg(deb).arg(dir.path()))?;
    Ok(dir)
}

/// What an RPM has in it, unpacked.
///
/// # Errors
/// Where that is no package.
pub fn unpacked_rpm(rpm: &Path) -> anyhow::Result<TempDir> {
    let dir = directory_of_own()?;
    // Beside what comes out of it.
    let archive = directory_of_own()?;
    let archive = archive.path().join("archive");
    let mut rpm2cpio = Command::new("rpm2cpio");
    rpm2cpio.arg(rpm).stdout(File::create(&archive)?);
    ensure!(rpm2cpio.status().context("run rpm2cpio (package rpm2cpio)")?.success(), "rpm2cpio {}", rpm.display());
    let mut cpio = Command::new("cpio");
    cpio.args(["--extract", "--make-directories", "--quiet"]).current_dir(dir.path()).stdin(File::open(&archive)?);
    run(&mut cpio).context("unpack (package cpio)")?;
    Ok(dir)
}

fn directory_of_own() -> anyhow::Result<TempDir> {
    tempfile::Builder::new().prefix("mutex-").tempdir().context("make a directory")
}
