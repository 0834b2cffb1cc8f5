//! The log lines that a page explains, beside the product's sources.
//!
//! What is between the `<placeholders>` of a line, and between colons, must be in one string of the sources, between its
//! own placeholders.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};

use crate::Case;
use crate::mdoc::{self, Kind};
use crate::pages;

pub(crate) const CASES: &[Case] = &[("every log line that a page explains is one that the product says", log_lines)];

/// Shorter pieces are in some string or other.
const SHORTEST: usize = 4;

fn log_lines() -> anyhow::Result<()> {
    let mut said = Vec::new();
    strings_below(&pages::top().join("mutex-core/src"), &mut said)?;
    strings_below(&pages::top().join("helpers"), &mut said)?;
    let mut explained = 0;
    for page in pages::all()? {
        for block in mdoc::blocks(&page.text)?.iter().filter(|block| block.kind == Kind::Log) {
            for line in &block.lines {
                let pieces = pieces(line);
                ensure!(!pieces.is_empty(), "{}: nothing to look for in {line:?}", page.title());
                for piece in pieces {
                    let known = said.iter().any(|string| string.contains(&piece));
                    ensure!(known, "{}: {line:?}: nothing in the sources says {piece:?}", page.title());
                }
                explained += 1;
            }
        }
    }
    ensure!(explained > 0, "no page explains a log line");
    Ok(())
}

/// What has to be found of a line.
fn pieces(line: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let (text, behind) = rest.split_once('<').unwrap_or((rest, ""));
        pieces.extend(text.split(": ").map(|piece| piece.trim_matches([' ', ':']).to_owned()));
        rest = behind.split_once('>').map_or("", |(_, behind)| behind);
    }
    // The name in front is nobody's string.
    pieces.retain(|piece| piece.len() >= SHORTEST && !piece.starts_with("ctdb"));
    pieces
}

/// What is in quotes in the Rust sources below, in pieces between placeholders.
fn strings_below(dir: &Path, strings: &mut Vec<String>) -> anyhow::Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            strings_below(&path, strings)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            let source = fs::read_to_string(&path)?;
            // What a test says the product does not.
            let product = source.split("#[cfg(test)]").next().unwrap_or_default();
            strings.extend(strings_of(product));
        }
    }
    Ok(())
}

/// A string that is wrapped goes on behind a backslash and blanks.
fn strings_of(source: &str) -> Vec<String> {
    let code = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut strings = Vec::new();
    let mut inside: Option<String> = None;
    let mut characters = code.chars().peekable();
    while let Some(character) = characters.next() {
        match (&mut inside, character) {
            (Some(_), '"') => strings.extend(inside.take()),
            (Some(text), '\\') => match characters.next() {
                Some('\n') => while characters.next_if(|next| next.is_whitespace()).is_some() {},
                Some(escaped) => text.push(escaped),
                None => {}
            },
            (Some(text), other) => text.push(other),
            // A character's quote is none.
            (None, '\'') if characters.next_if_eq(&'"').is_some() => {}
            (None, '"') => inside = Some(String::new()),
            (None, _) => {}
        }
    }
    strings.iter().flat_map(|string| string.split(['{', '}']).map(str::to_owned)).collect()
}
