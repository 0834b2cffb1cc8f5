//! LOCK from ctdb.conf, read as CTDB reads it (tried against its own `ctdb-config get`):
//!
//! - `[section]` and `name = value`, a comment is a line whose first character is `#` or `;`, not a line's end;
//! - names are compared as they are written, the last value of a name counts;
//! - a line that ends in a backslash goes on in the next one;
//! - blanks around a value go, and of several blanks in it the first stays.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// CTDB's own directory, where `CTDB_BASE` does not name another.
const DEFAULT_BASE: &str = "/etc/ctdb";
/// Since CTDB 4.16, and what it was called before, which is still read where the first is not there.
const NAMES: [&str; 2] = ["cluster lock", "recovery lock"];

/// What the file says.
pub(crate) struct Configured {
    /// The value, as CTDB takes it.
    pub(crate) lock: String,
    /// Where it stands, for messages.
    pub(crate) place: String,
}

/// The file.
pub(crate) fn path() -> PathBuf {
    let base = std::env::var_os("CTDB_BASE").filter(|base| !base.is_empty());
    Path::new(&base.unwrap_or_else(|| DEFAULT_BASE.into())).join("ctdb.conf")
}

/// The lock that CTDB uses on this machine.
///
/// # Errors
/// Where the file cannot be read, or names no lock.
pub(crate) fn cluster_lock() -> anyhow::Result<Configured> {
    let path = path();
    let shown = path.display();
    let bytes = std::fs::read(&path)
        .with_context(|| format!("cannot read {shown}; name the LOCK, or the directory in CTDB_BASE"))?;
    let text = String::from_utf8_lossy(&bytes);
    for name in NAMES {
        if let Some(lock) = value(&text, "cluster", name) {
            if lock.is_empty() {
                bail!("{shown}: {name} has no value: CTDB does not start with that");
            }
            return Ok(Configured { lock, place: format!("{name} in {shown}") });
        }
    }
    bail!("{shown} configures no lock (cluster lock, in [cluster]): CTDB runs without one; name the LOCK")
}

/// The last value of a name in a section.
fn value(text: &str, section: &str, name: &str) -> Option<String> {
    let mut here = String::new();
    let mut found = None;
    for line in lines(text) {
        let line = line.trim();
        if line.starts_with(['#', ';']) {
            continue;
        }
        if let Some((inner, _)) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            here = inner.to_owned();
        } else if let Some((key, value)) = line.split_once('=') {
            if here == section && blanks_joined(key) == name {
                found = Some(blanks_joined(value));
            }
        }
    }
    found
}

/// Lines, each with those that it goes on in.
fn lines(text: &str) -> Vec<String> {
    let mut whole = Vec::new();
    let mut open = String::new();
    for line in text.lines() {
        match line.strip_suffix('\\') {
            Some(begun) => open.push_str(begun),
            None => whole.push(std::mem::take(&mut open) + line),
        }
    }
    if !open.is_empty() {
        whole.push(open);
    }
    whole
}

fn blanks_joined(text: &str) -> String {
    let mut joined = String::new();
    for c in text.trim().chars() {
        if !(c.is_ascii_whitespace() && joined.ends_with(|last: char| last.is_ascii_whitespace())) {
            joined.push(c);
        }
    }
    joined
}
