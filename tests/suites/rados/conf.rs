//! Configuration files that differ from the cluster's in one thing.

use std::fs;
use std::path::Path;

use anyhow::ensure;
use tempfile::NamedTempFile;

/// A copy of `conf` with `to` in place of `from`.
pub(crate) fn changed(conf: &Path, from: &str, to: &str) -> anyhow::Result<NamedTempFile> {
    let text = fs::read_to_string(conf)?;
    ensure!(text.contains(from), "{from:?} is not in {}", conf.display());
    let file = NamedTempFile::new()?;
    fs::write(file.path(), text.replace(from, to))?;
    Ok(file)
}

/// The value of an option as it stands in the file.
pub(crate) fn value(conf: &Path, option: &str) -> anyhow::Result<String> {
    let text = fs::read_to_string(conf)?;
    let found = text.lines().find_map(|line| line.strip_prefix(option)?.trim_start().strip_prefix('='));
    Ok(found.ok_or_else(|| anyhow::anyhow!("{option} is not in {}", conf.display()))?.trim().to_owned())
}
