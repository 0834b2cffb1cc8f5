//! The exit codes of the pages beside those of the programs' `--help`.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};

use crate::options::{TOOL, help};
use crate::pages;
use crate::{Case, mdoc};

pub(crate) const CASES: &[Case] = &[
    ("the bytes and exit codes of a helper's page are those of its --help", helpers),
    ("the exit codes of ctdb-mutex's page are those of its commands' --help", tool),
];

fn helpers() -> anyhow::Result<()> {
    for program in pages::programs()?.into_iter().filter(|program| program != TOOL) {
        let page = pages::of(&program)?;
        let part = mdoc::part(&page.text, ".Sh", "EXIT STATUS").context("no EXIT STATUS")?.join(" ");
        let help = help(&program, &["--help"])?;
        let bytes = between(&help, "one byte to stdout: ", ". ").context("--help: no byte")?;
        let codes = between(&help, "Exit codes: ", ".").context("--help: no exit codes")?;
        for wanted in [format!("standard output: {bytes};"), format!("people and scripts: {codes}.")] {
            ensure!(part.contains(&wanted), "{}: EXIT STATUS has no {wanted:?}", page.title());
        }
    }
    Ok(())
}

fn between<'a>(text: &'a str, before: &str, behind: &str) -> Option<&'a str> {
    text.split_once(before)?.1.split_once(behind).map(|(inside, _)| inside)
}

fn tool() -> anyhow::Result<()> {
    let page = pages::of(TOOL)?;
    let table = table(&mdoc::part(&page.text, ".Sh", "EXIT STATUS").context("no EXIT STATUS")?);
    let mut compared = 0;
    for (command, shown) in &table {
        let Some(said) = said(&help(TOOL, &[command, "--help"])?) else { continue };
        // That of COMMAND has no number.
        let numbered = shown.iter().filter(|(code, _)| !code.is_empty());
        let shown: BTreeMap<_, _> = numbered.collect();
        ensure!(shown.keys().copied().eq(said.keys()), "{command}: the page has {shown:?}, --help {said:?}");
        for (code, words) in &said {
            // What is in parentheses there has other words in a table.
            let words = words.split(" (").next().unwrap_or_default();
            let same = shown.get(code).is_some_and(|shown| shown.starts_with(words));
            ensure!(same, "{command}: the page has {shown:?}, and --help {code} {words}");
        }
        compared += 1;
    }
    ensure!(compared >= 5, "{}: {compared} commands have exit codes there and in --help", page.title());
    // Those of `health` have names, and a list of their own.
    let part = mdoc::part(&page.text, ".Ss", "health").context("no health")?;
    let help = help(TOOL, &["health", "--help"])?;
    let names = |line: &str| line.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>();
    let is_code = |line: &&str| line.starts_with(|first: char| first.is_ascii_digit());
    let shown: Vec<_> = part.iter().filter_map(|line| line.strip_prefix(".It ")).filter(is_code).map(names).collect();
    let said: Vec<_> = help.lines().filter_map(|line| line.strip_prefix("  ")).filter(is_code).map(names).collect();
    ensure!(!said.is_empty() && shown == said, "health: the page has {shown:?}, --help {said:?}");
    Ok(())
}

/// A command's exit codes, and what each means.
type Codes = BTreeMap<String, String>;

/// Where the command is not named it is that of the row above.
fn table(lines: &[&str]) -> BTreeMap<String, Codes> {
    let mut table: BTreeMap<String, Codes> = BTreeMap::new();
    let mut command = "";
    for row in lines.iter().filter_map(|line| line.strip_prefix(".It ")) {
        let columns: Vec<&str> = row.split(" Ta ").collect();
        let [name, code, words] = columns[..] else { continue };
        command = name.strip_prefix("Cm ").unwrap_or(command);
        table.entry(command.to_owned()).or_default().insert(code.trim_matches('"').to_owned(), words.to_owned());
    }
    table
}

/// What --help says; `None` where it names no codes.
fn said(help: &str) -> Option<Codes> {
    let text =
        between(help, "Exit code: ", ".\n\n").or_else(|| between(help, "Exit codes: ", ".\n\n"))?.replace('\n', " ");
    let pieces = text.split([';', ',']).map(str::trim);
    let codes = pieces.filter_map(|piece| piece.split_once(' '));
    let codes = codes.filter(|(code, _)| !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_digit()));
    Some(codes.map(|(code, words)| (code.to_owned(), words.to_owned())).collect())
}
