//! `--require-fs` and `--health` on each.

use std::fs;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::wait::wait_for;

use crate::{FileSystem, GONE, LOCK_TYPES, Start, helper, new_directory, trial};

pub(crate) fn trials(system: FileSystem) -> Vec<Trial> {
    let name = |promise: &str| format!("{}: {promise}", system.name);
    let cautious = system.caution.map(|(start, word)| {
        trial(name("--health and -v say why no lock is to be relied on"), move || cautious(start, word))
    });
    let of_all = [
        trial(name("--require-fs refuses the bare mount point, and takes the mount"), move || required(system)),
        trial(name("--health names the file system, and says nothing against any lock type"), move || health(system)),
    ];
    of_all.into_iter().chain(cautious).collect()
}

fn required(system: FileSystem) -> anyhow::Result<()> {
    let cluster_fs = (system.own)()?;
    let mount_point = cluster_fs.mount_point(0).to_owned();
    let launch = || -> anyhow::Result<_> {
        let launch = helper(&mount_point.join("lock"), "posix", 1, 2)?;
        Ok(launch.args(&["--require-fs", cluster_fs.kind(), "--acquire-timeout-seconds", "10"]))
    };
    let unmounted = cluster_fs.unmounted(0);
    let bare = unmounted.inject()?;
    let early = launch()?.start()?;
    early.expect('3', ANSWER_LIMIT).context("before the mount")?;
    // The line comes after the byte.
    early.gone(GONE)?;
    let line = early.one_line()?;
    ensure!(line.contains(cluster_fs.kind()), "the line {line:?} does not name {}", cluster_fs.kind());
    ensure!(fs::read_dir(&mount_point)?.next().is_none(), "something was made under the mount point");
    bare.heal()?;
    launch()?.start()?.expect('0', ANSWER_LIMIT).context("after the mount")
}

fn health(system: FileSystem) -> anyhow::Result<()> {
    let fs = (system.shared)()?;
    let dir = new_directory(fs.as_ref())?;
    for lock_type in LOCK_TYPES {
        let file = fs.mount_point(0).join(&dir).join(lock_type);
        helper(&file, lock_type, 1, 2)?.start()?.expect('0', ANSWER_LIMIT)?;
        let answer = helper(&file, lock_type, 1, 2)?.arg("--health").answer(ANSWER_LIMIT)?;
        let text = String::from_utf8(answer.stdout)?;
        ensure!(answer.code == 0, "{lock_type}: exit code {}, {text:?}, {:?}", answer.code, answer.stderr);
        ensure!(text.contains(fs.kind()), "{lock_type}: {text:?} does not name {}", fs.kind());
        ensure!(!text.contains(';'), "{lock_type}: a caution without a reason: {text:?}");
    }
    Ok(())
}

fn cautious(start: Start, word: &str) -> anyhow::Result<()> {
    let fs = start()?;
    for lock_type in LOCK_TYPES {
        let file = fs.mount_point(0).join(lock_type);
        let verbose = helper(&file, lock_type, 1, 2)?.arg("-v").start()?;
        verbose.expect('0', ANSWER_LIMIT)?;
        let warned = || verbose.stderr().is_ok_and(|text| text.contains(word)).then_some(());
        wait_for("-v to warn", ANSWER_LIMIT, warned).with_context(|| format!("{lock_type}: {:?}", verbose.stderr()))?;
        let answer = helper(&file, lock_type, 1, 2)?.arg("--health").answer(ANSWER_LIMIT)?;
        let text = String::from_utf8(answer.stdout)?;
        ensure!(answer.code == 0 && text.contains(word), "{lock_type}: --health: exit code {}, {text:?}", answer.code);
    }
    Ok(())
}
