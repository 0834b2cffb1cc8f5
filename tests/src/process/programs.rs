//! Where the programs are.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

/// A helper's binary: in the directory that HELPER_DIR names (so the suite can be run against installed helpers too),
/// else where cargo put it, beside this test.
pub fn helper(name: &str) -> anyhow::Result<PathBuf> {
    let dir = match std::env::var_os("HELPER_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => profile_dir()?,
    };
    let path = dir.join(name);
    ensure!(path.is_absolute(), "HELPER_DIR {}: must be an absolute path, CTDB's is one", dir.display());
    ensure!(path.is_file(), "{}: not there; build it with: cargo build --workspace", path.display());
    Ok(path)
}

/// An event script for CTDB: in the directory that EVENTS_DIR names, else in the tree.
pub fn event_script(name: &str) -> anyhow::Result<PathBuf> {
    let in_tree = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../helpers/cli/events");
    let path = std::env::var_os("EVENTS_DIR").map_or_else(in_tree, PathBuf::from).join(name);
    ensure!(path.is_file(), "{}: not there; EVENTS_DIR names the directory of the event scripts", path.display());
    Ok(path)
}

/// A program of this package.
pub fn own(name: &str) -> anyhow::Result<PathBuf> {
    let path = profile_dir()?.join(name);
    ensure!(path.is_file(), "{}: not there; build it with: cargo build -p mutex-tests", path.display());
    Ok(path)
}

/// A program that a package of the distribution brings.
pub fn packaged(path: &str, package: &str) -> anyhow::Result<PathBuf> {
    let path = PathBuf::from(path);
    ensure!(path.is_file(), "{}: not there; install the package {package}", path.display());
    Ok(path)
}

/// Where cargo puts what it builds.
pub fn target_dir() -> anyhow::Result<PathBuf> {
    let profile = profile_dir()?;
    Ok(profile.parent().context("a profile's directory lies in no other")?.to_owned())
}

/// `target/debug` or `target/release`: tests run from `deps` below it, programs from itself.
fn profile_dir() -> anyhow::Result<PathBuf> {
    let exe = std::env::current_exe().context("find this program")?;
    let dir = exe.parent().context("this program lies in no directory")?;
    let profile = if dir.ends_with("deps") { dir.parent().unwrap_or(dir) } else { dir };
    Ok(Path::to_path_buf(profile))
}
