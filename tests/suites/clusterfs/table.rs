//! What was measured, as the table in docs/cluster-file-systems.md has it.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;

use crate::outcome::Outcome;
use crate::scenario::{Measured, Timing};
use crate::trial;

const DOCUMENTATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cluster-file-systems.md");

/// Filled by the trials.
#[derive(Default)]
pub(crate) struct Table(Mutex<Content>);

#[derive(Default)]
struct Content {
    /// The beginning of each row, in the order of the trials.
    expected: Vec<String>,
    rows: Vec<String>,
}

impl Table {
    /// A scenario that a table of all has a row for.
    pub(crate) fn expect(&self, system: &str, fault: &str, outcome: Outcome) {
        self.content().expected.push(format!("| {system} | {fault} | {} |", outcome.words()));
    }

    /// What its trial measured for each lock type.
    pub(crate) fn note(&self, system: &str, fault: &str, timing: Timing, measured: Vec<(&'static str, Measured)>) {
        let mut content = self.content();
        let beginning = format!("| {system} | {fault} |");
        let Some(expected) = content.expected.iter().find(|row| row.starts_with(&beginning)) else { return };
        let each = |figure: fn(&Measured) -> Option<Duration>| {
            let figures: Vec<String> = measured.iter().map(|(_, measured)| seconds(figure(measured))).collect();
            // One for all where they do not differ.
            if figures.windows(2).all(|pair| pair[0] == pair[1]) { figures[0].clone() } else { figures.join(", ") }
        };
        let Timing { recheck, ping_timeout } = timing;
        let row = format!(
            "{expected} {recheck}/{ping_timeout} | {} | {} | {} | {} |",
            each(|measured| Some(measured.until)),
            each(|measured| measured.ended),
            each(|measured| measured.taken),
            each(Measured::overlap)
        );
        content.rows.push(row);
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn seconds(time: Option<Duration>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{:.1}", time.as_secs_f64()))
}

/// Rows in the order of the trials, however these ended.
impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let content = self.content();
        for expected in &content.expected {
            content.rows.iter().filter(|row| row.starts_with(expected)).try_for_each(|row| writeln!(out, "{row}"))?;
        }
        Ok(())
    }
}

/// The documentation has a row for every scenario, with what becomes of the lock, and for nothing else.
pub(crate) fn in_the_documentation(table: &Arc<Table>) -> Trial {
    let expected = table.content().expected.clone();
    trial("the table in docs/cluster-file-systems.md is of these scenarios".to_owned(), move || {
        let text = fs::read_to_string(Path::new(DOCUMENTATION)).context("read docs/cluster-file-systems.md")?;
        let missing: Vec<_> = expected.iter().filter(|row| !text.contains(row.as_str())).collect();
        ensure!(missing.is_empty(), "no row begins so: {missing:#?}");
        let is_row =
            |line: &&str| crate::FILE_SYSTEMS.iter().any(|system| line.starts_with(&format!("| {} |", system.name)));
        let known = |line: &&str| expected.iter().any(|row| line.starts_with(row.as_str()));
        let unknown: Vec<_> = text.lines().filter(is_row).filter(|line| !known(line)).collect();
        ensure!(unknown.is_empty(), "no scenario has these rows: {unknown:#?}");
        Ok(())
    })
}
