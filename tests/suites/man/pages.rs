//! The pages, and the programs that need one.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

/// A page: a file named by its name and section.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) path: PathBuf,
    pub(crate) name: String,
    pub(crate) section: String,
    pub(crate) text: String,
}

impl Page {
    /// As one writes it: `ctdb-mutex(8)`.
    pub(crate) fn title(&self) -> String {
        format!("{}({})", self.name, self.section)
    }
}

/// The tree's top.
pub(crate) fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All pages, in the order of their names.
pub(crate) fn all() -> anyhow::Result<Vec<Page>> {
    let dir = std::env::var_os("MAN_DIR").map_or_else(|| top().join("man"), PathBuf::from);
    let entries = fs::read_dir(&dir).with_context(|| format!("read {}", dir.display()))?;
    let mut pages = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let (name, section) = file.rsplit_once('.').with_context(|| format!("{file}: no page's name"))?;
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        pages.push(Page { name: name.to_owned(), section: section.to_owned(), text, path });
    }
    ensure!(!pages.is_empty(), "no page in {}", dir.display());
    pages.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(pages)
}

/// The page of a program.
pub(crate) fn of(program: &str) -> anyhow::Result<Page> {
    let page = all()?.into_iter().find(|page| page.name == program);
    page.with_context(|| format!("{program} has no page"))
}

/// The programs that the packages of `helpers/` install for users.
pub(crate) fn programs() -> anyhow::Result<BTreeSet<String>> {
    let mut programs = BTreeSet::new();
    for entry in fs::read_dir(top().join("helpers")).context("read helpers/")? {
        let manifest = entry?.path().join("Cargo.toml");
        let Ok(text) = fs::read_to_string(&manifest) else { continue };
        // A binary that is named otherwise than its package says so.
        let name = name_in(&text, "[[bin]]").or_else(|| name_in(&text, "[package]"));
        programs.insert(name.with_context(|| format!("{}: no name", manifest.display()))?);
    }
    ensure!(programs.contains("ctdb-mutex"), "no ctdb-mutex among {programs:?}");
    Ok(programs)
}

/// The name that a manifest's table gives.
fn name_in(manifest: &str, table: &str) -> Option<String> {
    let lines = manifest.lines().skip_while(|line| *line != table).skip(1).take_while(|line| !line.starts_with('['));
    lines.filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).next().map(str::to_owned)
}
