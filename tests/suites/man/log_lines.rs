//! The log lines that a page explains, beside the product's sources.
//!
//! A line is whole strings of the sources, one in the place of another's placeholder: what glues pieces of several, or cuts
//! one, is said by nobody. What a page has in angle brackets stands for what differs. Where a string goes on behind a
//! semicolon, with what to do, a page may leave that out.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};

use crate::Case;
use crate::mdoc::{self, Kind};
use crate::pages;

pub(crate) const CASES: &[Case] = &[("every log line that a page explains is one that the product says", log_lines)];

/// A string with fewer letters outside its placeholders says nothing by itself, and is glue of any two.
const FEWEST: usize = 5;

/// A line has a head, what it is about, and why.
const DEEPEST: usize = 2;

fn log_lines() -> anyhow::Result<()> {
    let mut strings = Vec::new();
    strings_below(&pages::top().join("mutex-core/src"), &mut strings)?;
    strings_below(&pages::top().join("helpers"), &mut strings)?;
    let sources = Sources::new(strings);
    let mut explained = 0;
    for page in pages::all()? {
        for block in mdoc::blocks(&page.text)?.iter().filter(|block| block.kind == Kind::Log) {
            for line in &block.lines {
                // The name in front is nobody's string.
                let text = line.trim().strip_prefix("ctdb-mutex: ").unwrap_or(line.trim());
                ensure!(sources.say(text, DEEPEST), "{}: nothing in the sources says {line:?}", page.title());
                explained += 1;
            }
        }
    }
    ensure!(explained > 0, "no page explains a log line");
    Ok(())
}

/// A string of the sources: what stands between its placeholders.
type Template = Vec<String>;

/// The strings of the sources.
struct Sources {
    /// Those without placeholders.
    whole: HashSet<String>,
    templates: Vec<Template>,
    /// What was found out, as the same part of a line is asked about again and again.
    known: RefCell<HashMap<(String, usize), bool>>,
}

impl Sources {
    fn new(strings: Vec<Template>) -> Self {
        let letters = |string: &Template| string.concat().chars().filter(|character| character.is_alphabetic()).count();
        let strings: BTreeSet<Template> = strings.into_iter().flat_map(with_cuts).collect();
        let (whole, templates): (Vec<_>, Vec<_>) = strings.into_iter().partition(|string| string.len() == 1);
        let templates = templates.into_iter().filter(|string| letters(string) >= FEWEST).collect();
        Self { whole: whole.into_iter().flatten().collect(), templates, known: RefCell::default() }
    }

    /// Whether this is one of them, with others in the places of its placeholders.
    fn say(&self, text: &str, depth: usize) -> bool {
        if self.whole.contains(text) {
            return true;
        }
        let asked = (text.to_owned(), depth);
        if let Some(known) = self.known.borrow().get(&asked) {
            return *known;
        }
        let says = self.templates.iter().any(|string| may_say(string, text) && self.goes_on(string, text, depth));
        self.known.borrow_mut().insert(asked, says);
        says
    }

    /// Whether these pieces, and what stands between them, are this text.
    fn goes_on(&self, pieces: &[String], text: &str, depth: usize) -> bool {
        let Some((first, rest)) = pieces.split_first() else { return false };
        let Some(behind) = text.strip_prefix(first.as_str()) else { return false };
        let Some(next) = rest.first() else { return behind.is_empty() };
        let places = (0..=behind.len()).filter(|at| behind.is_char_boundary(*at));
        places.into_iter().any(|at| {
            let (inside, behind) = behind.split_at(at);
            behind.starts_with(next.as_str()) && self.fill(inside, depth) && self.goes_on(rest, behind, depth)
        })
    }

    /// Whether this can stand in the place of a placeholder: nothing, those of the page, or a whole string.
    fn fill(&self, text: &str, depth: usize) -> bool {
        text.is_empty() || differs(text) || self.whole.contains(text) || depth > 0 && self.say(text, depth - 1)
    }
}

/// The string, and what is left of it in front of each place where it says what to do.
fn with_cuts(string: Template) -> Vec<Template> {
    let mut all = Vec::new();
    for (number, piece) in string.iter().enumerate() {
        for (at, _) in piece.match_indices("; ") {
            all.push([&string[..number], &[piece[..at].to_owned()]].concat());
        }
    }
    all.push(string);
    all
}

/// Whether its pieces are there at all, one behind the other: quick, and mostly no.
fn may_say(string: &Template, text: &str) -> bool {
    let mut rest = text;
    for (number, piece) in string.iter().enumerate() {
        let at = if number == 0 { rest.starts_with(piece.as_str()).then_some(0) } else { rest.find(piece.as_str()) };
        match at {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    string.last().is_none_or(|last| text.ends_with(last.as_str()))
}

/// Placeholders of the page, and no word outside them.
fn differs(text: &str) -> bool {
    let mut rest = text;
    let mut found = false;
    while let Some((before, behind)) = rest.split_once('<') {
        let Some((_, after)) = behind.split_once('>') else { return false };
        if before.chars().any(char::is_alphanumeric) {
            return false;
        }
        (rest, found) = (after, true);
    }
    found && !rest.chars().any(char::is_alphanumeric)
}

/// What is in quotes in the Rust sources below.
fn strings_below(dir: &Path, strings: &mut Vec<Template>) -> anyhow::Result<()> {
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
fn strings_of(source: &str) -> Vec<Template> {
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
    // Every other piece between braces is the name of a placeholder.
    strings.iter().map(|string| string.split(['{', '}']).step_by(2).map(str::to_owned).collect()).collect()
}
