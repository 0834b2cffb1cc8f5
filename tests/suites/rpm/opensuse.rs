//! The build for openSUSE, whose ctdb has its helpers elsewhere: nothing in it sends anybody to where they are not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use mutex_tests::process::command::{output, run};

use crate::Case;
use crate::distributions::OPENSUSE;
use crate::root::Root;

pub(crate) const CASES: &[Case] = &[
    ("openSUSE: no text of ours names the helpers where they are elsewhere", texts),
    ("openSUSE: the tool looks for the file helper where it is, and its help names that place", tool),
];

/// Where the others have the helpers. What follows tells a directory of ours from it.
const ELSEWHERE: &str = "/usr/libexec/ctdb";
const OURS: &str = "-mutex-helpers";

fn texts() -> anyhow::Result<()> {
    let root = Root::of(&OPENSUSE)?;
    let before = root.paths()?;
    let said = root.install(root.ours())?;
    ensure!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let (mut wrong, mut right) = (Vec::new(), 0);
    for path in root.paths()?.difference(&before).filter(|path| path.is_file() && !path.is_symlink()) {
        let Some(text) = text_of(path)? else { continue };
        if text.contains(OPENSUSE.helpers) {
            right += 1;
        }
        if names_elsewhere(&text) {
            wrong.push(path.strip_prefix(root.path())?.to_owned());
        }
    }
    ensure!(wrong.is_empty(), "{ELSEWHERE} is named by {wrong:#?}");
    // Five pages, the README, the script of -tests.
    ensure!(right >= 7, "only {right} texts name {}", OPENSUSE.helpers);
    Ok(())
}

fn names_elsewhere(text: &str) -> bool {
    text.match_indices(ELSEWHERE).any(|(at, _)| !text[at + ELSEWHERE.len()..].starts_with(OURS))
}

/// What is in it, if that is text; pages may be compressed.
fn text_of(path: &Path) -> anyhow::Result<Option<String>> {
    if path.extension().is_some_and(|extension| extension == "gz") {
        return Ok(Some(run(Command::new("gzip").args(["--decompress", "--stdout"]).arg(path))?));
    }
    Ok(String::from_utf8(fs::read(path)?).ok().filter(|text| !text.contains('\0')))
}

fn tool() -> anyhow::Result<()> {
    let root = Root::with_ours(&OPENSUSE)?;
    let tool = root.at("/usr/bin/ctdb-mutex");
    let helper = PathBuf::from(OPENSUSE.helpers).join("ctdb_mutex_file_helper");
    ensure!(!helper.exists(), "{}: this machine has one, which the tool would start", helper.display());
    // A lock in a file is a matter of the file helper's.
    let said = output(Command::new(&tool).args(["status", "/nonexistent/lock"]))?;
    let words = String::from_utf8_lossy(&said.stderr);
    ensure!(words.contains(&helper.display().to_string()), "looked elsewhere: {words}");
    let help = |of: &[&str]| run(Command::new(&tool).args(of));
    let whole = help(&["--help"])?;
    let commands = whole.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let mut pages = vec![whole.clone()];
    for command in commands.filter_map(|line| line.split_whitespace().next()) {
        pages.push(help(&["help", command])?);
    }
    ensure!(pages.len() > 5, "no commands in {whole}");
    let wrong = pages.iter().find(|page| names_elsewhere(page));
    ensure!(wrong.is_none(), "{ELSEWHERE} is named by {}", wrong.context("none")?);
    ensure!(whole.contains(OPENSUSE.helpers), "{} is not named by {whole}", OPENSUSE.helpers);
    Ok(())
}
