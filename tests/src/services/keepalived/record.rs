//! What the hooks of the example have noted, in the order in which it happened on the one machine that both nodes are on.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail, ensure};

/// A file to which each hook appends a line: what, which node, and when.
pub struct Record(PathBuf);

/// A line of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `promoting`, `promoted`, `demoted`, or `overlap`.
    pub what: String,
    /// Which node, counted from 0.
    pub node: usize,
    /// When.
    pub at: SystemTime,
}

impl Record {
    pub(super) fn new(dir: &Path) -> Self {
        Self(dir.join("record"))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// As it is.
    #[must_use]
    pub fn text(&self) -> String {
        fs::read_to_string(&self.0).unwrap_or_default()
    }

    /// All entries.
    pub fn entries(&self) -> anyhow::Result<Vec<Entry>> {
        let text = self.text();
        text.lines().map(|line| Entry::parse(line).with_context(|| format!("in the record: {line:?}"))).collect()
    }

    /// The last entry of this kind about a node, if the record has at least `count` of them.
    #[must_use]
    pub fn nth(&self, what: &str, node: usize, count: usize) -> Option<Entry> {
        let is_it = |entry: &Entry| entry.what == what && entry.node == node;
        self.entries().ok()?.into_iter().filter(is_it).nth(count.checked_sub(1)?)
    }

    /// At no time were two promoted: whoever began had seen the other's service gone, and, but for `killed` demotions of
    /// which no end could be noted, the other's demotion noted.
    pub fn at_most_one(&self, killed: usize) -> anyhow::Result<()> {
        let entries = self.entries()?;
        let mut promoted: Option<usize> = None;
        let mut without_end = 0;
        for entry in &entries {
            match entry.what.as_str() {
                "promoting" => {
                    if promoted.is_some_and(|node| node != entry.node) {
                        without_end += 1;
                    }
                    promoted = Some(entry.node);
                }
                "demoted" if promoted == Some(entry.node) => promoted = None,
                "promoted" => ensure!(promoted == Some(entry.node), "promoted by another's leave: {entries:#?}"),
                // Of one that had been killed, and was cleaned up.
                "demoted" => {}
                "overlap" => bail!("two services at once: {entries:#?}"),
                other => bail!("the record says {other:?}"),
            }
        }
        ensure!(without_end <= killed, "{without_end} promotions began before the other's demotion: {entries:#?}");
        Ok(())
    }
}

impl Entry {
    fn parse(line: &str) -> anyhow::Result<Self> {
        let words: Vec<_> = line.split(' ').collect();
        let [what, node, at] = words[..] else { bail!("three words") };
        let number: usize = node.strip_prefix("node").context("a node")?.parse()?;
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs_f64(at.parse()?);
        Ok(Self { what: what.to_owned(), node: number.checked_sub(1).context("counted from 1")?, at })
    }
}
