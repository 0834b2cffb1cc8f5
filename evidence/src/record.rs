//! What was measured, kept as JSON under `docs/evidence/`: pages and pictures are drawn from it, and tests read it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The repository.
#[must_use]
pub fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Where a record is.
fn place(name: &str) -> PathBuf {
    top().join("docs/evidence").join(format!("{name}.json"))
}

/// Keeps a record.
///
/// # Errors
/// Where it cannot be written.
pub fn save(name: &str, record: &impl Serialize) -> anyhow::Result<()> {
    let path = place(name);
    let text = serde_json::to_string_pretty(record).context("write a record as JSON")? + "\n";
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))
}

/// Reads one that was kept.
///
/// # Errors
/// Where there is none, or it is another program's.
pub fn load<T: DeserializeOwned>(name: &str) -> anyhow::Result<T> {
    let path = place(name);
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("understand {}", path.display()))
}
