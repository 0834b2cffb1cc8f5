//! LOCK, split as CTDB splits it: at blanks and tabs, without quoting, into a program and its arguments.

use mutex_core::escape;

use super::harmless::assert_one_line;
use crate::conf::as_value;
use crate::lock::Lock;

/// A program that every machine has, so that a LOCK that names it is accepted.
const PROGRAM: &str = "/proc/self/exe";

/// The bytes as a LOCK, and as the arguments behind a program.
///
/// # Panics
/// Where a word is another than for CTDB, or a refusal is more than a line.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(error) = Lock::parse(text) {
        assert_one_line(&escape(&format!("{error:#}")));
    }
    let whole = format!("!{PROGRAM} {text}");
    let lock = Lock::parse(&whole).expect("it is a program");
    assert_eq!(lock.text(), as_value(&whole));
    assert_eq!(lock.program(), std::path::Path::new(PROGRAM));
    // CTDB's own two steps, written otherwise: the value without blanks at its ends, of several in it the first; then words.
    let mut expected: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut last = None;
    for c in text.chars() {
        // Of a row of blanks the first alone is there for the split.
        let blank = matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c');
        let dropped = blank && last.is_none_or(|last| last);
        last = Some(blank);
        match c {
            _ if dropped => {}
            ' ' | '\t' => expected.push(std::mem::take(&mut word)),
            _ => word.push(c),
        }
    }
    if word.ends_with(['\n', '\r', '\x0b', '\x0c']) {
        word.pop();
    }
    expected.push(word);
    expected.retain(|word| !word.is_empty());
    assert_eq!(lock.arguments(), expected, "{text:?}");
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_seed_and_its_neighbours() {
        super::super::seeds::replay("lock", super::check);
    }

    #[test]
    fn words_of_any_making_are_split_at_blanks_and_tabs_alone() {
        use proptest::prelude::*;
        let pieces = [
            "a", "b", " ", " ", "\t", "\"", "'", "\\", "#", "!", "\r", "\x0b", "=", "\u{a0}", "\u{2003}", "/x", "--o=1",
        ];
        let text = prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..24);
        let config = ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() };
        let mut runner = proptest::test_runner::TestRunner::new(config);
        runner.run(&text, |pieces| Ok(super::check(pieces.concat().as_bytes()))).unwrap();
    }
}
