//! `--break`: why a file lock cannot be broken.

use anyhow::ensure;
use mutex_tests::process::answer::Answer;
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::wait::wait_for;

use crate::{Case, directory, helper, holder};

pub(crate) const CASES: &[Case] = &[
    ("--break says why it cannot, names the holder and what to do instead, and does nothing", held),
    ("--break of a free lock makes nothing and takes nothing", free),
];

fn held() -> anyhow::Result<()> {
    let (_dir, file) = directory()?;
    let holder = holder(&file)?;
    let process = format!("process {} on ", holder.supervisor().pid());
    let named = || {
        let Answer { code, stdout, stderr } = helper(&file).ok()?.args(&["--break", "x"]).answer(ANSWER_LIMIT).ok()?;
        // The holder writes its line once CTDB was told.
        stderr.contains(&process).then_some((code, stdout, stderr))
    };
    let ((code, stdout, stderr), _) = wait_for("the line to name the holder", ANSWER_LIMIT, named)?;
    ensure!(code == 3 && stdout.is_empty() && stderr.lines().count() == 1, "exit code {code}, {stderr:?}");
    ensure!(stderr.contains("end that process") && stderr.contains("evict"), "{stderr:?}");
    ensure!(holder.pipe()?.is_silent(), "the holder's pipe is not silent");
    helper(&file)?.start()?.expect('1', ANSWER_LIMIT)
}

fn free() -> anyhow::Result<()> {
    let (dir, file) = directory()?;
    let Answer { code, stdout, stderr } = helper(&file)?.args(&["--break", "x"]).answer(ANSWER_LIMIT)?;
    ensure!(code == 3 && stdout.is_empty() && stderr.lines().count() == 1, "exit code {code}, {stderr:?}");
    ensure!(dir.path().read_dir()?.next().is_none(), "something was made");
    Ok(())
}
