//! The defaults of options: the numbers that a page names are those of `--help`.

use anyhow::{Context, ensure};

use crate::options::{TOOL, help};
use crate::pages;
use crate::{Case, mdoc};

pub(crate) const CASES: &[Case] = &[("the defaults of options in the pages are those of --help", defaults)];

fn defaults() -> anyhow::Result<()> {
    let mut compared = 0;
    for program in pages::programs()? {
        let page = pages::of(&program)?;
        let mut parts = Vec::new();
        if program == TOOL {
            let commands = page.text.lines().filter_map(|line| line.strip_prefix(".Ss "));
            for command in commands.filter(|command| command.bytes().all(|byte| byte.is_ascii_lowercase())) {
                let lines = mdoc::part(&page.text, ".Ss", command).context("no such part")?;
                parts.push((mdoc::items(lines), help(TOOL, &[command, "--help"])?));
            }
        } else {
            parts.push((mdoc::items(page.text.lines()), help(&program, &["--help"])?));
        }
        for (items, help) in &parts {
            compared += of_items(items, help).with_context(|| page.title())?;
        }
    }
    ensure!(compared > 3, "in the pages {compared} options have a default");
    Ok(())
}

/// How many of them have one.
fn of_items(items: &[(String, String)], help: &str) -> anyhow::Result<usize> {
    let mut compared = 0;
    for (head, text) in items {
        let Some(option) = head.split("Fl -").nth(1).and_then(|rest| rest.split(' ').next()) else { continue };
        let explained = explained(help, option);
        // Nought, where it goes without saying, and a default in words.
        let wanted = default_of(&explained).unwrap_or_default();
        let said = text.split(". ").filter(|sentence| sentence.to_lowercase().contains("default"));
        let Some((sentence, default)) = said.into_iter().find_map(|text| Some((text, default_of(text)?))) else {
            ensure!(wanted == 0, "--{option}: the page names no default, --help {wanted}");
            continue;
        };
        ensure!(default == wanted, "--{option}: the page has the default {default}, --help {wanted}");
        let known = numbers(&explained);
        let all = numbers(sentence).iter().all(|number| known.contains(number));
        ensure!(all, "--{option}: {sentence:?}, and --help has {known:?}");
        compared += 1;
    }
    Ok(compared)
}

/// What --help says of an option, to the next one.
fn explained(help: &str, option: &str) -> String {
    let is_option = |line: &str| line.starts_with("  -") || line.starts_with("      --");
    let names = format!("--{option}");
    let begins = |line: &&str| is_option(line) && line.split([' ', ',']).any(|word| word == names);
    let mut lines = help.lines().skip_while(|line| !begins(line)).skip(1);
    // What is behind an empty line at the margin is no option's.
    let inside = lines.by_ref().take_while(|line| !is_option(line) && (line.is_empty() || line.starts_with("   ")));
    inside.collect::<Vec<_>>().join(" ")
}

/// The number that is called the default.
fn default_of(text: &str) -> Option<u64> {
    let behind = ["[default: ", "efault is ", "Default "].iter().find_map(|words| number_at(text.split_once(words)?.1));
    behind.or_else(|| numbers(text.split_once(" by default")?.0).pop())
}

fn number_at(text: &str) -> Option<u64> {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn numbers(text: &str) -> Vec<u64> {
    text.split(|character: char| !character.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}
