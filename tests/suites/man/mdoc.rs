//! What is read out of a page's source.

use std::collections::BTreeSet;

use anyhow::{Context, bail, ensure};

/// A literal block.
#[derive(Debug)]
pub(crate) struct Block {
    /// The line that it begins at, for messages.
    pub(crate) at: usize,
    pub(crate) kind: Kind,
    pub(crate) lines: Vec<String>,
}

/// What the comment above says of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Run(Vec<String>),
    File(String),
    Log,
    Shape,
}

/// All literal blocks. Each must have a comment that says what it is.
pub(crate) fn blocks(text: &str) -> anyhow::Result<Vec<Block>> {
    let mut lines = text.lines().zip(1..);
    let mut before = "";
    let mut blocks = Vec::new();
    while let Some((line, at)) = lines.next() {
        // One line that is shown as it stands has no comment above, and no words that a reader can copy from.
        ensure!(!line.starts_with(".Dl ") && !line.starts_with(".D1 "), "line {at}: an example is a .Bd -literal");
        if line.starts_with(".Bd ") && (line.contains("-literal") || line.contains("-unfilled")) {
            let kind = kind(before).with_context(|| format!("the block at line {at}, below {before:?}"))?;
            let inside = lines.by_ref().map(|(line, _)| line).take_while(|line| !line.starts_with(".Ed"));
            blocks.push(Block { at, kind, lines: inside.map(plain).collect() });
        }
        before = line;
    }
    Ok(blocks)
}

fn kind(comment: &str) -> anyhow::Result<Kind> {
    let comment = comment.strip_prefix(".\\\" ").context("no comment says what it is")?;
    let (word, rest) = comment.split_once(' ').unwrap_or((comment, ""));
    match (word, rest) {
        ("run", remarks) => {
            Ok(Kind::Run(remarks.split([' ', ',']).filter(|word| !word.is_empty()).map(str::to_owned).collect()))
        }
        ("file", path) if path.starts_with('/') => Ok(Kind::File(path.to_owned())),
        ("log", "") => Ok(Kind::Log),
        ("shape", "") => Ok(Kind::Shape),
        _ => bail!("{comment:?} does not say what it is"),
    }
}

/// A line of text without escapes.
pub(crate) fn plain(line: &str) -> String {
    [("\\e", "\\"), ("\\-", "-"), ("\\(aq", "'"), ("\\(dq", "\""), ("\\(ha", "^"), ("\\(ti", "~"), ("\\&", "")]
        .iter()
        .fold(line.to_owned(), |line, (escape, character)| line.replace(escape, character))
}

/// The lines of a section (`.Sh`) or part of one (`.Ss`), without its head; `None` where there is none.
pub(crate) fn part<'a>(text: &'a str, macro_name: &str, title: &str) -> Option<Vec<&'a str>> {
    let head = format!("{macro_name} {title}");
    let mut lines = text.lines().skip_while(|line| *line != head);
    lines.next()?;
    // A part ends with its section.
    let ends = |line: &&str| line.starts_with(".Sh ") || (macro_name == ".Ss" && line.starts_with(".Ss "));
    Some(lines.take_while(|line| !ends(line)).collect())
}

/// The items of lists: what stands behind `.It`, and the words up to the next one.
pub(crate) fn items<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<(String, String)> {
    let mut items: Vec<(String, String)> = Vec::new();
    let mut is_inside = false;
    for line in lines {
        if let Some(head) = line.strip_prefix(".It ") {
            items.push((head.to_owned(), String::new()));
            is_inside = true;
        } else if line.starts_with(".El") || line.starts_with(".S") {
            is_inside = false;
        } else if let (true, Some((_, text))) = (is_inside, items.last_mut()) {
            text.push_str(line);
            text.push(' ');
        }
    }
    items
}

/// The lines as one text.
pub(crate) fn words(lines: &[&str]) -> String {
    lines.join(" ")
}

/// The options that these lines explain, each an item of a list, or name in a synopsis.
pub(crate) fn options<'a>(lines: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    let lines = lines.into_iter().filter(|line| line.starts_with(".It Fl ") || line.starts_with(".Op Fl "));
    lines.flat_map(flags).collect()
}

/// The options in a line: the word behind each `Fl`.
fn flags(line: &str) -> Vec<String> {
    let words: Vec<&str> = line.split(' ').collect();
    words.windows(2).filter(|pair| pair[0].ends_with("Fl")).map(|pair| format!("-{}", pair[1])).collect()
}

/// The pages that it refers to, each with its section.
pub(crate) fn references(text: &str) -> BTreeSet<(String, String)> {
    let found = text.lines().filter_map(|line| {
        let (_, rest) = line.split_once("Xr ")?;
        line.starts_with('.').then_some(())?;
        let mut words = rest.split(' ');
        Some((words.next()?.to_owned(), words.next()?.to_owned()))
    });
    found.collect()
}
