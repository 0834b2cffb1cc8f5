//! Each page beside its program's `--help`: neither has an option or a command that the other has not.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, ensure};
use mutex_tests::process::launch::Launch;
use mutex_tests::process::programs;

use crate::pages::{self, Page};
use crate::{Case, mdoc};

pub(crate) const CASES: &[Case] = &[
    ("every option of a helper's --help is in its page, and the other way round", helpers),
    ("every option of ctdb-mutex's commands is in its page, and the other way round", tool),
    ("every program has its page", every_program),
];

/// It asks nobody.
const LIMIT: Duration = Duration::from_secs(10);

/// The tool, which has commands.
pub(crate) const TOOL: &str = "ctdb-mutex";

/// What every command has, explained once.
const OF_EVERY_COMMAND: [&str; 2] = ["-h", "--help"];

fn every_program() -> anyhow::Result<()> {
    for program in pages::programs()? {
        let page = pages::of(&program)?;
        let names = mdoc::part(&page.text, ".Sh", "NAME").unwrap_or_default();
        ensure!(names.first() == Some(&&*format!(".Nm {program}")), "{}: its name is {names:?}", page.title());
        let section = if program == TOOL { "8" } else { "7" };
        ensure!(page.section == section, "{}: not in section {section}", page.title());
    }
    Ok(())
}

fn helpers() -> anyhow::Result<()> {
    for program in pages::programs()?.into_iter().filter(|program| program != TOOL) {
        let page = pages::of(&program)?;
        let help = options_of(&help(&program, &["--help"])?);
        // A synopsis may name an option without explaining it.
        let explained = mdoc::options(page.text.lines().filter(|line| line.starts_with(".It ")));
        same(&page, &program, &explained, &help)?;
        let shown = mdoc::options(page.text.lines());
        ensure!(shown.is_subset(&help), "{}: its synopsis has {shown:?}", page.title());
    }
    Ok(())
}

fn tool() -> anyhow::Result<()> {
    let page = pages::of(TOOL)?;
    let description = mdoc::part(&page.text, ".Sh", "DESCRIPTION").context("no DESCRIPTION")?;
    let general = help(TOOL, &["--help"])?;
    same(&page, TOOL, &mdoc::options(description), &options_of(&general))?;
    let section = mdoc::part(&page.text, ".Sh", "COMMANDS").context("no COMMANDS")?;
    let explained: BTreeSet<String> =
        section.iter().filter_map(|line| line.strip_prefix(".Ss ")).map(str::to_owned).collect();
    let commands = commands_of(&general);
    ensure!(explained == commands, "{}: explains {explained:?}, and there are {commands:?}", page.title());
    for command in commands {
        let part = mdoc::part(&page.text, ".Ss", &command).with_context(|| format!("no {command}"))?;
        let mut options = options_of(&help(TOOL, &[&command, "--help"])?);
        options.retain(|option| !OF_EVERY_COMMAND.contains(&&**option));
        let what = format!("{TOOL} {command}");
        same(&page, &what, &mdoc::options(part.iter().copied().filter(|line| line.starts_with(".It "))), &options)?;
        in_synopsis(&page, &command, &options)?;
    }
    Ok(())
}

/// The command's line in the SYNOPSIS has each of its options.
fn in_synopsis(page: &Page, command: &str, options: &BTreeSet<String>) -> anyhow::Result<()> {
    let synopsis = mdoc::part(&page.text, ".Sh", "SYNOPSIS").context("no SYNOPSIS")?;
    let head = format!(".Cm {command}");
    let lines = synopsis.into_iter().skip_while(|line| *line != head).skip(1);
    let shown = mdoc::options(lines.take_while(|line| !line.starts_with(".Nm")));
    // The short one stands for both where there is one.
    let missing: Vec<_> =
        options.iter().filter(|option| option.starts_with("--") && !shown.contains(*option)).collect();
    let extra: Vec<_> = shown.difference(options).collect();
    ensure!(missing.is_empty() && extra.is_empty(), "the synopsis of {command}: without {missing:?}, with {extra:?}");
    Ok(())
}

fn same(page: &Page, what: &str, explained: &BTreeSet<String>, help: &BTreeSet<String>) -> anyhow::Result<()> {
    let missing: Vec<_> = help.difference(explained).collect();
    let unknown: Vec<_> = explained.difference(help).collect();
    let title = page.title();
    ensure!(missing.is_empty(), "{title}: {what} --help has {missing:?}, and the page does not explain them");
    ensure!(unknown.is_empty(), "{title}: explains {unknown:?}, which {what} --help does not have");
    Ok(())
}

pub(crate) fn help(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let answer = Launch::new(programs::helper(program)?, arguments.to_vec()).answer(LIMIT)?;
    ensure!(answer.code == 0, "{program} {arguments:?}: exit code {}", answer.code);
    Ok(String::from_utf8(answer.stdout)?)
}

/// Options stand at a line's beginning, the short one first; what is said of them is further in, and so are examples.
fn options_of(help: &str) -> BTreeSet<String> {
    let lines = help.lines().filter(|line| line.starts_with("  -") || line.starts_with("      --"));
    lines
        .flat_map(|line| line.trim_start().split([' ', ',', '=']).take(3))
        .filter(|word| word.starts_with('-') && *word != "-" && *word != "--")
        .map(str::to_owned)
        .collect()
}

fn commands_of(help: &str) -> BTreeSet<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let named = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = named.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}
