//! A path that leads somewhere else on each node.
//!
//! CTDB refuses nodes whose `cluster lock` differ, and on one machine each node has its cluster file system mounted at a
//! place of its own. So a node's ctdbd can be started in a mount namespace of its own, in which that mount is found at the
//! path that all nodes name. All that ctdbd starts is in it too; it goes with the last process inside.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::Context;
use nix::unistd::{chdir, chroot};

use crate::process::mounts::{bind, forget_others, in_thread, leave_others};

/// The path, and the directory that it leads to on each node.
pub struct Common {
    /// A directory that nothing else is done with.
    pub path: PathBuf,
    /// One a node.
    pub leads_to: Vec<PathBuf>,
}

/// A directory with a system in it, for what is to run as if that were the machine's.
#[derive(Clone)]
pub struct Root(pub PathBuf);

/// What every system has from its kernel.
const FROM_KERNEL: [&str; 3] = ["proc", "sys", "dev"];

impl Root {
    /// Runs a command there; its own /dev/shm and temporary files are the machine's. What is mounted for it goes with it.
    ///
    /// # Errors
    /// Where the command cannot be started.
    pub fn output(&self, command: &mut Command) -> anyhow::Result<Output> {
        in_thread(|| self.enter().and_then(|()| Ok(command.output()?)))
    }

    fn enter(&self) -> anyhow::Result<()> {
        leave_others()?;
        forget_others(None)?;
        // As a machine's root is one; what looks for a path's file system finds it among the mounts.
        bind(&self.0, &self.0)?;
        for name in FROM_KERNEL {
            bind(&Path::new("/").join(name), &self.0.join(name))?;
        }
        // A cluster's directory has the same name inside. Below /dev/shm it has that already.
        let temporary = std::env::temp_dir();
        let inside = self.0.join(temporary.strip_prefix("/").context("a temporary directory without a root")?);
        fs::create_dir_all(&inside)?;
        bind(&temporary, &inside)?;
        // Of this thread alone: what has a mount namespace of its own has a root of its own.
        chroot(&self.0).with_context(|| format!("make {} the root", self.0.display()))?;
        Ok(chdir("/")?)
    }
}

/// What one node has there.
pub(super) struct View {
    path: PathBuf,
    leads_to: PathBuf,
}

impl Common {
    pub(super) fn view(&self, node: usize) -> anyhow::Result<View> {
        let leads_to =
            self.leads_to.get(node).with_context(|| format!("node {node} has nothing at the common path"))?;
        Ok(View { path: self.path.clone(), leads_to: leads_to.clone() })
    }
}

impl View {
    /// Runs a command there and waits for its end. What it leads to is looked up now: a mount that was made anew is found.
    pub(super) fn output(&self, command: &mut Command) -> anyhow::Result<Output> {
        in_thread(|| self.enter().and_then(|()| Ok(command.output()?)))
    }

    /// Puts this thread there.
    fn enter(&self) -> anyhow::Result<()> {
        leave_others()?;
        bind(&self.leads_to, &self.path)?;
        forget_others(Some(&self.path))
    }
}
