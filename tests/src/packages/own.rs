//! Packages of a run that was given none: built once for each state of the tree, and kept with what cargo builds.
//!
//! They take minutes, and two suites want them: the first one builds, the other finds them. The next state's replace them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, anyhow};
use nix::fcntl::{Flock, FlockArg};

use crate::process::command::run;
use crate::process::programs;
use crate::services::in_memory;

/// What all builds, with their compiled crates, need.
const ROOM: u64 = 8 << 30;

/// What a build leaves that nobody installs.
const LEFT: [&str; 4] = ["BUILD", "BUILDROOT", "SOURCES", "SPECS"];

/// The packages, and what keeps them there while this process lives.
static FOUND: Mutex<Option<(PathBuf, Flock<File>)>> = Mutex::new(None);

pub(super) fn directory() -> anyhow::Result<PathBuf> {
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((dir, _)) = &*found {
        return Ok(dir.clone());
    }
    let all = programs::target_dir()?.join("test-packages");
    fs::create_dir_all(&all).with_context(|| format!("make {}", all.display()))?;
    // Nobody else builds or removes meanwhile.
    let lock = Flock::lock(File::open(&all)?, FlockArg::LockExclusive);
    let lock = lock.map_err(|(_, error)| anyhow!(error)).with_context(|| format!("lock {}", all.display()))?;
    let dir = all.join(state()?);
    if !dir.is_dir() {
        for old in fs::read_dir(&all)? {
            fs::remove_dir_all(old?.path())?;
        }
        build(&dir)?;
    }
    lock.relock(FlockArg::LockShared).context("let others read")?;
    *found = Some((dir.clone(), lock));
    Ok(dir)
}

/// The commit, which has the time of everything, and what git knows to be different from it.
fn state() -> anyhow::Result<String> {
    let git = |arguments: &[&str]| -> anyhow::Result<String> {
        let text = run(Command::new("git").arg("-C").arg(env!("CARGO_MANIFEST_DIR")).args(arguments))?;
        Ok(text.trim().to_owned())
    };
    let head = git(&["rev-parse", "HEAD"])?;
    // Of the working tree, as a commit that nothing refers to; nothing where there is no difference.
    let changed = git(&["stash", "create"])?;
    let tree = git(&["rev-parse", &format!("{}^{{tree}}", if changed.is_empty() { &head } else { &changed })])?;
    Ok(format!("{head}-{tree}"))
}

fn build(dir: &Path) -> anyhow::Result<()> {
    let place = in_memory::directory("mutex-packages-", ROOM).context("make a directory")?;
    let built = place.path().join("packages");
    run(Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/build-packages")).arg(&built))?;
    for entry in fs::read_dir(&built)? {
        let of_build = entry?.path();
        for left in LEFT.map(|name| of_build.join(name)).iter().filter(|left| left.is_dir()) {
            fs::remove_dir_all(left)?;
        }
    }
    // Whole, or not under this name.
    let part = dir.with_extension("part");
    run(Command::new("cp").arg("-a").args([&built, &part]))?;
    fs::rename(&part, dir).with_context(|| format!("name {}", dir.display()))
}
