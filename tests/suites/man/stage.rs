//! The machine that examples see: a mount namespace of the page's own, in which the documented paths lead to the bench.
//!
//! `/usr`, `/etc` and `/var` are this machine's, and what is written there goes into a directory of the stage's. `/clusterfs`
//! is a directory, or a real mount. All else is this machine's own.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::Context;
use mutex_tests::process::mounts::{bind, forget_others, in_thread, leave_others};
use mutex_tests::process::programs;
use mutex_tests::services::ceph::Ceph;
use mutex_tests::services::cluster_fs::ClusterFs;
use mutex_tests::services::in_memory;
use nix::mount::{MsFlags, mount};

use crate::needs::Needs;
use crate::pages;

/// Where the root is put together. Nothing of ours is there.
const ROOT: &str = "/mnt";

/// What is written to goes on the stage alone.
const COPIED: [&str; 3] = ["usr", "etc", "var"];

/// What pages write there is small.
const MOST: u64 = 16 << 20;

/// The lock of a ctdb.conf that no example has written.
const CTDB_CONF: &str =
    "[cluster]\n  cluster lock = !/usr/libexec/ctdb/ctdb_mutex_file_helper /clusterfs/ctdb/lock 1 2\n";

/// The bench has no service manager: its command knows the words that are for CTDB's unit.
const SYSTEMCTL: &str = r#"#!/bin/sh
case "$*" in
    "edit ctdb" | "start ctdb" | "stop ctdb" | "restart ctdb" | "status ctdb" | "show ctdb"* | daemon-reload) ;;
    *) echo "systemctl $*: not known to the bench" >&2; exit 1 ;;
esac
"#;

/// Runs this on the stage. What it starts stays there; the stage goes with the last of that.
pub(crate) fn on_stage(needs: &Needs, play: impl FnOnce() -> anyhow::Result<()> + Send) -> anyhow::Result<()> {
    let dir = in_memory::directory("mutex-man-", MOST).context("make a directory")?;
    let root = needs.ceph.as_deref();
    let cluster_fs = needs.cluster_fs.as_ref().map(|fs| fs.mount_point(0));
    let stage = Stage { dir: dir.path(), ceph: root, cluster_fs };
    in_thread(|| stage.enter().and_then(|()| play()))
}

struct Stage<'a> {
    dir: &'a Path,
    ceph: Option<&'a Ceph>,
    cluster_fs: Option<&'a Path>,
}

impl Stage<'_> {
    fn enter(&self) -> anyhow::Result<()> {
        let programs = programs_to_install()?;
        leave_others()?;
        mount(Some("none"), ROOT, Some("tmpfs"), MsFlags::empty(), None::<&str>).context("mount a root")?;
        self.cluster_fs()?;
        forget_others(None)?;
        for entry in fs::read_dir("/").context("read /")? {
            self.entry(&entry?.path())?;
        }
        for (program, documented) in programs {
            put(&program, &documented)?;
        }
        self.furnish()?;
        std::os::unix::fs::chroot(ROOT).context("chroot")?;
        std::env::set_current_dir("/").context("go to the root")
    }

    fn cluster_fs(&self) -> anyhow::Result<()> {
        let place = inside("/clusterfs");
        fs::create_dir(&place).context("make /clusterfs")?;
        if let Some(source) = self.cluster_fs {
            bind(source, &place)?;
        }
        fs::create_dir_all(place.join("ctdb")).context("make /clusterfs/ctdb")
    }

    /// One name in the root.
    fn entry(&self, path: &Path) -> anyhow::Result<()> {
        let there = inside(path);
        let kind = fs::symlink_metadata(path)?.file_type();
        if path == Path::new(ROOT) || there.exists() {
            return Ok(());
        }
        if kind.is_symlink() {
            return Ok(symlink(fs::read_link(path)?, there)?);
        }
        if !kind.is_dir() {
            return Ok(());
        }
        fs::create_dir(&there)?;
        match path.file_name().and_then(|name| name.to_str()).filter(|name| COPIED.contains(name)) {
            Some(name) => self.overlay(name, path, &there),
            None => bind(path, &there),
        }
    }

    fn overlay(&self, name: &str, lower: &Path, there: &Path) -> anyhow::Result<()> {
        let (upper, work) = (self.dir.join(name), self.dir.join(format!("{name}.work")));
        fs::create_dir(&upper)?;
        fs::create_dir(&work)?;
        let options = format!("lowerdir={},upperdir={},workdir={}", lower.display(), upper.display(), work.display());
        let mounted = mount(Some("overlay"), there, Some("overlay"), MsFlags::empty(), Some(&*options));
        mounted.with_context(|| format!("mount an overlay over {}", lower.display()))
    }

    /// What the documented machine has.
    fn furnish(&self) -> anyhow::Result<()> {
        write("/etc/ctdb/ctdb.conf", CTDB_CONF)?;
        write("/usr/bin/systemctl", SYSTEMCTL)?;
        fs::set_permissions(inside("/usr/bin/systemctl"), fs::Permissions::from_mode(0o755))?;
        let script = "02.mutex.script";
        put(&programs::event_script(script)?, &format!("/usr/share/ctdb/events/legacy/{script}"))?;
        if let Some(ceph) = self.ceph {
            write("/etc/ceph/ceph.conf", &fs::read_to_string(ceph.conf())?)?;
        }
        for dir in ["/etc/bash_completion.d", "/etc/fish/completions", "/usr/local/share/zsh/site-functions"] {
            fs::create_dir_all(inside(dir))?;
        }
        Ok(())
    }
}

/// The programs, and where the pages say that they are.
fn programs_to_install() -> anyhow::Result<Vec<(PathBuf, String)>> {
    let place = |program: &String| {
        let dir = if program == "ctdb-mutex" { "/usr/bin" } else { "/usr/libexec/ctdb" };
        Ok((programs::helper(program)?, format!("{dir}/{program}")))
    };
    pages::programs()?.iter().map(place).collect()
}

/// A path of the stage, seen from outside.
fn inside(path: impl AsRef<Path>) -> PathBuf {
    let path = path.as_ref();
    Path::new(ROOT).join(path.strip_prefix("/").unwrap_or(path))
}

fn write(path: &str, text: &str) -> anyhow::Result<()> {
    let path = inside(path);
    fs::create_dir_all(path.parent().context("a file in no directory")?)?;
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))
}

/// Puts a file of the bench where it is said to be.
fn put(source: &Path, documented: &str) -> anyhow::Result<()> {
    if !inside(documented).exists() {
        write(documented, "")?;
    }
    bind(source, &inside(documented))
}
